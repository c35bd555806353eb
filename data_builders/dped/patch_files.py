"""Reads pairs of patch files, and checks every file by decoding it. Writes nothing."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .layout import PATCH_SIZE
from .patch_pairs import Pair
from .picture_files import decode, is_jpeg, is_png, picture_size

_CHUNK_PAIRS = 16  # pairs per task of a thread
_THREADS = 3  # threads of reading and decoding; more gain nothing, the writer takes the other core


@dataclasses.dataclass(frozen=True)
class CheckedPair:
    """The bytes of both files as stored on disk, and (file, what is wrong) for each bad one."""

    pair: Pair
    phone: bytes
    dslr: bytes
    problems: tuple[tuple[Path, str], ...]


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
    if not (is_jpeg(data) or is_png(data)):
        return "not a JPEG or PNG image"
    found = picture_size(data)
    if min(found) > 0 and found != (PATCH_SIZE, PATCH_SIZE):
        return _size_problem(*found)
    image = decode(data)
    return "truncated or damaged image" if image is None else _image_problem(image)


def _image_problem(image: np.ndarray) -> str | None:
    if image.dtype != np.uint8:
        return "16-bit image, not 8-bit"
    if image.ndim != 3:
        return "grayscale image, not RGB"
    if image.shape[2] != 3:
        return "image with an alpha channel, not RGB"
    height, width = image.shape[:2]
    return None if (height, width) == (PATCH_SIZE, PATCH_SIZE) else _size_problem(width, height)


def _size_problem(width: int, height: int) -> str:
    return f"{width}x{height} pixels, not {PATCH_SIZE}x{PATCH_SIZE}"


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
