"""Scores enhanced patches or photographs against those of a DSLR.

    python -m dped_jax.evaluate --workdir=runs/iphone                # its dataset's test split
    python -m dped_jax.evaluate --workdir=runs/iphone --phone_dir=D --dslr_dir=D
    python -m dped_jax.evaluate --enhanced_dir=D --phone_dir=D --dslr_dir=D

Folders hold pictures with the same file stems. Scores are means over the images; PSNR over those
that differ from their target, the identical ones being counted.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator

import cv2
import jax
import numpy as np
from absl import flags

from dped_jax import checkpoint, cli, input_pipeline, metrics
from dped_jax.cli import InputError
from dped_jax.train_step import make_eval_step, to_float

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
DPED_BATCH_SIZE = 50  # of the `dped` protocol, part of its definition
Scores = dict[str, np.ndarray]


def read_image(path: pathlib.Path) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB, its EXIF orientation applied.

    Raises:
      InputError: it is missing or cannot be decoded.
    """
    encoded = np.fromfile(path, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None
    if image is None:
        raise InputError(f"{path}: not a picture that can be decoded; replace or remove it")
    return image


def list_images(folder: pathlib.Path, flag: str) -> dict[str, pathlib.Path]:
    """The pictures of a folder by file stem.

    Raises:
      InputError: the folder is missing or empty, or two pictures share a stem.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"--{flag}={folder}: no such folder")
    images = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in images:
                raise InputError(f"--{flag}: {images[path.stem]} and {path} share a name")
            images[path.stem] = path
    if not images:
        raise InputError(f"--{flag}={folder}: holds no pictures ({' '.join(SUFFIXES)})")
    return images


def matching_images(folders: dict[str, pathlib.Path]) -> list[dict[str, pathlib.Path]]:
    """Pictures that folders hold under the same stem.

    Args:
      folders: by flag name.

    Returns:
      For each stem, in natural order, the path by flag name.

    Raises:
      InputError: a folder is missing or empty, or lacks a picture that another one has.
    """
    listings = {flag: list_images(folder, flag) for flag, folder in folders.items()}
    stems = set().union(*listings.values())
    for flag, images in listings.items():
        missing = sorted(stems - images.keys())
        if missing:
            raise InputError(
                f"--{flag}={folders[flag]}: {len(missing)} pictures of the other folders are "
                f"missing here ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''})"
            )
    ordered = sorted(stems, key=lambda stem: (len(stem), stem))
    return [{flag: images[stem] for flag, images in listings.items()} for stem in ordered]


def folder_batches(folders: dict[str, pathlib.Path], batch_size: int) -> Iterator[Scores]:
    """Yields batches of equal-sized pictures that the folders have in common.

    Args:
      folders: by flag name, as "phone_dir"; the batch's keys are the names without "_dir".
      batch_size: at most so many pictures a batch, in order.

    Yields:
      (n, H, W, 3) uint8 arrays.

    Raises:
      InputError: see `matching_images`; also pictures of one stem that differ in size.
    """
    batch: list[dict[str, np.ndarray]] = []

    def stacked() -> Scores:
        return {name: np.stack([images[name] for images in batch]) for name in batch[0]}

    for paths in matching_images(folders):
        images = {flag.removesuffix("_dir"): read_image(path) for flag, path in paths.items()}
        shapes = {image.shape for image in images.values()}
        if len(shapes) > 1:
            sizes = " and ".join(f"{path} {read_image(path).shape[:2]}" for path in paths.values())
            raise InputError(f"{sizes} differ in size (height, width)")
        if min(images["dslr"].shape[:2]) < metrics.MIN_MS_SSIM_SIDE:
            raise InputError(
                f"{paths['dslr_dir']}: smaller than the {metrics.MIN_MS_SSIM_SIDE} pixels a side "
                "that MS-SSIM needs"
            )
        if batch and (len(batch) == batch_size or batch[0]["dslr"].shape not in shapes):
            yield stacked()
            batch = []
        batch.append(images)
    yield stacked()


def _padded(images: np.ndarray, size: int) -> np.ndarray:
    """Repeats the last image up to a batch of `size`, so that one compiled program serves all."""
    return np.concatenate([images, np.repeat(images[-1:], size - len(images), axis=0)])


def score_batches(
    enhance: Callable[[np.ndarray], jax.Array] | None,
    batches: Iterable[dict[str, np.ndarray]],
    protocol: str = "pirm",
) -> dict[str, Scores]:
    """Scores the input and the enhanced images of batches.

    Args:
      enhance: gives (N, H, W, 3) float32, unclipped, for uint8 phone images; None where the batches
        hold "enhanced" images already.
      batches: of "phone", "dslr" and perhaps "enhanced", (n, H, W, 3) uint8; "phone" may be absent.
      protocol: "pirm", one score an image; or "dped", one score a batch of 50, where a batch that
        is smaller is left out.

    Returns:
      {"input": scores, "enhanced": scores}; each holds "psnr" (dB), "ms_ssim" and "ssim", (N,)
      float arrays of one value an image or batch.
    """
    score = jax.jit({"pirm": metrics.pirm_scores, "dped": metrics.dped_scores}[protocol])
    collected: dict[str, dict[str, list]] = {}
    sizes: dict[tuple[int, ...], int] = {}
    for batch in batches:
        num, *shape = batch["dslr"].shape
        if protocol == "dped" and num < DPED_BATCH_SIZE:
            continue
        sizes[*shape] = max(num, sizes.get(tuple(shape), 0))
        padded = {name: _padded(images, sizes[*shape]) for name, images in batch.items()}
        compared = {}
        if "phone" in padded:
            compared["input"] = to_float(padded["phone"])
        if enhance:
            compared["enhanced"] = enhance(padded["phone"])
        elif "enhanced" in padded:
            compared["enhanced"] = to_float(padded["enhanced"])
        target = to_float(padded["dslr"])
        for name, images in compared.items():
            for metric, values in score(images, target).items():
                kept = np.atleast_1d(np.asarray(values))[:num]
                collected.setdefault(name, {}).setdefault(metric, []).append(kept)
    return {
        name: {metric: np.concatenate(values) for metric, values in scores.items()}
        for name, scores in collected.items()
    }


def summarize(scores: Scores) -> dict[str, float]:
    """Means of scores as from `score_batches`: PSNR over finite values, with the count left out."""
    psnr, identical = metrics.summarize_psnr(scores["psnr"])
    return {
        "psnr": psnr,
        "ms_ssim": float(np.mean(scores["ms_ssim"], dtype=np.float64)),
        "ssim": float(np.mean(scores["ssim"], dtype=np.float64)),
        "identical_pairs": identical,
    }


def format_summary(name: str, summary: dict[str, float]) -> str:
    """One line of a result for people to read."""
    line = (
        f"{name:<10} PSNR {summary['psnr']:6.3f} dB   MS-SSIM {summary['ms_ssim']:.4f}   "
        f"SSIM {summary['ssim']:.4f}"
    )
    identical = summary["identical_pairs"]
    return line + (f"   ({identical} identical pairs left out of PSNR)" if identical else "")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    names = [name for name in ("enhanced_dir", "phone_dir", "dslr_dir") if FLAGS[name].value]
    folders = {name: pathlib.Path(FLAGS[name].value) for name in names}
    if bool(FLAGS.workdir) == bool(FLAGS.enhanced_dir):
        raise InputError("give either --workdir or --enhanced_dir")
    if folders and "dslr_dir" not in folders:
        raise InputError("--dslr_dir: needed with --phone_dir and --enhanced_dir")
    enhance, step, batch_size = None, None, DPED_BATCH_SIZE
    if FLAGS.workdir:
        if folders and "phone_dir" not in folders:
            raise InputError("--phone_dir: needed with --workdir and --dslr_dir")
        config, variables, step = checkpoint.load_generator(FLAGS.workdir, FLAGS.step)
        if FLAGS.data_dir:
            config.data.data_dir = FLAGS.data_dir
        enhance_variables = jax.jit(make_eval_step(config))

        def enhance(images):
            return enhance_variables(variables, images)

        if not folders:
            source = input_pipeline.open_split(config, FLAGS.split)
            batches = input_pipeline.eval_batches(source, batch_size)
    if folders:
        batches = folder_batches(folders, batch_size)
    scores = score_batches(enhance, batches, FLAGS.protocol)
    if not scores:
        raise InputError(f"--protocol=dped: needs a full batch of {DPED_BATCH_SIZE} images")

    summaries = {name: summarize(values) for name, values in scores.items()}
    unit = "images" if FLAGS.protocol == "pirm" else f"batches of {DPED_BATCH_SIZE}"
    count = len(scores["enhanced"]["psnr"])
    source = f"{FLAGS.workdir} step {step}" if step is not None else FLAGS.enhanced_dir
    print(f"{source}: {count} {unit}, protocol {FLAGS.protocol}")
    for name, summary in summaries.items():
        print(format_summary(name, summary))
    if FLAGS.json:
        images = count * (1 if FLAGS.protocol == "pirm" else DPED_BATCH_SIZE)
        for summary in summaries.values():
            if math.isnan(summary["psnr"]):  # every pair is identical; NaN is not JSON
                summary["psnr"] = None
        result = {"protocol": FLAGS.protocol, "images": images} | summaries
        cli.write_atomically(FLAGS.json, json.dumps(result, indent=2) + "\n")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: a folder made by dped_jax.train or convert.")
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("data_dir", None, "Where the dataset is, if not where it was in training.")
    flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Split of the dataset.")
    flags.DEFINE_string("enhanced_dir", None, "Instead of a model: pictures that it has made.")
    flags.DEFINE_string("phone_dir", None, "Folder of phone pictures.")
    flags.DEFINE_string("dslr_dir", None, "Folder of DSLR pictures.")
    flags.DEFINE_enum("protocol", "pirm", ["pirm", "dped"], "How scores are taken (README).")
    flags.DEFINE_string("json", None, "File for the scores.")
    cli.run(main)
