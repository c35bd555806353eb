"""Batches of pictures to score, matched by file stem: of folders, or of a split and a folder."""

import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from dped_jax import input_pipeline, metrics
from dped_jax.base.errors import InputError
from dped_jax.base.folders import MissingPicturesError, matching_pictures, pictures_by_stem, some
from dped_jax.base.pictures import read_pixels
from dped_jax.base.progress import progress_bar

# (n, H, W, 3) uint8 or uint16, sRGB, by name: "phone", "dslr", "enhanced".
Batch = dict[str, np.ndarray]


def _stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """One array of images of one size; beside 16 bits, those of 8 are written as 16."""
    if len({image.dtype for image in images}) > 1:
        images = [np.uint16(i) * 257 if i.dtype == np.uint8 else i for i in images]
    return np.stack(images)


def folder_batches(folders: dict[str, pathlib.Path], batch_size: int) -> Iterator[Batch]:
    """Yields batches of equal-sized pictures that the folders have in common.

    Args:
      folders: by flag name, as "phone_dir"; the batch's keys are the names without "_dir".
      batch_size: at most so many pictures a batch, in order.

    Yields:
      (n, H, W, 3) uint8 or uint16 arrays.

    Raises:
      InputError: see `matching_pictures`; also pictures of one stem that differ in size.
    """
    batch: list[Batch] = []

    def stacked() -> Batch:
        return {name: _stacked([images[name] for images in batch]) for name in batch[0]}

    for paths in matching_pictures(folders):
        images = {flag.removesuffix("_dir"): read_pixels(path) for flag, path in paths.items()}
        shapes = {image.shape for image in images.values()}
        if len(shapes) > 1:
            sizes = " and ".join(
                f"{path} {image.shape[:2]}"
                for path, image in zip(paths.values(), images.values(), strict=True)
            )
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


def with_progress(batches: Iterable[Batch], num: int) -> Iterator[Batch]:
    """Yields batches of `num` images in all, and shows how many of them have been dealt with."""
    with progress_bar(total=num, desc="scoring", unit=" images", leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch["dslr"]))


def split_batches(
    source: Sequence[dict[str, Any]], enhanced_dir: pathlib.Path, batch_size: int
) -> Iterator[Batch]:
    """Yields the pairs of a split in order, with somebody else's enhanced pictures of them.

    Pictures are matched by the record's name, which is the stem of the patch's file. Those of the
    folder that are not in the split (a whole collection was enhanced, or the dataset was built
    with --skip_corrupt) are not scored, and a warning names them.

    Args:
      source: from `input_pipeline.open_split`.
      enhanced_dir: folder of a picture for each record.
      batch_size: the last batch may be smaller.

    Yields:
      "phone" and "dslr", (n, H, W, 3) uint8 arrays, and "enhanced", likewise or uint16.

    Raises:
      MissingPicturesError: the folder lacks pictures of the split.
      InputError: the folder is missing or empty; a picture cannot be decoded, or its size is not
        that of its patch.
    """
    images = pictures_by_stem(enhanced_dir, "enhanced_dir")
    names = [record["name"].decode() for record in source]
    missing, extra = set(names) - images.keys(), images.keys() - set(names)
    others = f"{len(extra)} of its pictures are not in the split ({some(extra)})"
    if missing:
        problem = (
            f"--enhanced_dir={enhanced_dir}: {len(missing)} of the {len(set(names))} pictures of "
            f"the split are missing here ({some(missing)})"
        )
        raise MissingPicturesError([problem, *([others] if extra else [])], missing)
    if extra:
        logging.warning("--enhanced_dir=%s: %s and are not scored", enhanced_dir, others)
    for start, pairs in zip(
        range(0, len(names), batch_size),
        input_pipeline.eval_batches(source, batch_size),
        strict=True,
    ):
        paths = [images[name] for name in names[start : start + batch_size]]
        enhanced = [read_pixels(path) for path in paths]
        for path, image, dslr in zip(paths, enhanced, pairs["dslr"], strict=True):
            if image.shape != dslr.shape:
                raise InputError(
                    f"{path}: {image.shape[:2]} pixels (height, width), where the split's patch "
                    f"has {dslr.shape[:2]}"
                )
        yield pairs | {"enhanced": _stacked(enhanced)}
