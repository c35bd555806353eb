"""Opens picture files of each format, and decodes them as stored.

libvips decodes all but HEVC, which pillow-heif does, BMP and CIELAB, which Pillow does. It is told
which loader to take: by itself it takes others, for JPEG with a gain map, camera raw, SVG or PDF.
"""

import dataclasses
import functools
import io
import logging
import struct
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyvips

from dped_jax.base import color, heif_boxes, jpeg_segments, png_chunks, raw, tiff_tags

_OTHERS = {  # formats that are known, and not read
    **dict.fromkeys((b"\xff\x0a", b"\0\0\0\x0cJXL "), "JPEG XL"),
    **dict.fromkeys((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JPEG 2000"),
    **{b"GIF8": "GIF", b"%PDF": "PDF", b"<svg": "SVG", b"<?xml": "XML"},
    b"8BPS": "Photoshop's own format",
}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _BITS, _PHOTOMETRIC, _EXTRA, _LAB = 254, 258, 262, 338, 8
_TIFF_COLORS = {0: 1, 1: 1, 2: 3, 3: 3, 5: 4, 6: 3, _LAB: 3}  # by photometric interpretation
# What libjpeg says of a picture whose pixels are all there.
_HARMLESS = ("extraneous bytes", "Adobe APP14", "JFIF major", "Inconsistent progression")


class UnsupportedError(Exception):
    """A picture of a kind that is not read. The message says which, and what to do."""


@dataclasses.dataclass
class Stored:
    """A picture as its file stores it, opened and not decoded yet; see `Picture`.

    HEIF and AVIF are decoded upright. Of the channels that `decode` gives, (H, W, channels) uint8
    or uint16, the first are `colors` (1 gray, 3 RGB, 4 CMYK); `alpha` is the number of another.
    `cicp` are primaries and transfer of ITU-T H.273, `errors` what damaged files raise.
    """

    format: str
    height: int
    width: int
    decode: Callable[[], np.ndarray]
    colors: int = 3
    alpha: int | None = None
    premultiplied: bool = False
    orientation: int = 1
    is_adobe_rgb: bool = False
    cicp: tuple[int, int] | None = None
    bits: int = 8
    resolution: tuple[float, float] = (1.0, 1.0)
    stored_pixels: int = 0
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    errors: ClassVar = (
        *(pyvips.Error, ValueError, RuntimeError, OSError, SyntaxError, EOFError),
        *(IndexError, KeyError, TypeError, OverflowError, struct.error),
    )


def _from_vips(kind: str, image: pyvips.Image, **more: Any) -> Stored:
    if image.format not in ("uchar", "ushort"):
        raise UnsupportedError(f"{image.format} values are not read; take 8 or 16 bits a channel")
    colors = more.pop("colors", 4 if image.interpretation == "cmyk" else 3)
    colors = 1 if image.bands < 3 else colors
    more = {
        "alpha": colors if image.bands > colors else None,
        "bits": 16 if image.format == "ushort" else 8,
        "decode": functools.partial(_pixels_of, image),
        "resolution": (image.xres, image.yres),
    } | more
    return Stored(kind, image.height, image.width, colors=colors, **more)


def _pixels_of(image: pyvips.Image) -> np.ndarray:
    return image.numpy().reshape(image.height, image.width, image.bands)


def _metadata_of(image: pyvips.Image) -> dict[str, bytes]:
    fields = {"exif": "exif-data", "xmp": "xmp-data", "icc": color.ICC}
    has = set(image.get_fields())
    metadata = {key: image.get(field) for key, field in fields.items() if field in has}
    return metadata | {"exif": metadata.get("exif", b"").removeprefix(b"Exif\0\0")}


def open_picture(data: bytes, name: str) -> Stored:
    """Opens a picture by its content; raises UnsupportedError, InputError, or `Stored.errors`."""
    if not data:
        raise UnsupportedError("empty file; replace it")
    if raw.is_raw(data):
        height, width = raw.size(data, name)
        return Stored("raw", height, width, lambda: raw.develop(data, name))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _open_webp(data)
    if heif_boxes.is_heif(data):
        return _open_heif(data)
    formats = {jpeg_segments.START: _open_jpeg, png_chunks.PNG_START: _open_png, b"BM": _open_bmp}
    for magic, open_format in (formats | dict.fromkeys(_TIFF_STARTS, _open_tiff)).items():
        if data.startswith(magic):
            return open_format(data)
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    kinds = ["a video"] if data[4:8] == b"ftyp" else []
    kinds += [kind for magic, kind in _OTHERS.items() if start.startswith(magic)]
    problem = f"{kinds[0]} is not read" if kinds else "not a picture that can be read"
    raise UnsupportedError(f"{problem}; convert it to JPEG, PNG or TIFF, or remove it")


def _by_exif(block: bytes | None) -> dict[str, Any]:
    orientation, is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(block)
    return {"orientation": orientation, "is_adobe_rgb": is_adobe_rgb}


def _open_jpeg(data: bytes) -> Stored:
    jpeg = jpeg_segments.walk(data)
    if jpeg.bits != 8:
        raise UnsupportedError(f"a JPEG of {jpeg.bits} bits a channel; convert it to PNG or TIFF")
    data, remarks = data[: jpeg.end], []
    if not jpeg.has_end:
        remarks.append("has no end marker")
        data = jpeg_segments.without_padding(data)
    if not jpeg.is_complete or (jpeg.arithmetic and not jpeg.has_end):
        raise ValueError("scans are missing")
    image = _jpeg_image(jpeg_segments.with_more_rows(data, jpeg), "warning")

    def decode() -> np.ndarray:
        try:
            return _pixels_of(image)[: jpeg.height]
        except pyvips.Error as error:
            complaints = [line for line in str(error).splitlines() if "VipsJpeg" in line]
            if not complaints or not any(what in complaints[-1] for what in _HARMLESS):
                raise
            return _pixels_of(_jpeg_image(data, "error"))

    more = {"decode": decode, "metadata": jpeg.metadata, "warnings": remarks}
    stored = _from_vips("jpeg", image, **more, **_by_exif(jpeg.metadata.get("exif")))
    return dataclasses.replace(stored, height=jpeg.height)


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
    animated, cicp = metadata.pop("actl", b""), metadata.pop("cicp", b"")
    remarks = ["is animated; its still picture is taken"] if animated else []
    more = {"bits": pixels[24], "metadata": metadata, "warnings": remarks}
    if len(cicp) == 4 and not cicp[3]:
        raise UnsupportedError("a PNG of limited range; convert it to full range")
    more["cicp"] = (cicp[0], cicp[1]) if len(cicp) == 4 else None
    return _from_vips("png", image, **more, **_by_exif(metadata.get("exif")))


def _open_webp(data: bytes) -> Stored:
    image = pyvips.Image.webpload_buffer(data, fail_on="error", access="sequential")
    animated, metadata = "delay" in image.get_fields(), _metadata_of(image)
    remarks = ["is animated; its first picture is taken"] if animated else []
    by_exif = _by_exif(metadata["exif"])
    return _from_vips("webp", image, metadata=metadata, warnings=remarks, **by_exif)


def _open_heif(data: bytes) -> Stored:
    heif = heif_boxes.primary(data)
    if not heif.codec:
        raise UnsupportedError("HEIF without a still picture; take another file")
    if heif.codec not in ("av01", "hvc1", "hev1"):
        raise UnsupportedError(f"HEIF that is coded by {heif.codec!r} is not read; convert it")
    stored, pictures = _open_avif(data) if heif.codec == "av01" else _open_hevc(data)
    stored.cicp, stored.premultiplied = heif.cicp or stored.cicp, heif.premultiplied
    stored.stored_pixels = heif.stored_pixels
    stored.is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(stored.metadata["exif"])[1]
    if pictures > 1:
        stored.warnings.append(f"has {pictures} pictures; the main one is taken")
    return stored


def _open_avif(data: bytes) -> tuple[Stored, int]:
    image = pyvips.Image.heifload_buffer(data, fail_on="error", access="sequential")
    more = {"bits": image.get("heif-bitdepth"), "metadata": _metadata_of(image)}
    more["decode"] = lambda: _spread(_pixels_of(image), more["bits"])
    return _from_vips("avif", image, **more), image.get("n-pages")


def _open_hevc(data: bytes) -> tuple[Stored, int]:
    try:
        import pillow_heif
    except ImportError as error:
        raise UnsupportedError("HEIC needs another library: pip install pillow-heif") from error
    pictures = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    keys = {"exif": "exif", "xmp": "xmp", "icc": "icc_profile"}
    metadata = {key: pictures.info.get(field) or b"" for key, field in keys.items()}
    metadata["exif"] = metadata["exif"].removeprefix(b"Exif\0\0")
    cicp, bits = None, pictures.info["bit_depth"]
    if nclx := pictures.info.get("nclx_profile"):  # where no box says it, the coded picture may
        cicp = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    colors = 1 if pictures.mode[0] in "LI" else 3

    def decode() -> np.ndarray:
        pixels = np.array(pictures)
        return _spread(pixels.reshape(*pixels.shape[:2], -1), bits)

    alpha = colors if pictures.has_alpha else None
    more: dict[str, Any] = {"bits": bits, "cicp": cicp, "metadata": metadata}
    width, height = pictures.size
    return Stored("heif", height, width, decode, colors, alpha, **more), len(pictures)


def _spread(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Bits that lie at the top of 16 are repeated below, so that white is 65535."""
    if pixels.dtype == np.uint16 and bits < 16:
        for rows in np.array_split(pixels, 16):
            np.bitwise_or(rows, rows >> bits, out=rows)
    return pixels


def _open_tiff(data: bytes) -> Stored:
    tiff = tiff_tags.Tiff(data)
    pages = tiff.directories()
    is_reduced = [tiff_tags.first_number(tags, _SUBFILE) & 1 for tags in pages]
    if all(is_reduced):
        raise ValueError("thumbnails alone, as of camera raw whose other directories are missing")
    page = is_reduced.index(0)
    tags = pages[page]
    if any(end > len(data) for _, end in tiff_tags.extents(tags)):
        raise ValueError("samples lie behind the end of the file")
    kind = tiff_tags.first_number(tags, _PHOTOMETRIC, 1)
    if kind not in _TIFF_COLORS:
        raise UnsupportedError(f"a TIFF of photometric interpretation {kind}; convert it to RGB")
    blocks = {"xmp": tiff_tags.XMP, "icc": tiff_tags.ICC, "iptc": tiff_tags.IPTC}
    metadata = {key: tags[tag] for key, tag in blocks.items() if isinstance(tags.get(tag), bytes)}
    more: dict[str, Any] = {"metadata": metadata, "bits": tiff_tags.first_number(tags, _BITS, 1)}
    more |= _by_exif(data) | {"orientation": tiff_tags.orientation_of(tags)}
    more["warnings"] = [f"has {len(pages)} pages; the first is taken"] if len(pages) > 1 else []
    if not tiff.is_big:
        metadata["exif"] = _tiff_exif(data)
    if kind == _LAB:  # libvips fails at it
        if more["bits"] != 8:
            raise UnsupportedError("CIELAB of more than 8 bits is not read; convert it to RGB")
        metadata.pop("icc", None)
        return _open_lab(data, **more)
    image = pyvips.Image.tiffload_buffer(data, page=page, fail_on="error", access="sequential")
    colors, extra = _TIFF_COLORS[kind], tags.get(_EXTRA, ())
    more["alpha"] = next((colors + i for i, meaning in enumerate(extra) if meaning in (1, 2)), None)
    if image.bands > colors + (more["alpha"] is not None):
        more["warnings"].append("has further channels, which are passed over")
    return _from_vips("tiff", image, colors=colors, **more)


def _tiff_exif(data: bytes) -> bytes:
    """What a TIFF has for EXIF, as other formats have it; empty where it cannot be followed."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of damage, which is judged elsewhere
            tags = _by_pillow("tiff", data).getexif()
            for tag in (tiff_tags.STRUCTURE | {256, 257, 282, 283, 296}) & tags.keys():
                del tags[tag]
            return tags.tobytes().removeprefix(b"Exif\0\0") if tags else b""
    except Stored.errors:
        return b""


def _open_lab(data: bytes, **more: Any) -> Stored:
    from PIL import ImageCms

    lab = _by_pillow("tiff", data)
    space, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    convert = functools.partial(ImageCms.profileToProfile, lab, space, srgb, outputMode="RGB")
    more["orientation"] = 1  # Pillow has turned it
    return Stored("tiff", lab.height, lab.width, lambda: np.array(convert()), **more)


def _open_bmp(data: bytes) -> Stored:
    bmp = _by_pillow("bmp", data)
    mode, alpha = ("RGBA", 3) if bmp.mode == "RGBA" else ("RGB", None)
    return Stored("bmp", bmp.height, bmp.width, lambda: np.array(bmp.convert(mode)), alpha=alpha)


def _by_pillow(kind: str, data: bytes) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `read` has a limit of its own
    return Image.open(io.BytesIO(data), formats=[kind])
