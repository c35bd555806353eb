"""Opens picture files of each format, and decodes them as stored.

libvips decodes all but HEVC, which pillow-heif does, BMP and CIELAB. It is told which loader to
take: by itself it takes others, for JPEG with a gain map, camera raw, SVG or PDF.
"""

import functools
import io
import logging
import struct
from typing import Any

import numpy as np
import pyvips

from dped_jax.base import color, exif, heif_boxes, jpeg_segments, png_chunks, raw, tiff_tags
from dped_jax.base.stored_pictures import Stored, UnsupportedError, from_vips, pixels_of

_OTHERS = (  # formats that are known, and not read
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop's own format"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
)
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRIPS, _TILES = (273, 279), (324, 325)
_SUBFILE, _BITS, _PHOTOMETRIC, _EXTRA = 254, 258, 262, 338
_PRIVATE_TAGS = (37724,)  # Photoshop's layers
_LAB = 8
_TIFF_COLORS = {0: 1, 1: 1, 2: 3, 3: 3, 5: 4, 6: 3, _LAB: 3}  # by photometric interpretation
# What libjpeg says of a picture whose pixels are all there.
_HARMLESS = ("extraneous bytes", "Adobe APP14", "JFIF major", "Inconsistent progression")


def open_picture(data: bytes, name: str) -> Stored:
    """Opens a picture by its content.

    Args:
      data: the file.
      name: for messages.

    Raises:
      UnsupportedError: it is of a kind that is not read.
      ValueError, pyvips.Error, ...: it is damaged or cut short; see `Stored.errors`.
    """
    if not data:
        raise UnsupportedError("empty file; replace it")
    if raw.is_raw(data):
        height, width = raw.size(data, name)
        return Stored("raw", height, width, lambda: raw.develop(data, name))
    for is_of_format, open_format in (
        (data.startswith(jpeg_segments.START), _open_jpeg),
        (data.startswith(png_chunks.PNG_START), _open_png),
        (data[:4] == b"RIFF" and data[8:12] == b"WEBP", _open_webp),
        (data.startswith(_TIFF_STARTS), _open_tiff),
        (heif_boxes.is_heif(data), _open_heif),
        (data.startswith(b"BM"), _open_bmp),
    ):
        if is_of_format:
            return open_format(data)
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((what for magic, what in _OTHERS if start.startswith(magic)), None)
    kind = "a video" if data[4:8] == b"ftyp" else kind
    if kind:
        raise UnsupportedError(f"{kind} is not read; convert it to JPEG, PNG or TIFF, or remove it")
    raise UnsupportedError("not a picture that can be read; convert or remove it")


def _by_exif(block: bytes | None) -> dict[str, Any]:
    orientation, is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(block)
    return {"orientation": orientation, "is_adobe_rgb": is_adobe_rgb}


def _open_jpeg(data: bytes) -> Stored:
    jpeg = jpeg_segments.walk(data)
    if jpeg.bits != 8:
        raise UnsupportedError(f"a JPEG of {jpeg.bits} bits a channel; convert it to PNG or TIFF")
    warnings, data = [], data[: jpeg.end]
    if not jpeg.has_end:
        warnings.append("has no end marker")
        data = jpeg_segments.without_padding(data)
    if not jpeg.is_complete or (jpeg.arithmetic and not jpeg.has_end):
        raise ValueError("scans are missing")
    image = _jpeg_image(jpeg_segments.with_more_rows(data, jpeg), "warning")

    def decode() -> np.ndarray:
        try:
            return pixels_of(image)[: jpeg.height]
        except pyvips.Error as error:
            complaints = [line for line in str(error).splitlines() if "VipsJpeg" in line]
            if not complaints or not any(what in complaints[-1] for what in _HARMLESS):
                raise
            return pixels_of(_jpeg_image(data, "error"))

    by_exif = _by_exif(jpeg.metadata.get("exif"))
    stored = from_vips(
        "jpeg", image, decode=decode, metadata=jpeg.metadata, warnings=warnings, **by_exif
    )
    stored.height = jpeg.height
    return stored


def _is_of_others(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "VipsJpeg" not in message and "read gave" not in message


def _jpeg_image(data: bytes, fail_on: str) -> pyvips.Image:
    # What libjpeg complains of is judged here, and not to be logged as well.
    logging.getLogger("pyvips").addFilter(_is_of_others)
    return pyvips.Image.jpegload_buffer(data, fail_on=fail_on, access="sequential")


def _open_png(data: bytes) -> Stored:
    pixels, metadata = png_chunks.split(data)
    image = pyvips.Image.pngload_buffer(pixels, fail_on="error", access="sequential")
    warnings = []
    if metadata.pop("animated", None) is not None:
        warnings.append("is animated; its still picture is taken")
    cicp = metadata.pop("cicp", b"")
    more: dict[str, Any] = {"cicp": (cicp[0], cicp[1])} if len(cicp) == 4 else {}
    if len(cicp) == 4 and not cicp[3]:
        more["decode"] = functools.partial(_full_range, image)
    more |= _by_exif(metadata.get("exif")) | {"bits": pixels[24]}
    return from_vips("png", image, metadata=metadata, warnings=warnings, **more)


def _full_range(image: pyvips.Image) -> np.ndarray:
    """Of colours of which 16/255 are black and 235/255 white; alpha has the full range."""
    pixels = pixels_of(image)
    most = np.iinfo(pixels.dtype).max
    unit = (most + 1) // 256
    levels = (np.arange(most + 1) - 16 * unit) / (219 * unit)
    table = np.round(np.clip(levels, 0, 1) * most).astype(pixels.dtype)
    colors = 1 if image.bands < 3 else 3
    pixels[..., :colors] = table[pixels[..., :colors]]
    return pixels


def _open_webp(data: bytes) -> Stored:
    chunks = png_chunks.riff_chunks(data)
    image = pyvips.Image.webpload_buffer(data, fail_on="error", access="sequential")
    keys = {"exif": b"EXIF", "xmp": b"XMP ", "icc": b"ICCP"}
    metadata = {key: chunks[kind] for key, kind in keys.items() if kind in chunks}
    metadata["exif"] = metadata.get("exif", b"").removeprefix(b"Exif\0\0")
    warnings = ["is animated; its first picture is taken"] if b"ANIM" in chunks else []
    by_exif = _by_exif(metadata["exif"])
    return from_vips("webp", image, metadata=metadata, warnings=warnings, **by_exif)


def _open_heif(data: bytes) -> Stored:
    heif = heif_boxes.primary(data)
    if not heif.codec:
        raise UnsupportedError("HEIF without a still picture; take another file")
    more: dict[str, Any] = {
        "cicp": heif.cicp,
        "premultiplied": heif.premultiplied,
        "stored_pixels": heif.stored_pixels,
        "warnings": [f"has {heif.pictures} pictures; the main one is taken"][: heif.pictures > 1],
    }
    if heif.codec == b"av01":
        image = pyvips.Image.heifload_buffer(data, fail_on="error", access="sequential")
        fields = {"exif": "exif-data", "xmp": "xmp-data", "icc": color.ICC}
        metadata = {k: image.get(f) for k, f in fields.items() if image.get_typeof(f)}
        more["bits"] = image.get("heif-bitdepth")
        more["decode"] = lambda: _spread(pixels_of(image), more["bits"])
        return _finish_heif(from_vips("avif", image, metadata=metadata, **more))
    if heif.codec not in (b"hvc1", b"hev1"):
        codec = heif.codec.decode("latin-1")
        raise UnsupportedError(f"HEIF that is coded by {codec!r} is not read; convert it")
    try:
        import pillow_heif
    except ImportError as error:
        raise UnsupportedError(
            "HEIC needs another library: pip install pillow-heif, or take another format"
        ) from error
    picture = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    keys = {"exif": "exif", "xmp": "xmp", "icc": "icc_profile"}
    metadata = {key: picture.info.get(field) or b"" for key, field in keys.items()}
    if nclx := picture.info.get("nclx_profile"):  # where no box says it, the coded picture may
        stated = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
        more["cicp"] = heif.cicp or stated
    bits = picture.info["bit_depth"]
    colors = 1 if picture.mode[0] in "LI" else 3

    def decode() -> np.ndarray:
        pixels = np.array(picture)
        return _spread(pixels.reshape(*pixels.shape[:2], -1), bits)

    width, height = picture.size
    alpha = colors if picture.has_alpha else None
    return _finish_heif(
        Stored("heif", height, width, decode, colors, alpha, bits=bits, metadata=metadata, **more)
    )


def _finish_heif(stored: Stored) -> Stored:
    stored.metadata["exif"] = stored.metadata.get("exif", b"").removeprefix(b"Exif\0\0")
    stored.is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(stored.metadata["exif"])[1]
    return stored


def _spread(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Bits that lie at the top of 16 are repeated below, so that white is 65535."""
    if pixels.dtype == np.uint16 and bits < 16:
        for rows in np.array_split(pixels, 16):
            np.bitwise_or(rows, rows >> bits, out=rows)
    return pixels


def _open_tiff(data: bytes) -> Stored:
    tiff = tiff_tags.Tiff(data)
    pages = tiff.directories()
    page = next((i for i, tags in enumerate(pages) if not _is_reduced(tags)), None)
    if page is None:
        raise ValueError("thumbnails alone, as of camera raw whose other directories are missing")
    tags = pages[page]
    for starts, sizes in (_STRIPS, _TILES):
        for start, size in zip(tags.get(starts, ()), tags.get(sizes, ()), strict=False):
            if start + size > len(data):
                raise ValueError("samples lie behind the end of the file")
    kind = tiff_tags.first_number(tags, _PHOTOMETRIC, 1)
    if kind not in _TIFF_COLORS:
        raise UnsupportedError(f"a TIFF of photometric interpretation {kind}; convert it to RGB")
    metadata = {
        key: tags[tag] if isinstance(tags[tag], bytes) else b""
        for key, tag in (("xmp", tiff_tags.XMP), ("icc", tiff_tags.ICC), ("iptc", tiff_tags.IPTC))
        if tag in tags
    }
    more: dict[str, Any] = {
        "metadata": metadata | {"exif": _tiff_exif(data)},
        "bits": tiff_tags.first_number(tags, _BITS, 1),
        "orientation": tiff_tags.orientation_of(tags),
        "is_adobe_rgb": tiff_tags.orientation_and_adobe_rgb(data)[1],
        "warnings": [f"has {len(pages)} pages; the first is taken"][: len(pages) > 1],
    }
    if kind == _LAB:  # libvips fails at it, and reads it if it is called RGB
        entry = struct.pack(tiff.order + "HHIHH", _PHOTOMETRIC, 3, 1, _LAB, 0)
        data = data.replace(entry, entry.replace(b"\x08", b"\x02"))
        metadata.pop("icc", None)
    image = pyvips.Image.tiffload_buffer(data, page=page, fail_on="error", access="sequential")
    colors, extra = _TIFF_COLORS[kind], tags.get(_EXTRA, ())
    if kind == _LAB:
        more["decode"] = functools.partial(_lab, image)
    more["alpha"] = next((colors + i for i, meaning in enumerate(extra) if meaning in (1, 2)), None)
    if image.bands > colors + (more["alpha"] is not None):
        more["warnings"].append("has further channels, which are passed over")
    return from_vips("tiff", image, colors=colors, **more)


def _is_reduced(tags: tiff_tags.Directory) -> bool:
    return bool(tiff_tags.first_number(tags, _SUBFILE) & 1)


def _lab(image: pyvips.Image) -> np.ndarray:
    """sRGB of CIELAB: L from 0 on, a and b signed."""
    stored = pixels_of(image)[..., :3]
    most, steps = np.iinfo(stored.dtype).max, 1 << (8 * stored.itemsize - 8)
    lab = stored.view(np.int8 if steps == 1 else np.int16) / np.float32(steps)
    lab[..., 0] = stored[..., 0] * np.float32(100 / most)
    return np.round(color.lab_to_srgb(lab) * most).astype(stored.dtype)


def _tiff_exif(data: bytes) -> bytes:
    """What a TIFF has for EXIF, as other formats have it; empty where it cannot be followed."""
    try:
        return exif.gather(data, _PRIVATE_TAGS)
    except struct.error:
        return b""


def _open_bmp(data: bytes) -> Stored:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `read` has a limit of its own
    picture = Image.open(io.BytesIO(data), formats=["BMP"])

    def decode() -> np.ndarray:
        return np.array(picture.convert("RGBA" if picture.mode == "RGBA" else "RGB"))

    width, height = picture.size
    return Stored("bmp", height, width, decode, alpha=3 if picture.mode == "RGBA" else None)
