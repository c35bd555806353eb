"""Enhances whole photographs with a trained generator.

    python -m dped_jax.enhance --workdir=runs/iphone --input=photo.jpg --output=enhanced.jpg
    python -m dped_jax.enhance --workdir=runs/iphone --input=photos --output=enhanced

A folder is gone through with its sub-folders, and names are kept. What cannot be read is passed
over, listed at the end, and makes the exit code 1. After an interruption, --skip_existing goes on:
what is there is whole, because results are written under another name first.

The result is that of the network on the whole photograph but for rounding (float32: below 1e-6),
wherever activations are kept; only --half costs more. A --crop is enhanced as if it were the
photograph: instance norm sees its statistics.
"""

import pathlib
import sys
import time

import jax
from absl import flags

from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.memory import keep_freed_memory
from dped_jax.enhance import activations
from dped_jax.enhance.photo_enhancer import keeps_activations
from dped_jax.enhance.worker import (
    Settings,
    Worker,
    enhance_files,
    parse_crop,
    plan,
    use_compilation_cache,
)
from dped_jax.models.generator import make_generator


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    use_compilation_cache()
    for name in ("input", "output"):
        if not FLAGS[name].value:
            raise InputError(f"--{name}: is empty; name a file or folder")
    if FLAGS.scratch_dir and not pathlib.Path(FLAGS.scratch_dir).is_dir():
        raise InputError(f"--scratch_dir={FLAGS.scratch_dir}: no such folder")
    if FLAGS.overwrite and FLAGS.skip_existing:
        raise InputError("give either --overwrite or --skip_existing")
    crop = parse_crop(FLAGS.crop) if FLAGS.crop else None
    source, target = pathlib.Path(FLAGS.input), pathlib.Path(FLAGS.output)
    config, variables, _ = checkpoint.load_generator(FLAGS.workdir, FLAGS.step)
    if not keeps_activations(make_generator(config)):
        keep_freed_memory()  # else the system clears each window's memory anew
    jobs = plan(source, target, FLAGS.overwrite or FLAGS.skip_existing)
    if FLAGS.skip_existing:
        num = len(jobs)
        jobs = [job for job in jobs if not job[1].exists()]
        print(f"photographs skipped: {num - len(jobs)} of {num}, enhanced already (in {target})")
        if not jobs:
            return
    devices = jax.local_devices()[: len(jobs)]
    memory = FLAGS.memory_gb * 1e9 or activations.default_memory()
    names = ("half", "disk", "scratch_dir", "whole", "compare", "quality", "max_megapixels")
    settings = Settings(
        memory=memory / len(devices), crop=crop, **{name: getattr(FLAGS, name) for name in names}
    )
    start = time.monotonic()
    failures, megapixels = enhance_files(
        jobs, [Worker(config, variables, device, settings) for device in devices]
    )
    seconds = time.monotonic() - start
    done = f"{len(jobs) - len(failures)} of {len(jobs)}" if failures else str(len(jobs))
    rate = f"{megapixels:.2f} MP in {seconds:.0f} s, {megapixels / seconds:.2f} MP/s"
    print(f"photographs enhanced: {done}, {rate} (in {target})")
    for failure in failures[:-1]:
        print(f"error: {failure}", file=sys.stderr)
    if failures:
        raise InputError(failures[-1])


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train or convert.", required=True)
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("input", None, "A photograph, or a folder of them.", required=True)
    flags.DEFINE_string("output", None, "File, or folder for a folder.", required=True)
    flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
    flags.DEFINE_bool("skip_existing", False, "Go on: leave out what has an output already.")
    flags.DEFINE_integer("quality", 95, "Of JPEG, WebP and HEIC.", 1, 100)
    flags.DEFINE_bool("compare", False, "Write before | after side by side.")
    flags.DEFINE_string("crop", None, "A quick look at WIDTHxHEIGHT of the middle, or +LEFT+TOP.")
    flags.DEFINE_float("memory_gb", 0, "To use at most; 0: half of what is free, up to 4.", 0)
    flags.DEFINE_bool("half", False, "Keep activations in half precision.")
    flags.DEFINE_bool("disk", False, "Keep activations on disk: least memory, same numbers.")
    flags.DEFINE_string("scratch_dir", None, "Folder for them; by default the system's.")
    flags.DEFINE_bool("whole", False, "Compute in one piece, at 850 bytes a pixel.")
    flags.DEFINE_float("max_megapixels", 200, "Refuse larger photographs.", 0)
    command.run(main)
