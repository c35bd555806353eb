"""Says what is wrong with a study before anyone sees it, and how long it takes.

python -m dped_jax.study check --study=study.yaml
"""

import pathlib

from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.study import definition as study_file
from dped_jax.study import pictures


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    study = study_file.load(pathlib.Path(FLAGS.study))
    size, problems = 0, []
    for result in pictures.encode_scenes(study):
        if isinstance(result, Exception):
            problems.append(result)
        else:
            size += sum(map(len, result.values()))
    for problem in problems:
        print(f"problem: {problem}")
    if problems:
        number = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise InputError(f"{FLAGS.study}: {number}, listed above; mend the study")
    asked = study_file.order(study_file.define(study), seed=0)
    for group in study.groups:
        count = sum(q.group == group.name and not q.repeated for q in asked)
        print(f"{group.name}: {count} questions on {', '.join(group.folders)}")
    minutes = len(asked) * study.seconds_per_question / 60
    again = f", and {study.repeats} of them again" if study.repeats else ""
    print(
        f"{len(asked) - study.repeats} questions{again}: about {minutes:.0f} minutes at"
        f" {study.seconds_per_question:g} seconds each; {size / 1e6:.1f} MB of pictures"
    )


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("study", None, "Study file (YAML).", required=True)
    command.run(main)
