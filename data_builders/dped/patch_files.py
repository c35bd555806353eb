"""Patch files: pairs of them read, every file checked by decoding it, and patches encoded."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from dped_jax.base import pictures
from dped_jax.base.errors import InputError

from .layout import PATCH_SIZE
from .patch_pairs import Pair

_SIZE = f"{PATCH_SIZE}x{PATCH_SIZE}"
_MOST_MEGAPIXELS = 1.0  # more are refused by their header, and not decoded
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

    Training decodes the file's own bytes by other libraries, which convert no colours and do not
    all turn pictures: what would need that is refused. A JPEG whose middle is overwritten still
    decodes, and is accepted: the format has no checksum.

    Args:
      data: the file's bytes.

    Returns:
      None for an 8-bit RGB JPEG or PNG of 100x100 pixels; otherwise what is wrong, in a few words.
    """
    try:
        picture = pictures.read(data, name="patch", max_megapixels=_MOST_MEGAPIXELS)
    except InputError as error:
        return str(error).removeprefix("patch: ").partition(";")[0]
    height, width = picture.pixels.shape[:2]
    for is_unfit, what in (
        (picture.format not in ("jpeg", "png"), "not a JPEG or PNG image"),
        (picture.bits != 8, f"{picture.bits}-bit image, not 8-bit"),
        (picture.gray, "grayscale image, not RGB"),
        (picture.alpha is not None, "image with an alpha channel, not RGB"),
        (picture.format == "png" and data[25] == 3, "image with a palette, not RGB"),
        ((height, width) != (PATCH_SIZE,) * 2, f"{width}x{height} pixels, not {_SIZE}"),
        (picture.converted, "image in other colours than sRGB, or turned by its EXIF"),
    ):
        if is_unfit:
            return what
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


def encode(image: np.ndarray, suffix: str, jpeg_quality: int = 100) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as ".png", or as ".jpg" of a quality in 1…100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
