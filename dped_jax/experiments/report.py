"""Puts the pages of several experiments into one.

    python -m dped_jax.experiments.report --runs=runs/table2,runs/table3,runs/figure6 \
        --output=runs/report.html

Runs are the output folders of other commands of this package. The page is self-contained, as
theirs are.
"""

import pathlib
import re
from collections.abc import Sequence

from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.pages import web_page

TITLE = "DSLR-quality photos: the paper's experiments"


def read_page(run: pathlib.Path) -> dict[str, str]:
    """Name of a run, and title and content of its report.html, headings one level lower.

    Raises:
      InputError: there is none, or somebody else wrote it.
    """
    path = run / "report.html"
    if not path.is_file():
        raise InputError(f"--runs: {path}: no such file; an experiment's command writes it")
    page = re.search(r"<main><h1>(.*?)</h1>(.*)</main>", path.read_text(), re.DOTALL)
    if not page:
        raise InputError(f"--runs: {path}: not the page of an experiment")
    title, content = page.groups()
    return {"name": run.name, "title": title, "content": re.sub("<(/?)h2>", r"<\1h3>", content)}


def combine(runs: Sequence[pathlib.Path]) -> str:
    """One page of the reports of several runs, with a list of them at its beginning."""
    return web_page.render("experiments", TITLE, runs=list(map(read_page, runs)))


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
