"""Finds pairs of patches on disk, splits them, and checks every file. Writes nothing.

A pair is two files of the same stem, one in the phone's folder and one in the DSLR camera's. Files
are .jpg, .jpeg or .png; other files in the folders are ignored. Pairs are in natural order of
their stems (2 before 10) everywhere.

Imports here are relative because `tfds build` imports this folder as the package `dped`.
"""

import collections
import concurrent.futures
import dataclasses
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from .cli import InputError

PATCH_SIZE = 100  # section 3.2.1
MAX_HELD_OUT = 2000  # section 3.2.1: 2K validation patches
HELD_OUT_DIVISOR = 20  # a small set gives 5 % instead

PATCH_SUFFIXES = (".jpg", ".jpeg", ".png")
# Of each phone, which is a config of the builder: folders of the phone's and the DSLR's patches.
CAMERA_FOLDERS: dict[str, tuple[str, str]] = {
    "iphone": ("iphone", "canon"),
    "blackberry": ("blackberry", "canon"),
    "sony": ("sony", "canon"),
    "custom": ("phone", "dslr"),
}
SPLIT_FOLDERS = {  # of the published layout, in the phone's folder
    "train": "training_data",
    "validation": "validation_data/patches",
    "test": "test_data/patches",
}

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_CHUNK_PAIRS = 16  # pairs per task of a thread
_THREADS = 3  # threads of reading and decoding; more gain nothing, the writer takes the other core
_SHOWN = 3  # files named in a message about many


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair of patch files; `name` is their common stem."""

    name: str
    phone: Path
    dslr: Path


@dataclasses.dataclass(frozen=True)
class CheckedPair:
    """The bytes of both files as stored on disk, and (file, what is wrong) for each bad one."""

    pair: Pair
    phone: bytes
    dslr: bytes
    problems: tuple[tuple[Path, str], ...]


def find_pairs(phone_dir: Path, dslr_dir: Path) -> list[Pair]:
    """Lists the pairs of two folders in natural order of their stems.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.

    Returns:
      The pairs; at least one.

    Raises:
      InputError: a folder is missing or empty, a stem occurs twice, or a file has no partner.
    """
    phone, dslr = images_by_stem(phone_dir), images_by_stem(dslr_dir)
    for images, other, other_dir in ((phone, dslr, dslr_dir), (dslr, phone, phone_dir)):
        alone = sorted(images.keys() - other.keys(), key=natural_key)
        if alone:
            raise InputError(
                f"{_some([str(images[stem]) for stem in alone])}: no partner of the same name in"
                f" {other_dir} for {len(alone)} file(s): add the partners or remove the files"
            )
    names = sorted(phone, key=natural_key)
    return [Pair(name, phone[name], dslr[name]) for name in names]


def find_published(root: Path, phone_folder: str, dslr_folder: str) -> dict[str, list[Pair]]:
    """Lists the pairs of each split in the layout of the published archive.

    The archive has no validation split and no photo ids: unless `validation_data/patches` exists,
    validation is the last block of training patches by number (see `hold_out_last`).

    Args:
      root: the phone's folder, with `training_data` and `test_data/patches` in it.
      phone_folder: name of the folder of phone patches, e.g. "iphone".
      dslr_folder: name of the folder of DSLR patches, e.g. "canon".

    Returns:
      Pairs by split: train, validation, test.

    Raises:
      InputError: a folder is missing or empty, a file has no partner, or there are too few pairs.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder: --manual_dir must be the folder that holds {root.name}/,"
            " with training_data and test_data in it"
        )

    def find(split: str) -> list[Pair]:
        folder = root / SPLIT_FOLDERS[split]
        return find_pairs(folder / phone_folder, folder / dslr_folder)

    train, test = find("train"), find("test")
    if (root / "validation_data").is_dir():
        validation = find("validation")
    else:
        train, validation = hold_out_last(train, -1, f"{root}/training_data")
    return {"train": train, "validation": validation, "test": test}


def find_flat(
    phone_dir: Path, dslr_dir: Path, test_pairs: int, validation_pairs: int
) -> dict[str, list[Pair]]:
    """Splits the pairs of two flat folders: the last are test, those before them validation.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.
      test_pairs: pairs to hold out for test, at least 1; -1 is the rule of `hold_out_last`.
      validation_pairs: pairs to hold out for validation; 0 leaves that split out; -1 likewise.

    Returns:
      Pairs by split: train, validation (unless 0 were asked for), test.

    Raises:
      InputError: as `find_pairs`; a count is out of range or leaves nothing to train on.
    """
    if test_pairs < 1 and test_pairs != -1:
        raise InputError(f"--test_pairs={test_pairs}: must be 1 or more, or -1 for 5 %")
    if validation_pairs < -1:
        raise InputError(f"--validation_pairs={validation_pairs}: must be 0 or more, or -1 for 5 %")
    train, test = hold_out_last(find_pairs(phone_dir, dslr_dir), test_pairs, str(phone_dir))
    if not validation_pairs:
        return {"train": train, "test": test}
    train, validation = hold_out_last(train, validation_pairs, str(phone_dir))
    return {"train": train, "validation": validation, "test": test}


def hold_out_last(pairs: list[Pair], count: int, where: str) -> tuple[list[Pair], list[Pair]]:
    """Splits off one contiguous block, the last `count` pairs.

    Neighbouring numbers are patches of the same photo, so a block shares at most one photo with
    what stays, where a random choice would share nearly all of them.

    Args:
      pairs: in natural order.
      count: how many; -1 is the last 2,000, or 5 % (at least 1) of a set smaller than 40,000.
      where: what to name in the error.

    Returns:
      (pairs that stay, pairs held out), neither empty.

    Raises:
      InputError: nothing would stay.
    """
    if count == -1:
        count = max(1, min(MAX_HELD_OUT, round(len(pairs) / HELD_OUT_DIVISOR)))
    if count >= len(pairs):
        raise InputError(
            f"{where}: {len(pairs)} pair(s) are too few to hold out {count}:"
            " add pairs or hold out fewer"
        )
    return pairs[:-count], pairs[-count:]


def patch_problem(data: bytes) -> str | None:
    """Says what is wrong with a patch file, after decoding all of it.

    A JPEG whose middle is overwritten still decodes, and is accepted: the format has no checksum.

    Args:
      data: the file's bytes.

    Returns:
      None for an 8-bit RGB JPEG or PNG of 100x100 pixels; otherwise what is wrong, in a few words.
    """
    if not data:
        return "empty file"
    if not data.startswith((_JPEG_START, _PNG_START)):
        return "not a JPEG or PNG image"
    image = _decode(data)
    return "truncated or damaged image" if image is None else _image_problem(image)


def _decode(data: bytes) -> np.ndarray | None:
    """Decodes a whole JPEG or PNG with its own depth and channels; None if that is impossible."""
    if data.startswith(_PNG_START):
        whole = _png_is_whole(data)
    else:  # decoders accept a JPEG that lost only its end marker
        whole = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN) > 0
    if not whole:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # an absurd size in the header
        return None


def _image_problem(image: np.ndarray) -> str | None:
    if image.dtype != np.uint8:
        return "16-bit image, not 8-bit"
    if image.ndim != 3:
        return "grayscale image, not RGB"
    if image.shape[2] != 3:
        return "image with an alpha channel, not RGB"
    height, width = image.shape[:2]
    if (height, width) != (PATCH_SIZE, PATCH_SIZE):
        return f"{width}x{height} pixels, not {PATCH_SIZE}x{PATCH_SIZE}"
    return None


def read_checked(pairs: Sequence[Pair]) -> Iterator[CheckedPair]:
    """Reads and checks pairs in threads, and yields them in order; holds few in memory.

    Args:
      pairs: what to read.

    Yields:
      One `CheckedPair` for each pair.

    Raises:
      OSError: a file cannot be read.
    """
    chunks = (pairs[i : i + _CHUNK_PAIRS] for i in range(0, len(pairs), _CHUNK_PAIRS))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        pending = collections.deque()
        for chunk in chunks:
            pending.append(pool.submit(_check_chunk, chunk))
            if len(pending) > 4 * _THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _check_chunk(pairs: Sequence[Pair]) -> list[CheckedPair]:
    checked = []
    for pair in pairs:
        phone, dslr = pair.phone.read_bytes(), pair.dslr.read_bytes()
        found = ((pair.phone, patch_problem(phone)), (pair.dslr, patch_problem(dslr)))
        problems = tuple((file, problem) for file, problem in found if problem)
        checked.append(CheckedPair(pair, phone, dslr, problems))
    return checked


def images_by_stem(folder: Path, suffixes: Sequence[str] = PATCH_SUFFIXES) -> dict[str, Path]:
    """Lists the images of a folder; hidden files, folders and other suffixes are passed over.

    Args:
      folder: where to look, not below it.
      suffixes: of the images, in lower case; files may have them in upper case.

    Returns:
      Files by stem, in no order; at least one.

    Raises:
      InputError: there is no such folder, it has no images, or a stem occurs twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    images = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in suffixes or stem.startswith(".") or not entry.is_file():
                continue
            if stem in images:
                raise InputError(
                    f"{entry.path}: same name as {images[stem].name}: rename or remove one"
                )
            images[stem] = folder / entry.name
    if not images:
        shown = [suffix for suffix in suffixes if suffix not in (".jpeg", ".tiff")]  # synonyms
        raise InputError(f"{folder}: no {' or '.join(shown)} files in this folder")
    return images


def natural_key(stem: str) -> tuple[list[str | int], str]:
    """Orders runs of digits by their number; the stem itself tells "1" from "01"."""
    parts = re.split(r"([0-9]+)", stem)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], stem


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", …" if len(items) > _SHOWN else "")


def _png_is_whole(data: bytes) -> bool:
    """Whether every chunk up to IEND is there with the right checksum (cv2 warns on stderr)."""
    position = len(_PNG_START)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        body = data[position + 4 : end - 4]
        if end > len(data) or zlib.crc32(body) != int.from_bytes(data[end - 4 : end]):
            return False
        if body.startswith(b"IEND"):
            return True
        position = end
    return False
