"""Trains the generator and the discriminator; the same command resumes.

    python -m dped_jax.train --config=configs/paper.py --workdir=runs/iphone

Fields of the config are overridden as --config.train.batch_size=8. Writes to the workdir its
config.json and checkpoints (see checkpoint.py), metrics.jsonl, TensorBoard events, and samples/
with before | enhanced | target pictures.

SIGTERM and Ctrl-C save the step that was reached and end with exit code 75; the same command goes
on. So does a process that has lost another. A second signal ends at once.
"""

import pathlib

from absl import flags

from dped_jax import config_files
from dped_jax.base import command
from dped_jax.base.memory import keep_freed_memory
from dped_jax.train import hosts
from dped_jax.train.loop import train


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    keep_freed_memory()
    workdir = pathlib.Path(FLAGS.workdir)
    processes = FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id
    seconds = {"connect_seconds": FLAGS.connect_seconds, "peer_seconds": FLAGS.peer_seconds}
    with hosts.joined(*processes, **seconds):
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
    flags.DEFINE_integer("connect_seconds", 300, "How long to wait for the others at first.", 1)
    flags.DEFINE_integer("peer_seconds", 60, "How long another may give no sign of life.", 1)
    command.run(main)
