"""What the networks of a table cost, and a picture of quality against that.

What depends on the machine is measured once for a table and kept in its measured.json: the same
command finds it there again, and measures anew what was deleted from it.
"""

import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from dped_jax import checkpoint
from dped_jax.base.files import write_atomically
from dped_jax.enhance.photo_enhancer import load_enhancer
from dped_jax.experiments.multiply_adds import macs_per_pixel
from dped_jax.models.generator import make_generator
from dped_jax.pages.charts import COLOURS
from dped_jax.train.metrics_writer import read_metrics

PHOTO = (3000, 4000)  # pixels, of the photograph whose time is taken
COLUMNS = {
    "macs_per_pixel": ("MAC/pixel", ",.0f"),
    "parameters": ("parameters", ",.0f"),
    "minutes": ("min of training", ".1f"),
    "seconds": ("s for 12 MP", ".1f"),
}
QUALITIES = {"psnr": "PSNR in dB", "ms_ssim": "MS-SSIM"}
# Whether the table has trained a method, what that is called, and how it is drawn.
KINDS = ((True, "trained here", "o", COLOURS[0], -50), (False, "given", "s", COLOURS[1], 50))


def measured(file: pathlib.Path, what: str, name: str, measure: Callable[[], float]) -> float:
    """A value by what it is and whose, from a file, or measured and written there."""
    found = json.loads(file.read_text()) if file.exists() else {}
    if name not in found.setdefault(what, {}):
        found[what][name] = measure()
        write_atomically(file, json.dumps(found, indent=2) + "\n")
    return found[what][name]


def photo_seconds(workdir: pathlib.Path, step: str) -> float:
    """Seconds that enhancing a photograph of size `PHOTO` takes, without reading and writing it.

    The first run compiles; of two more the faster one counts.
    """
    enhancer = load_enhancer(workdir, step)
    photo = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        enhancer(photo)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def training_minutes(workdir: pathlib.Path) -> float | None:
    """Minutes that the steps of a training took, as it logged them; None of a converted model."""
    if not (workdir / "metrics.jsonl").exists():
        return None
    batch_size = checkpoint.read_config(workdir).train.batch_size
    seconds, before = 0.0, 0.0
    for step, rate in read_metrics(workdir / "metrics.jsonl")["train"]["patches_per_second"]:
        seconds += (step - before) * batch_size / rate
        before = step
    return seconds / 60


def measure_costs(
    columns: tuple[str, ...], workdir: pathlib.Path, step: str, name: str, file: pathlib.Path
) -> dict[str, float | None]:
    """Costs of a model by column, of those in `COLUMNS`.

    Args:
      columns: which.
      workdir: the model.
      step: its checkpoint.
      name: of the method, in the file.
      file: for `measured`.
    """
    config, variables, _ = checkpoint.load_generator(workdir, step)
    ways: dict[str, Callable[[], float | None]] = {
        "macs_per_pixel": lambda: macs_per_pixel(make_generator(config)),
        "parameters": lambda: sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "minutes": lambda: training_minutes(workdir),
        "seconds": lambda: measured(
            file, "seconds for 12 MP", name, lambda: photo_seconds(workdir, step)
        ),
    }
    return {column: ways[column]() for column in columns}


def draw(title: str, methods: dict[str, dict[str, Any]]) -> Figure | None:
    """Draws scores against multiply-adds a pixel, which are on a logarithmic axis.

    Args:
      title: of the picture.
      methods: by title, "trained" (whether here) and "runs": their scores and costs. Means are
        drawn, with a line from the lowest to the highest of several runs.

    Returns:
      A chart; None where no method has multiply-adds.
    """
    known = {
        name: method
        for name, method in methods.items()
        if method["runs"] and method["runs"][0].get("macs_per_pixel")
    }
    if not known:
        return None
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    figure.suptitle(title)
    for axes, (score, label) in zip(figure.subplots(1, 2), QUALITIES.items(), strict=True):
        for trained, kind, marker, colour, slant in KINDS:
            drawn = {name: m["runs"] for name, m in known.items() if m["trained"] is trained}
            costs = [runs[0]["macs_per_pixel"] for runs in drawn.values()]
            scores = [[run[score] for run in runs] for runs in drawn.values()]
            means = np.array(list(map(np.mean, scores)))
            beyond = [means - list(map(min, scores)), list(map(max, scores)) - means]
            axes.errorbar(costs, means, beyond, label=kind, fmt=marker, color=colour)
            for name, *where in zip(drawn, costs, means, strict=True):
                style = {"fontsize": 8, "rotation": slant, "rotation_mode": "anchor"}
                offset = {"textcoords": "offset points", "xytext": (6, math.copysign(5, slant))}
                axes.annotate(name, where, color=colour, va="center", **style, **offset)
        axes.set(xscale="log", xlabel="multiply-adds a pixel", ylabel=label)
        axes.margins(x=0.3, y=0.4)  # room for names
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(KINDS))
    return figure
