"""Writes pictures, whole or not at all, in the format of the suffix.

What is written is true of the new picture: it is upright, of its size, in sRGB or the profile that
it keeps, and holds no thumbnail, video, depth or gain map of the old one. Other metadata are handed
on as they were.
"""

import dataclasses
import pathlib
import struct

import numpy as np
import pyvips
from absl import logging

from dped_jax.base import color, containers, exif, xmp
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.base.pictures import Picture

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **{".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".avif": "AVIF"},
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
}
# Pixels a side: limits of libjpeg, libpng and WebP, of libavif for AVIF that it is to read again,
# and of what x265 and libheif were seen to write and read. A TIFF counts its bytes in 32 bits.
SIDES = {"JPEG": 65_500, "PNG": 1_000_000, "WebP": 16_383, "AVIF": 32_768, "HEIC": 32_768}
MOST_PIXELS = {"TIFF": (1 << 32) // 9, "AVIF": 1 << 28, "HEIC": 1 << 29}
DEEP_FORMATS = ("PNG", "TIFF")
# Photoshop's resources that hold what is written elsewhere, or show the old picture: thumbnails,
# the ICC profile, EXIF and XMP.
STALE_RESOURCES = {0x409, 0x40C, 0x40F, 0x422, 0x423, 0x424}


def check_suffix(path: pathlib.Path) -> None:
    """Raises InputError where the suffix is none that can be written."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: cannot write {suffix or 'no suffix'}; use {' '.join(FORMATS)}")


def check_writable(path: pathlib.Path, height: int, width: int) -> None:
    """Checks, before anything is computed, whether a picture can be written.

    Raises:
      InputError: the suffix is none that can be written, its library is missing, or its format
        holds no such picture.
    """
    check_suffix(path)
    kind = FORMATS[path.suffix.lower()]
    if kind == "HEIC":
        try:
            import pillow_heif  # noqa: F401
        except ImportError as error:
            problem = "HEIC needs another library: pip install pillow-heif"
            raise InputError(f"{path}: {problem}, or take another format") from error
    if kind == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise InputError(f"{path}: this Pillow writes no AVIF; take another format")
    side, pixels = SIDES.get(kind, 1 << 31), MOST_PIXELS.get(kind, 1 << 62)
    if max(height, width) > side or height * width > pixels:
        limit = f"{side:,} pixels a side" if max(height, width) > side else f"{pixels:,} pixels"
        remedy = "make it smaller" if kind == "PNG" else "PNG holds more"
        problem = f"{width} x {height} pixels are too many for {kind}, which holds {limit}"
        raise InputError(f"{path}: {problem}; {remedy}")


def is_deep(path: pathlib.Path) -> bool:
    """Whether the format of the suffix holds 16 bits."""
    return FORMATS.get(path.suffix.lower()) in DEEP_FORMATS


def to_8_bits(picture: Picture) -> Picture:
    """Rounds 16 bits to 8."""

    def rounded(plane: np.ndarray) -> np.ndarray:
        eight = np.empty(plane.shape, np.uint8)
        for top in range(0, len(plane), 64):  # a few rows at a time, for memory
            rows = slice(top, top + 64)
            eight[rows] = (plane[rows].astype(np.uint32) + 128) // 257
        return eight

    alpha = None if picture.alpha is None else rounded(picture.alpha)
    return dataclasses.replace(picture, pixels=rounded(picture.pixels), alpha=alpha)


def _resources(block: bytes) -> dict[int, bytes]:
    """Photoshop's resources by number, each with its header, of a block of them or of bare IPTC."""
    if block[:4] != b"8BIM":
        header = struct.pack(">4sHHI", b"8BIM", containers.IPTC, 0, len(block))
        return {containers.IPTC: header + block + bytes(len(block) % 2)}
    resources, at = {}, 0
    while len(block) - at >= 12:
        number, name_length = struct.unpack_from(">4xHB", block, at)
        start = at + 6 + (name_length + 2 & ~1)
        stop = start + 4 + (struct.unpack_from(">I", block, start)[0] + 1 & ~1)
        if number not in STALE_RESOURCES:
            resources[number] = block[at:stop]
        at = stop
    return resources


def _content(path: pathlib.Path, picture: Picture, without: set[int]) -> containers.Content:
    """What is to be written; metadata that cannot be read are left out with a warning."""
    old, (height, width) = picture.metadata, picture.pixels.shape[:2]
    profile = old.get("icc", b"")
    pixels = color.from_srgb(picture.pixels, profile) if profile else picture.pixels
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha)
    content = containers.Content(
        np.ascontiguousarray(pixels), alpha, picture.resolution, icc=profile
    )
    cleaners = {
        "exif": lambda block: exif.clean(block, height, width, bool(profile), without),
        "xmp": lambda block: xmp.clean(block, height, width, bool(profile)),
        "iptc": _resources,
    }
    for name, clean in cleaners.items():
        try:
            if old.get(name):
                setattr(content, name, clean(old[name]))
        except (struct.error, ValueError):
            content.lost.append(f"its {name.upper()} data, which are damaged")
    if old.get("xmp_extended"):
        content.lost.append("its extended XMP data")
    return content


def write(path: pathlib.Path, picture: Picture, quality: int = 95) -> None:
    """Writes a picture, whole or not at all, in the format of the suffix.

    Args:
      path: of the file.
      picture: 16 bits are rounded to 8 where the format has no more; what else it has no place for,
        such as alpha or IPTC, is left out with a warning.
      quality: 1 to 100, of JPEG, WebP, HEIC and AVIF.

    Raises:
      InputError: the picture cannot be written in this format.
      OSError: the file cannot be written.
    """
    check_writable(path, *picture.pixels.shape[:2])
    kind = FORMATS[path.suffix.lower()]
    if picture.pixels.dtype == np.uint16 and kind not in DEEP_FORMATS:
        picture = to_8_bits(picture)
    # Pillow writes EXIF of AVIF anew, and not as it was, to take Orientation out.
    without = {exif.ORIENTATION} if kind == "AVIF" else set()
    try:
        content = _content(path, picture, without)
        data = containers.ENCODERS[kind](content, quality)
    except (pyvips.Error, ValueError, RuntimeError, OSError, OverflowError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be written as {kind}: {reason}") from error
    for what in content.lost:
        logging.warning("%s: written without %s", path, what)
    write_atomically(path, data)
