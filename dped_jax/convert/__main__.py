"""Converts published TensorFlow generators into a workdir.

    python -m dped_jax.convert --checkpoint=models/iphone_orig --workdir=runs/iphone_orig

Needs TensorFlow (pip install tensorflow-cpu), which nothing else in this project does. Takes any
released net of the residual family (9x9 conv, blocks, two 3x3 convs, 9x9 conv, instance norm),
SRCNN, and PPCN's teacher and student.
"""

import pathlib
import shutil

import jax
from absl import flags

from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.convert.generators import convert_generator, read_tensorflow_checkpoint


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    workdir = pathlib.Path(FLAGS.workdir)
    if (workdir / "config.json").exists():
        raise InputError(f"--workdir={workdir}: holds a model already; choose another")
    config, params = convert_generator(read_tensorflow_checkpoint(FLAGS.checkpoint))
    if (workdir / "checkpoints").exists():
        raise InputError(f"--workdir={workdir}: holds checkpoints already; choose another")
    made = workdir / "checkpoints" if workdir.exists() else workdir
    try:
        with checkpoint.open_manager(workdir) as manager:
            checkpoint.save(manager, 0, generator={"params": params, "batch_stats": {}})
            checkpoint.finish(manager)
        checkpoint.write_config(workdir, config)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    count = sum(array.size for array in jax.tree.leaves(params))
    print(f"converted: {workdir}, {config.generator.architecture}, {count:,} parameters")
    print(f"next: python -m dped_jax.enhance --workdir={workdir} --input=PHOTO --output=FILE")


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Prefix of a TensorFlow checkpoint.", required=True)
    flags.DEFINE_string("workdir", None, "Folder to make.", required=True)
    command.run(main)
