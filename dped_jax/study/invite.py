"""Makes invitation links, one for each participant, on standard output.

    python -m dped_jax.study invite --study=study.yaml --database=votes.sqlite --count=42 \
        --url=https://study.example.org > links.txt

A link is its participant's key; the database keeps only a hash of it, so it is shown only once.
"""

import pathlib
import urllib.parse

from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.study import definition as study_file
from dped_jax.study import pictures, store


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    if urllib.parse.urlsplit(FLAGS.url).scheme not in ("http", "https"):
        raise InputError(f"--url={FLAGS.url}: must begin with https:// or http://")
    study = study_file.load(pathlib.Path(FLAGS.study))
    for group in study.groups:
        if problem := pictures.names_problem(group):
            raise InputError(problem)
    with store.opened(FLAGS.database, create=True) as database:
        database.define(study)
        for token in database.invite(FLAGS.count):
            print(f"{FLAGS.url.rstrip('/')}/invitation/{token}")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("study", None, "Study file (YAML).", required=True)
    flags.DEFINE_string(
        "database", None, "SQLite file, or postgresql://USER@HOST/NAME.", required=True
    )
    flags.DEFINE_integer("count", 1, "Number of invitations.", lower_bound=1, upper_bound=100_000)
    flags.DEFINE_string("url", "http://127.0.0.1:8000", "Address of the study's server.")
    command.run(main)
