"""Writes all votes as CSV, one a row.

python -m dped_jax.study export --database=votes.sqlite --output=votes.csv
"""

import pathlib

from absl import flags

from dped_jax.base import command
from dped_jax.pages import outputs
from dped_jax.study import store

HEADER = (
    "participant", "question", "group", "picture", "left", "right", "chosen", "repeated", "seconds",
)  # fmt: skip


def row(vote: dict) -> dict:
    """A vote as the file has it; questions count from 1, `repeated` is 0 or 1."""
    seconds, repeated = vote["milliseconds"] / 1000, int(vote["repeated"])
    return vote | {"question": vote["position"] + 1, "repeated": repeated, "seconds": seconds}


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    with store.opened(FLAGS.database) as database:
        votes = database.votes()
    outputs.write_csv(pathlib.Path(FLAGS.output), HEADER, map(row, votes))
    print(f"{len(votes)} votes of {len({vote['participant'] for vote in votes})} participants")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string(
        "database", None, "SQLite file, or postgresql://USER@HOST/NAME.", required=True
    )
    flags.DEFINE_string("output", None, "CSV file to write.", required=True)
    command.run(main)
