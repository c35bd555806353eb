"""Puts the pages of several experiments into one.

    python -m dped_jax.experiments.report --runs=runs/table2,runs/table3,runs/figure6 \
        --output=runs/report.html

Runs are the output folders of other commands of this package. The page is self-contained, as
theirs are.
"""

import pathlib
import re
from collections.abc import Sequence
from html import escape

from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.pages import web_page

TITLE = "DSLR-quality photos: the paper's experiments"


def read_page(run: pathlib.Path) -> tuple[str, str]:
    """Title and content of the report.html of an experiment, headings one level lower.

    Raises:
      InputError: there is none, or somebody else wrote it.
    """
    path = run / "report.html"
    if not path.is_file():
        raise InputError(f"--runs: {path}: no such file; an experiment's command writes it")
    found = re.search(r"<main><h1>(.*?)</h1>(.*)</main>", path.read_text(), re.DOTALL)
    if not found:
        raise InputError(f"--runs: {path}: not the page of an experiment")
    title, content = found.groups()
    return title, re.sub(r"<(/?)h2>", r"<\1h3>", content)


def combine(runs: Sequence[pathlib.Path]) -> str:
    """One page of the reports of several runs, with a list of them at its beginning."""
    listed, parts = "", ""
    for k, run in enumerate(runs):
        title, content = read_page(run)
        listed += f'<li><a href="#run{k}">{title}</a> ({escape(run.name)})</li>'
        parts += f'<section id="run{k}"><h2>{title}</h2>{content}</section>'
    return web_page.page(TITLE, "", {"Contents": f"<ol>{listed}</ol>"}, parts)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    write_atomically(FLAGS.output, combine([pathlib.Path(run) for run in FLAGS.runs]))
    print(f"report: {FLAGS.output}")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_list("runs", None, "Output folders of experiments, by commas.", required=True)
    flags.DEFINE_string("output", None, "HTML file to write.", required=True)
    command.run(main)
