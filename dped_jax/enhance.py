"""Enhances whole photographs with a trained generator.

    python -m dped_jax.enhance --workdir=runs/iphone --input=photo.jpg --output=enhanced.png

Works on the photograph in one piece, which takes about 850 bytes of memory a pixel.
"""

import os
import pathlib

import cv2
import jax
import numpy as np
from absl import flags
from tqdm import tqdm

from dped_jax import checkpoint, cli, evaluate
from dped_jax.cli import InputError
from dped_jax.train_step import make_eval_step

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Clips float images to [0, 1] and rounds them to 0..255 uint8."""
    return np.uint8(np.round(np.clip(images, 0, 1) * 255))


def write_image(path: pathlib.Path, image: np.ndarray, quality: int = 95) -> None:
    """Writes (H, W, 3) uint8 RGB, whole or not at all, in the format of the suffix.

    Raises:
      InputError: the suffix is none that can be written.
      OSError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: cannot write {suffix or 'no suffix'}; use {' '.join(SUFFIXES)}")
    options = {".webp": [cv2.IMWRITE_WEBP_QUALITY, quality]}
    if suffix in (".jpg", ".jpeg"):
        options[suffix] = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(suffix, image[..., ::-1], options.get(suffix, []))
    partial = path.with_name(path.name + ".partial")
    try:
        encoded.tofile(partial)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def plan(source: pathlib.Path, target: pathlib.Path) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Which photographs go where: a file to a file, a folder's pictures to a folder.

    Raises:
      InputError: the input is missing or holds no pictures, or an output exists already.
    """
    if source.is_dir():
        inputs = evaluate.list_images(source, "input").values()
        target.mkdir(parents=True, exist_ok=True)
        jobs = [(path, target / path.name) for path in inputs]
    elif source.is_file():
        jobs = [(source, target / source.name if target.is_dir() else target)]
    else:
        raise InputError(f"--input={source}: no such file or folder")
    for _, path in jobs:
        if path.exists():
            raise InputError(f"--output: {path} exists already; remove it or choose another place")
    return jobs


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    jobs = plan(pathlib.Path(FLAGS.input), pathlib.Path(FLAGS.output))
    config, variables, _ = checkpoint.load_generator(FLAGS.workdir, FLAGS.step)
    enhance = jax.jit(make_eval_step(config))
    for source, target in tqdm(jobs, unit="photo"):
        photo = evaluate.read_image(source)
        write_image(target, to_uint8(np.asarray(enhance(variables, photo[None])[0])))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train or convert.", required=True)
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("input", None, "A photograph, or a folder of them.", required=True)
    flags.DEFINE_string("output", None, "File, or folder for a folder.", required=True)
    cli.run(main)
