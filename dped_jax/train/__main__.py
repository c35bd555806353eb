"""Trains the generator and the discriminator; the same command resumes.

    python -m dped_jax.train --config=configs/paper.py --workdir=runs/iphone

Fields of the config are overridden as --config.train.batch_size=8. Writes to the workdir its
config.json and checkpoints (see checkpoint.py), metrics.jsonl, TensorBoard events, and samples/
with before | enhanced | target pictures.
"""

import pathlib

import jax
from absl import flags

from dped_jax import cli
from dped_jax.cli import InputError, config_files
from dped_jax.train.loop import train


def join_processes(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several that train together; all must call it first.

    Args:
      coordinator: "host:port" of process 0, or "auto" where the cluster tells (TPU pods, Slurm,
        Open MPI).
      num_processes: needed with "host:port".
      process_id: from 0; needed with "host:port".

    Raises:
      InputError: the processes do not find each other.
    """
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--coordinator={coordinator}: {error}") from error


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    if FLAGS.coordinator:
        join_processes(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    workdir = pathlib.Path(FLAGS.workdir)
    train(FLAGS.config, workdir, FLAGS.num_devices)
    print(f"trained: {workdir}; next: python -m dped_jax.evaluate --workdir={workdir}")


FLAGS = flags.FLAGS


if __name__ == "__main__":
    config_files.define_flag("paper.py", "The experiment.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_integer("num_devices", None, "How many devices to use; as many as possible.")
    flags.DEFINE_string("coordinator", None, "Several hosts: host:port of process 0, or auto.")
    flags.DEFINE_integer("num_processes", None, "With --coordinator=host:port: how many.")
    flags.DEFINE_integer("process_id", None, "With --coordinator=host:port: which, from 0.")
    cli.run(main)
