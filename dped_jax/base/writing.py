"""Writes pictures, whole or not at all, in the format of the suffix.

What is written is true of the new picture: it is upright, of its size, in sRGB or the profile that
it keeps, and holds no thumbnail, video, depth or gain map of the old one. Other metadata are handed
on; what a format has no place for is named in a warning.
"""

import dataclasses
import io
import pathlib
import struct
import zlib
from typing import Any

import numpy as np
import pyvips
from absl import logging

from dped_jax.base import color, pictures, tiff_tags, xmp
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.base.pictures import Picture

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **{".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".avif": "AVIF"},
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
}
# Pixels a side: limits of libjpeg, libpng and WebP, of libavif for AVIF that it is to read again,
# and of what libheif was seen to write and read. A TIFF counts its bytes in 32 bits.
SIDES = {"JPEG": 65_500, "PNG": 1_000_000, "WebP": 16_383, "AVIF": 32_768, "HEIC": 32_768}
MOST_PIXELS = {"TIFF": (1 << 32) // 9, "AVIF": 1 << 28, "HEIC": 1 << 29}
HEVC_SIDE, HEVC_PIXELS = 16_888, 35_651_584  # of the highest level, 6.2
DEEP_FORMATS = ("PNG", "TIFF")
# Bytes that one segment of JPEG holds.
_LONGEST = {"exif": 65_527, "xmp": 65_502, "iptc": 65_533}


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
    alpha = None if picture.alpha is None else pictures.to_8_bits(picture.alpha)
    return dataclasses.replace(picture, pixels=pictures.to_8_bits(picture.pixels), alpha=alpha)


def _iptc(block: bytes) -> bytes:
    """What a segment of JPEG holds: IPTC data, bare or alone of Photoshop's resources."""
    at, bare = 0, block if block[:4] != b"8BIM" else b""
    while len(block) - at >= 12 and not bare:
        number, name_length = struct.unpack_from(">4xHB", block, at)
        at += 6 + (name_length + 2 & ~1)
        size = struct.unpack_from(">I", block, at)[0]
        bare = block[at + 4 : at + 4 + size] if number == 0x404 else b""
        at += 4 + (size + 1 & ~1)
    header = struct.pack(">14s4sHHI", b"Photoshop 3.0", b"8BIM", 0x404, 0, len(bare))
    return header + bare + bytes(len(bare) % 2) if bare else b""


def _metadata(kind: str, picture: Picture) -> tuple[dict[str, bytes], list[str]]:
    """What the new picture may say, and what is left out and why."""
    old, (height, width) = picture.metadata, picture.pixels.shape[:2]
    has_profile, lost = "icc" in old, []
    # Pillow writes EXIF of AVIF anew, and not as it was, to take Orientation out.
    without = (tiff_tags.ORIENTATION,) if kind == "AVIF" else ()
    cleaners = {
        "exif": lambda block: tiff_tags.clean(block, height, width, has_profile, without),
        "xmp": lambda block: xmp.clean(block, height, width, has_profile),
        "iptc": _iptc,
    }
    new = {"icc": old["icc"]} if has_profile else {}
    for key in [key for key in cleaners if key in old]:
        try:
            new[key] = cleaners[key](old[key])
        except (struct.error, ValueError, RecursionError):
            lost.append(f"its {key.upper()} data, which are damaged")
    no_place = {"JPEG": (), "TIFF": ("exif", "iptc")}.get(kind, ("iptc",))
    for key in [key for key in no_place if new.pop(key, None)]:
        lost.append(f"its {key.upper()} data, for which {kind} has no place here")
    for key, longest in _LONGEST.items() if kind == "JPEG" else ():
        if len(new.get(key, b"")) > longest:
            del new[key]
            lost.append(f"its {key.upper()} data, which are too long for a JPEG")
    if "xmp_extended" in old:
        lost.append("its extended XMP data")
    if kind == "JPEG" and picture.alpha is not None:
        lost.append("its alpha channel, for which the format has no place")
    return {key: block for key, block in new.items() if block}, lost


def _by_vips(kind: str, planes: np.ndarray, picture: Picture, metadata, quality: int) -> bytes:
    """JPEG, PNG and TIFF. Put in here: EXIF, which libvips writes anew, and XMP in PNG."""
    (height, width, channels), deep = planes.shape, planes.dtype == np.uint16
    samples, space = ("ushort", "rgb16") if deep else ("uchar", "srgb")
    image = pyvips.Image.new_from_memory(planes, width, height, channels, samples)
    x, y = picture.resolution
    image = image.copy(interpretation=space, xres=x, yres=y)
    for key, field in (("icc", color.ICC), ("xmp", "xmp-data"), ("iptc", "iptc-data")):
        if key in metadata:
            image.set_type(pyvips.GValue.blob_type, field, metadata[key])
    exif = metadata.get("exif", b"")
    if kind == "TIFF":
        options: dict[str, Any] = {"compression": "deflate", "predictor": "horizontal", "level": 1}
        return image.tiffsave_buffer(keep="icc|xmp", **options)
    if kind == "JPEG":  # optimal Huffman tables would save a tenth, and take three times as long
        data, start = image.jpegsave_buffer(Q=quality, keep="icc|xmp|iptc"), 2
        parts = [struct.pack(">HH", 0xFFE1, len(exif) + 8) + b"Exif\0\0" + exif] if exif else []
    else:  # "sub" saves a third of the bytes of photographs for no time
        data, start = image.pngsave_buffer(compression=6, filter="sub", keep="icc"), 33
        chunks = [b"eXIf" + exif] if exif else []
        if "xmp" in metadata:
            chunks.append(b"iTXtXML:com.adobe.xmp" + bytes(5) + metadata["xmp"])
        if "icc" not in metadata:
            chunks.append(b"sRGB\1")
        parts = [
            struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            for chunk in chunks
        ]
    return b"".join((data[:start], *parts, data[start:]))


def _by_pillow(kind: str, planes: np.ndarray, picture: Picture, metadata, quality: int) -> bytes:
    """WebP, HEIC and AVIF."""
    from PIL import Image

    image, encoded = Image.fromarray(planes), io.BytesIO()
    names = {"exif": "exif", "xmp": "xmp", "icc": "icc_profile"}
    options: dict[str, Any] = {names[key]: block for key, block in metadata.items()}
    if kind == "HEIC":
        import pillow_heif

        if max(image.size) > HEVC_SIDE or image.width * image.height > HEVC_PIXELS:
            options["tile_size"] = 1024  # a grid of pictures, as phones write them
        heif = pillow_heif.from_bytes(image.mode, image.size, planes.reshape(-1).data)
        heif.save(encoded, quality=quality, **options)
    else:
        image.save(encoded, kind, quality=quality, **options)
    return encoded.getvalue()


ENCODERS = dict.fromkeys(("JPEG", "PNG", "TIFF"), _by_vips)
ENCODERS |= dict.fromkeys(("WebP", "HEIC", "AVIF"), _by_pillow)


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
    color.forget_errors()
    try:
        metadata, lost = _metadata(kind, picture)
        planes = picture.pixels
        if "icc" in metadata:
            planes = color.from_srgb(planes, metadata["icc"])
        if picture.alpha is not None and kind != "JPEG":
            planes = np.dstack((planes, picture.alpha))
        planes = np.ascontiguousarray(planes)
        data = ENCODERS[kind](kind, planes, picture, metadata, quality)
    except (pyvips.Error, ValueError, RuntimeError, OSError, OverflowError, struct.error) as error:
        color.forget_errors()
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be written as {kind}: {reason}") from error
    for what in lost:
        logging.warning("%s: written without %s", path, what)
    write_atomically(path, data)
