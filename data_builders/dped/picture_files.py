"""Files of pictures: found in a folder, natural order of their names, decoded and encoded."""

import io
import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .cli import InputError

PATCH_SUFFIXES = (".jpg", ".jpeg", ".png")
PHOTO_SUFFIXES = (*PATCH_SUFFIXES, ".tif", ".tiff", ".webp")
_SYNONYMS = (".jpeg", ".tiff", ".heif", ".hif")  # not named where suffixes are listed
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_SHOWN = 3  # files named in a message about many
MAX_PIXELS = 200e6  # few bytes can hold more pixels than the memory


def images_by_stem(folder: Path, suffixes: Sequence[str] = PATCH_SUFFIXES) -> dict[str, Path]:
    """Lists the images of a folder as paths; see `names_by_stem`."""
    return {stem: folder / name for stem, name in names_by_stem(folder, suffixes).items()}


def names_by_stem(folder: Path, suffixes: Sequence[str] = PATCH_SUFFIXES) -> dict[str, str]:
    """Lists the images of a folder; hidden files and other suffixes are passed over.

    Args:
      folder: where to look, not below it; a `Path` or an `epath.Path`.
      suffixes: of the images, in lower case; files may have them in upper case.

    Returns:
      Names of files by stem, in no order; at least one.

    Raises:
      InputError: there is no such folder, it has no images, a stem occurs twice, or a name is
        not UTF-8.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    names: dict[str, str] = {}
    for file in folder.iterdir():
        stem, suffix = os.path.splitext(file.name)
        if suffix.lower() not in suffixes or stem.startswith("."):
            continue
        if not is_utf8(file.name):
            raise InputError(f"{os.fspath(file)!r}: its name is not UTF-8: rename it")
        if stem in names:
            raise InputError(f"{file}: same name as {names[stem]}: rename or remove one")
        names[stem] = file.name
    if not names:
        shown = [suffix for suffix in suffixes if suffix not in _SYNONYMS]
        raise InputError(f"{folder}: no {' or '.join(shown)} files in this folder")
    return names


def is_utf8(name: str) -> bool:
    """Whether the name of a file can be written to a table."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def natural_key(stem: str) -> tuple[list[str | int], str]:
    """Orders runs of digits by their number; the stem itself tells "1" from "01"."""
    parts = re.split(r"([0-9]+)", stem)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], stem


def some(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def is_jpeg(data: bytes) -> bool:
    """Whether a file starts as a JPEG does."""
    return data.startswith(_JPEG_START)


def is_png(data: bytes) -> bool:
    """Whether a file starts as a PNG does."""
    return data.startswith(_PNG_START)


def decode(data: bytes, mode: int = cv2.IMREAD_UNCHANGED) -> np.ndarray | None:
    """Decodes a file that is whole.

    Args:
      data: the file.
      mode: of cv2; by default, depth and channels are those of the file.

    Returns:
      (H, W) or (H, W, channels), BGR unless the mode says otherwise; None if the file is damaged,
      no picture, or one of more than 200 megapixels, which is not decoded.
    """
    if not _is_whole(data) or math.prod(picture_size(data)) > MAX_PIXELS:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:  # an absurd size in the header
        return None


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture by its header; (0, 0) of what is none."""
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError):
        return 0, 0


def encode(image: np.ndarray, suffix: str, jpeg_quality: int = 100) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as ".png", or as ".jpg" of a quality in 1…100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _is_whole(data: bytes) -> bool:
    """Whether a file is not empty, and a JPEG or PNG has its end; decoders may not mind."""
    if is_png(data):
        return _png_is_whole(data)
    if is_jpeg(data):
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN) > 0
    return bool(data)


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
