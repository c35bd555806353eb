#!/usr/bin/env bash
# matplotlib 3.11.2: with text.parse_math switched off, a logarithmic axis prints its own markup.
#
# The setting exists so that dollar signs in a user's text, such as the name of a file or of a run,
# are not read as formulas. But the tick labels of a logarithmic axis are formulas by matplotlib's
# own making, and they go through the same switch: the axis reads $\mathdefault{10^{0}}$. One would
# expect 10 to the power of 0, or plain 1. A chart of losses on a logarithmic scale is spoilt when
# names of runs are shown as they are; the axis then needs a formatter of one's own.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 matplotlib==3.11.2
cd "$folder"
venv/bin/python - <<'PROGRAM'
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogFormatter

print("matplotlib", matplotlib.__version__)
matplotlib.rcParams["text.parse_math"] = False
matplotlib.rcParams["svg.fonttype"] = "none"
figure, axes = plt.subplots()
axes.semilogy([1, 2, 3], [1, 100, 10000])
axes.set_title("run $1 and run $2")
figure.savefig("chart.svg")
with open("chart.svg") as file:
    chart = file.read()
raw = r"$\mathdefault{10^{0}}$"
print("expected on the axis: 10 to the power of 0; printed there:", raw if raw in chart else "else")
assert f">{raw}</text>" in chart and ">run $1 and run $2</text>" in chart
axes.yaxis.set_major_formatter(LogFormatter())
figure.savefig("plain.svg")
with open("plain.svg") as file:
    assert "mathdefault" not in file.read(), "LogFormatter() writes plain numbers"
PROGRAM
