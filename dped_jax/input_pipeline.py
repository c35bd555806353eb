"""Batches of patch pairs: TFDS data source -> grain -> NumPy.

Images are RGB, NHWC, uint8. The order is a function of the seed and the position alone: the same
global batches come on any number of processes, each of which decodes its own contiguous part.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import grain
import ml_collections
import numpy as np
import tensorflow_datasets as tfds

from dped_jax.cli import InputError

PATCH_SIZE = 100  # pixels (section 3.2.1)
DATASET_VERSION = "1.1.0"  # what data_builders.dped.build makes
_REMEDY = "build it with python -m data_builders.dped.build --phone="
NUM_EPOCHS = 2**31  # for ever; the length of a truly endless dataset overflows at batch size 1
Pairs = dict[str, np.ndarray]


def dataset_folder(data_dir: str | pathlib.Path, phone: str) -> pathlib.Path:
    """Where a phone's dataset is, in all its versions."""
    return pathlib.Path(data_dir).expanduser() / "dped" / phone


def open_dataset(data_dir: str | pathlib.Path, phone: str) -> tfds.core.DatasetBuilder:
    """Opens what data_builders.dped.build has made; InputError where there is nothing such."""
    folder = dataset_folder(data_dir, phone)
    versions = sorted(file.parent.name for file in folder.glob("*/dataset_info.json"))
    if DATASET_VERSION in versions:
        return tfds.builder_from_directory(folder / DATASET_VERSION)
    problem = f"no dataset in {folder}"
    if versions:
        problem = f"the dataset in {folder} is of version {versions[-1]}, not {DATASET_VERSION}"
    raise InputError(f"config.data.data_dir: {problem}: {_REMEDY}{phone}")


def open_split(data_dir: str | pathlib.Path, phone: str, split: str) -> Sequence[dict[str, Any]]:
    """Opens a split of the dataset that data_builders.dped.build has made.

    Args:
      data_dir: where it has put the datasets.
      phone: which of them.
      split: train, validation or test.

    Returns:
      A random-access source of {"phone", "dslr"} encoded images, the patch's "name" and "photo", as
      bytes, and the pair's "correlation".

    Raises:
      InputError: there is no such dataset, it is of another version, or it lacks the split.
    """
    builder, folder = open_dataset(data_dir, phone), dataset_folder(data_dir, phone)
    if split not in builder.info.splits or not builder.info.splits[split].num_examples:
        raise InputError(f"config.data: the dataset in {folder} has no {split} split")
    skip = {name: tfds.decode.SkipDecoding() for name in ("phone", "dslr")}
    try:
        return builder.as_data_source(split, decoders=skip)
    except NotImplementedError as error:
        problem = f"the dataset in {folder} is not in array_record format"
        raise InputError(f"config.data.data_dir: {problem}: {_REMEDY}{phone}") from error


def load_pairs(source: Sequence[dict[str, Any]], indices: Sequence[int]) -> Pairs:
    """Decodes pairs of a source from `open_split`: `phone` and `dslr`, (n, H, W, 3) uint8."""
    records = source.__getitems__([int(i) for i in indices])  # type: ignore[attr-defined]

    def decode(name: str) -> np.ndarray:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        encoded = [np.frombuffer(record[name], np.uint8) for record in records]
        return np.stack([cv2.imdecode(image, flags) for image in encoded])

    return {"phone": decode("phone"), "dslr": decode("dslr")}


def train_batches(
    config: ml_collections.ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.DatasetIterator:
    """Iterates forever over this process's part of shuffled global batches.

    Every epoch has its own order. The iterator's state is one number, the position: batches drawn
    so far (`get_state`, `set_state`).

    Args:
      config: the experiment; its seed, batch size and flips are used.
      process_index: which part of every global batch to load.
      process_count: into how many equal parts it is cut.

    Returns:
      An iterator of `Pairs` of batch_size / process_count pairs.

    Raises:
      InputError: no dataset, or fewer pairs than a batch holds.
    """
    source = open_split(config.data.data_dir, config.data.phone, "train")
    batch_size = config.train.batch_size
    if len(source) < batch_size:
        raise InputError(
            f"config.train.batch_size={batch_size}: the training split has only {len(source)} pairs"
        )
    size = batch_size // process_count
    own_part = slice(process_index * size, (process_index + 1) * size)

    def load(indices: np.ndarray, rng: np.random.Generator) -> Pairs:
        flips = rng.random((batch_size, 2)) < 0.5  # drawn for the global batch
        corners = rng.random((batch_size, 2))
        transposed = rng.random(batch_size) < 0.5
        deviations = rng.standard_normal((batch_size, 4))
        pairs = load_pairs(source, indices[own_part])
        if config.data.crop:
            pairs = random_crops(pairs, corners[own_part], config.data.crop)
        if config.data.flip:
            pairs = random_flips(pairs, flips[own_part])
        if config.data.gain or config.data.channel_gain:
            common, by_channel = deviations[own_part, :1], deviations[own_part, 1:]
            gains = np.exp(config.data.gain * common + config.data.channel_gain * by_channel)
            pairs = random_gains(pairs, gains)
        return transposes(pairs, transposed[own_part]) if config.data.transpose else pairs

    batches = (
        grain.MapDataset.range(len(source))
        .shuffle(seed=config.seed)
        .repeat(NUM_EPOCHS)
        .batch(batch_size)
        .random_map(load, seed=config.seed)
    )
    # Few batches ahead: the default would hold gigabytes of them.
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def random_crops(pairs: Pairs, corners: np.ndarray, size: int) -> Pairs:
    """Crops both images of a pair at the same place.

    Args:
      pairs: (n, H, W, 3) arrays.
      corners: (n, 2) float in [0, 1), the upper left corner as part of the way it can go.
      size: side of the crop in pixels.

    Returns:
      (n, size, size, 3) arrays.
    """
    height, width = pairs["phone"].shape[1:3]
    tops, lefts = (np.int64(corners * [height - size + 1, width - size + 1])).T

    def crop(images: np.ndarray) -> np.ndarray:
        places = zip(images, tops, lefts, strict=True)
        return np.stack([image[y : y + size, x : x + size] for image, y, x in places])

    return {name: crop(images) for name, images in pairs.items()}


def random_flips(pairs: Pairs, flips: np.ndarray) -> Pairs:
    """Flips both images of a pair alike.

    Args:
      pairs: (n, H, W, 3) arrays.
      flips: (n, 2) bool, whether to flip up-down and left-right.
    """

    def flip(images: np.ndarray) -> np.ndarray:
        images = np.where(flips[:, 0, None, None, None], images[:, ::-1], images)
        return np.where(flips[:, 1, None, None, None], images[:, :, ::-1], images)

    return {name: flip(images) for name, images in pairs.items()}


def random_gains(pairs: Pairs, gains: np.ndarray) -> Pairs:
    """Multiplies both images of a pair alike, lest few pairs be known by their colours.

    Args:
      pairs: (n, H, W, 3) uint8 arrays.
      gains: (n, 3) of each channel; what exceeds 255 becomes 255.
    """
    gains = gains[:, None, None].astype(np.float32)
    return {
        name: np.uint8(np.minimum(np.round(images * gains), 255)) for name, images in pairs.items()
    }


def transposes(pairs: Pairs, transposed: np.ndarray) -> Pairs:
    """Exchanges rows and columns of both images of a pair: with flips, the square's 8 symmetries.

    Args:
      pairs: (n, H, H, 3) arrays.
      transposed: (n,) bool, whether to.
    """
    where = transposed[:, None, None, None]
    return {name: np.where(where, images.swapaxes(1, 2), images) for name, images in pairs.items()}


def eval_batches(
    source: Sequence[dict[str, Any]], batch_size: int, num_pairs: int | None = None
) -> Iterator[Pairs]:
    """Yields the first `num_pairs` pairs (default all) in order; the last batch may be smaller."""
    num_pairs = min(len(source), num_pairs or len(source))
    for start in range(0, num_pairs, batch_size):
        yield load_pairs(source, range(start, min(start + batch_size, num_pairs)))
