"""Batches of patch pairs: TFDS data source -> grain -> NumPy.

Images are RGB, NHWC, uint8. What is drawn for a global batch is a function of the seed and the
position alone: the same ones come on any number of processes, each of which loads its own
contiguous part, and from whatever holds the pairs.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import grain
import ml_collections
import numpy as np
import tensorflow_datasets as tfds

from dped_jax.base.errors import InputError

PATCH_SIZE = 100  # pixels (section 3.2.1)
DATASET_VERSION = "1.1.0"  # what data_builders.dped.build makes
_REMEDY = "build it with python -m data_builders.dped.build --phone="
NUM_EPOCHS = 2**31  # for ever; the length of a truly endless dataset overflows at batch size 1
Pairs = dict[str, np.ndarray]
Draws = dict[str, np.ndarray]


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


def load_pairs(source: Any, indices: Sequence[int]) -> Pairs:
    """Decodes pairs of `open_split`: phone and dslr, (n, H, W, 3) uint8; OSError if damaged."""
    try:
        records = source.__getitems__([int(i) for i in indices])
    except RuntimeError as error:  # of the file, whose parts have checksums
        problem = f"{source.dataset_info.data_dir}: damaged ({error}); bring it back from a copy"
        raise OSError(f"{problem}, or remove the folder and build it again") from error
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return {
        name: np.stack([cv2.imdecode(np.frombuffer(r[name], np.uint8), flags) for r in records])
        for name in ("phone", "dslr")
    }


def train_draws(config: ml_collections.ConfigDict, num_pairs: int) -> grain.MapDataset:
    """Which pairs make each global batch, for ever, and what is done to them.

    Every epoch has its own order. A batch's draws are a function of the seed and its number alone.

    Args:
      config: the experiment; its seed, batch size and `data` are used.
      num_pairs: of the training split.

    Returns:
      For every batch of B pairs "index", (B,) int64, and of what the config asks for "corner",
      (B, 2) int64, top and left of the crop; "flip", (B, 2) bool, up-down and left-right; "gain",
      (B, 3) float32; "transpose", (B,) bool.

    Raises:
      InputError: fewer pairs than a batch holds.
    """
    batch_size, options = config.train.batch_size, config.data
    if num_pairs < batch_size:
        raise InputError(
            f"config.train.batch_size={batch_size}: the training split has only {num_pairs} pairs"
        )

    def draw(indices: np.ndarray, rng: np.random.Generator) -> Draws:
        flips = rng.random((batch_size, 2)) < 0.5  # all are drawn, whatever is used of them
        corners = rng.random((batch_size, 2))
        transposed = rng.random(batch_size) < 0.5
        deviations = rng.standard_normal((batch_size, 4))
        draws = {"index": indices}
        if options.crop:
            draws["corner"] = np.int64(corners * (PATCH_SIZE - options.crop + 1))
        if options.flip:
            draws["flip"] = flips
        if options.gain or options.channel_gain:
            common, by_channel = deviations[:, :1], deviations[:, 1:]
            gains = np.exp(options.gain * common + options.channel_gain * by_channel)
            draws["gain"] = gains.astype(np.float32)
        if options.transpose:
            draws["transpose"] = transposed
        return draws

    indices = grain.MapDataset.range(num_pairs).shuffle(seed=config.seed).repeat(NUM_EPOCHS)
    return indices.batch(batch_size).random_map(draw, seed=config.seed)


def iterate(batches: grain.MapDataset) -> grain.DatasetIterator:
    """Iterates over batches or draws of batches, a few ahead of who takes them.

    The iterator's state is one number, the position: batches drawn so far (`get_state`,
    `set_state`).
    """
    # Few batches ahead: the default would hold gigabytes of them.
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def train_batches(
    config: ml_collections.ConfigDict,
    load: Callable[[Sequence[int]], Pairs] | None = None,
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """Iterates forever over this process's part of shuffled global batches.

    Args:
      config: the experiment; its seed, batch size and `data` are used.
      load: gives pairs of the training split; None decodes the dataset's.
      process_index: which part of every global batch to load.
      process_count: into how many equal parts it is cut.

    Returns:
      An iterator of `Pairs` of batch_size / process_count pairs, see `iterate`.

    Raises:
      InputError: no dataset, or fewer pairs than a batch holds.
    """
    source = open_split(config.data.data_dir, config.data.phone, "train")
    load = load or functools.partial(load_pairs, source)
    size = config.train.batch_size // process_count
    own_part = slice(process_index * size, (process_index + 1) * size)

    def pairs(draws: Draws) -> Pairs:
        own = {name: values[own_part] for name, values in draws.items()}
        return augment(load(own.pop("index")), own, config.data.crop)

    return iterate(train_draws(config, len(source)).map(pairs))


def augment(pairs: Pairs, draws: Draws, crop: int) -> Pairs:
    """Does to pairs what `train_draws` has drawn; `crop` is the config's."""
    if "corner" in draws:
        pairs = random_crops(pairs, draws["corner"], crop)
    if "flip" in draws:
        pairs = random_flips(pairs, draws["flip"])
    if "gain" in draws:
        pairs = random_gains(pairs, draws["gain"])
    return transposes(pairs, draws["transpose"]) if "transpose" in draws else pairs


def _changed(pairs: Pairs, change: Callable[[int, np.ndarray, np.ndarray], Any]) -> Pairs:
    """New pairs, into which `change(k, image, new)` has written both images of each."""
    changed = {name: np.empty_like(images) for name, images in pairs.items()}
    for name, images in pairs.items():
        for k, image in enumerate(images):
            change(k, image, changed[name][k])
    return changed


def random_crops(pairs: Pairs, corners: np.ndarray, size: int) -> Pairs:
    """Crops both images of a pair at the same place, to (n, size, size, 3) arrays.

    Args:
      pairs: (n, H, W, 3) arrays.
      corners: (n, 2) integers, top and left of the crop.
      size: side of the crop in pixels.
    """

    def crop(images: np.ndarray) -> np.ndarray:
        places = zip(images, corners, strict=True)
        return np.stack([image[y : y + size, x : x + size] for image, (y, x) in places])

    return {name: crop(images) for name, images in pairs.items()}


def random_flips(pairs: Pairs, flips: np.ndarray) -> Pairs:
    """Flips both images of a pair alike.

    Args:
      pairs: (n, H, W, 3) uint8 arrays.
      flips: (n, 2) bool, whether to flip up-down and left-right.
    """
    of_both = {(True, False): 0, (False, True): 1, (True, True): -1}
    # OpenCV's; NumPy takes 20 times.
    codes = [of_both.get((up_down, left_right)) for up_down, left_right in flips.tolist()]

    def flip(k: int, image: np.ndarray, new: np.ndarray) -> None:
        if codes[k] is None:
            new[:] = image
        else:
            cv2.flip(image, codes[k], dst=new)

    return _changed(pairs, flip)


def random_gains(pairs: Pairs, gains: np.ndarray) -> Pairs:
    """Multiplies both images of a pair alike, lest few pairs be known by their colours.

    Args:
      pairs: (n, H, W, 3) uint8 arrays.
      gains: (n, 3) float32 of each channel; what exceeds 255 becomes 255.
    """
    values = np.arange(256, dtype=np.float32)[:, None]
    tables = np.uint8(np.minimum(np.round(values * gains[:, None]), 255))  # (n, 256, 3)
    return _changed(pairs, lambda k, image, new: cv2.LUT(image, tables[k, None], dst=new))


def transposes(pairs: Pairs, transposed: np.ndarray) -> Pairs:
    """Exchanges rows and columns of both images of a pair: with flips, the square's 8 symmetries.

    Args:
      pairs: (n, H, H, 3) uint8 arrays.
      transposed: (n,) bool, whether to.
    """

    def transpose(k: int, image: np.ndarray, new: np.ndarray) -> None:
        if transposed[k]:
            cv2.transpose(image, dst=new)
        else:
            new[:] = image

    return _changed(pairs, transpose)


def eval_batches(
    source: Sequence[dict[str, Any]], batch_size: int, num_pairs: int | None = None
) -> Iterator[Pairs]:
    """Yields the first `num_pairs` pairs (default all) in order; the last batch may be smaller."""
    num_pairs = min(len(source), num_pairs or len(source))
    for start in range(0, num_pairs, batch_size):
        yield load_pairs(source, range(start, min(start + batch_size, num_pairs)))
