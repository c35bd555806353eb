"""Opens picture files of each format, and decodes them as stored.

libvips decodes all but HEVC, which pillow-heif does, BMP and CIELAB. It is told which loader to
take: by itself it takes others, for JPEG with a gain map, camera raw, SVG or PDF.
"""

import dataclasses
import functools
import io
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyvips

from dped_jax.base import color, heif_boxes, jpeg_segments, png_chunks, tiff_tags

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
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_RAW_PHOTOMETRICS, _RAW_COMPRESSIONS = (32803, 34892), (34713, 32767, 65535, 32769)
_DNG_VERSION, _REDUCED = 50706, 1
_STRIPS, _TILES = (273, 279), (324, 325)
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _EXTRA = 254, 258, 259, 262, 338
# Description, make, model, software, date, artist, copyright.
_DESCRIBING_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_TIFF_COLORS = {0: 1, 1: 1, 2: 3, 3: 3, 5: 4, 6: 3, 8: 3}  # by photometric interpretation
# What libjpeg says of a picture whose pixels are all there.
_HARMLESS = ("extraneous bytes", "Adobe APP14", "JFIF major", "Inconsistent progression")


class UnsupportedError(Exception):
    """A picture of a kind that is not read. The message says which, and what to do."""


@dataclasses.dataclass
class Stored:
    """A picture as its file stores it, opened and not decoded yet.

    Attributes:
      format: as `Picture`'s.
      height, width: as stored, but for HEIF and AVIF, which are decoded upright.
      decode: gives (H, W, channels) uint8 or uint16.
      colors: how many of the channels are colours: 1 (gray), 3 (RGB), 4 (CMYK).
      alpha: the channel that is alpha.
      cicp: primaries and transfer of ITU-T H.273.
      errors: what opening and decoding raise at a damaged file.
      See `Picture` for the others.
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

    errors: ClassVar[tuple[type[Exception], ...]] = (
        *(pyvips.Error, ValueError, RuntimeError, OSError, SyntaxError, EOFError, IndexError),
        *(KeyError, TypeError, OverflowError, struct.error),
    )

    def __post_init__(self):
        self.stored_pixels = max(self.stored_pixels, self.height * self.width)


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
    if data.startswith(jpeg_segments.START):
        return _open_jpeg(data)
    if data.startswith(png_chunks.PNG_START):
        return _open_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _open_webp(data)
    if is_raw(data):
        return _open_raw(data, name)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _open_tiff(data)
    if heif_boxes.is_heif(data):
        return _open_heif(data)
    if data[:2] == b"BM":
        return _open_bmp(data)
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((what for magic, what in _OTHERS if start.startswith(magic)), None)
    kind = "a video" if data[4:8] == b"ftyp" else kind
    if kind:
        raise UnsupportedError(f"{kind} is not read; convert it to JPEG, PNG or TIFF, or remove it")
    raise UnsupportedError("not a picture that can be read; convert or remove it")


def _from_vips(kind: str, image: pyvips.Image, **more: Any) -> Stored:
    """Of what libvips has opened; it decodes when the pixels are asked for."""
    if image.format not in ("uchar", "ushort"):
        raise UnsupportedError(f"{image.format} values are not read; take 8 or 16 bits a channel")
    colors = more.pop("colors", 4 if image.interpretation == "cmyk" else 3)
    colors = 1 if image.bands < 3 else colors
    alpha = colors if image.bands > colors else None
    more = {"alpha": alpha, "bits": 16 if image.format == "ushort" else 8} | more
    more.setdefault("decode", functools.partial(_pixels, image))
    resolution = (image.xres, image.yres)
    return Stored(kind, image.height, image.width, colors=colors, resolution=resolution, **more)


def _pixels(image: pyvips.Image) -> np.ndarray:
    return image.numpy().reshape(image.height, image.width, image.bands)


def _by_exif(exif: bytes | None) -> dict[str, Any]:
    orientation, is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(exif)
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
    image = _jpeg_image(data, "warning")

    def decode() -> np.ndarray:
        try:
            return _pixels(image)
        except pyvips.Error as error:
            complaints = [line for line in str(error).splitlines() if "VipsJpeg" in line]
            if not complaints or not all(any(s in line for s in _HARMLESS) for line in complaints):
                raise
            return _pixels(_jpeg_image(data, "error"))

    metadata = jpeg.metadata
    return _from_vips(
        "jpeg",
        image,
        decode=decode,
        metadata=metadata,
        warnings=warnings,
        **_by_exif(metadata.get("exif")),
    )


def _jpeg_image(data: bytes, fail_on: str) -> pyvips.Image:
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
    return _from_vips("png", image, metadata=metadata, warnings=warnings, **more)


def _full_range(image: pyvips.Image) -> np.ndarray:
    """Of colours of which 16/255 are black and 235/255 white; alpha has the full range."""
    pixels = _pixels(image)
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
    return _from_vips("webp", image, metadata=metadata, warnings=warnings, **by_exif)


def _open_heif(data: bytes) -> Stored:
    heif = heif_boxes.primary(data)
    if not heif.codec:
        raise UnsupportedError("HEIF without a still picture; take another file")
    more: dict[str, Any] = {
        "cicp": heif.cicp,
        "premultiplied": heif.premultiplied,
        "stored_pixels": heif.stored_pixels,
        "warnings": [f"has {heif.pictures} pictures; the first is taken"][: heif.pictures > 1],
    }
    if heif.codec == b"av01":
        image = pyvips.Image.heifload_buffer(data, fail_on="error", access="sequential")
        fields = {"exif": "exif-data", "xmp": "xmp-data", "icc": color.ICC}
        metadata = {k: image.get(f) for k, f in fields.items() if image.get_typeof(f)}
        more["bits"] = image.get("heif-bitdepth")
        more["decode"] = lambda: _spread(_pixels(image), more["bits"])
        return _finish_heif(_from_vips("avif", image, metadata=metadata, **more))
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
    exif = stored.metadata.get("exif", b"").removeprefix(b"Exif\0\0")
    stored.metadata["exif"] = exif
    stored.is_adobe_rgb = tiff_tags.orientation_and_adobe_rgb(exif)[1]
    return stored


def _spread(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Bits that lie at the top of 16 are repeated below, so that white is 65535."""
    if pixels.dtype == np.uint16 and bits < 16:
        for block in np.array_split(pixels, 16):
            block |= block >> bits
    return pixels


def _open_tiff(data: bytes) -> Stored:
    tiff = tiff_tags.Tiff(data)
    pages = tiff.directories()
    page = next((i for i, tags in enumerate(pages) if not _is_reduced(tags)), 0)
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
    more = {
        "metadata": metadata | {"exif": _tiff_exif(data)},
        "bits": tiff_tags.first_number(tags, _BITS, 1),
        "orientation": tiff_tags.orientation_of(tags),
        "is_adobe_rgb": tiff_tags.orientation_and_adobe_rgb(data)[1],
        "warnings": [f"has {len(pages)} pages; the first is taken"][: len(pages) > 1],
    }
    if kind == 8:
        return _open_lab(data, page, more)
    image = pyvips.Image.tiffload_buffer(data, page=page, fail_on="error", access="sequential")
    colors, extra = _TIFF_COLORS[kind], tags.get(_EXTRA, ())
    more["alpha"] = next((colors + i for i, meaning in enumerate(extra) if meaning in (1, 2)), None)
    if image.bands > colors + (more["alpha"] is not None):
        more["warnings"].append("has further channels, which are passed over")
    return _from_vips("tiff", image, colors=colors, **more)


def _is_reduced(tags: tiff_tags.Directory) -> bool:
    return bool(tiff_tags.first_number(tags, _SUBFILE) & _REDUCED)


def _open_lab(data: bytes, page: int, more: dict[str, Any]) -> Stored:
    """CIELAB, of 8 or 16 bits."""
    deep = more["bits"] == 16
    if deep:  # libvips halves L, and takes a and b as they are
        image = pyvips.Image.tiffload_buffer(data, page=page, fail_on="error")
        height, width = image.height, image.width
    else:
        from PIL import Image

        picture = Image.open(io.BytesIO(data), formats=["TIFF"])
        picture.seek(page)
        width, height = picture.size
        if picture.mode != "LAB":
            raise UnsupportedError(f"a TIFF in CIELAB of mode {picture.mode}; convert it to RGB")

    def decode() -> np.ndarray:
        stored = _pixels(image)[..., :3] if deep else np.asarray(picture)
        scale = np.array([100 / 32767, 1 / 256, 1 / 256] if deep else [100 / 255, 1, 1])
        signed = stored.astype(np.float32) if deep else stored.astype(np.uint8).view(np.int8)
        lab = signed.astype(np.float32)
        lab[..., 0] = stored[..., 0]
        most = 65535 if deep else 255
        return np.round(color.lab_to_srgb(lab * scale) * most).astype("uint16" if deep else "uint8")

    more["metadata"].pop("icc", None)
    return Stored("tiff", height, width, decode, **more)


def _tiff_exif(data: bytes) -> bytes:
    """What a TIFF has for EXIF, as other formats have it; empty where it cannot be read."""
    from PIL import ExifTags, Image

    block = Image.Exif()
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
            exif = image.getexif()
            block.update({tag: exif[tag] for tag in _DESCRIBING_TAGS if tag in exif})
            for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                block.get_ifd(ifd).update(exif.get_ifd(ifd))
        return block.tobytes().removeprefix(b"Exif\0\0")
    except Exception:  # whatever Pillow makes of odd tags
        return b""


def _open_bmp(data: bytes) -> Stored:
    from PIL import Image

    picture = Image.open(io.BytesIO(data), formats=["BMP"])

    def decode() -> np.ndarray:
        return np.array(picture.convert("RGBA" if picture.mode == "RGBA" else "RGB"))

    width, height = picture.size
    return Stored("bmp", height, width, decode, alpha=3 if picture.mode == "RGBA" else None)


def is_raw(data: bytes) -> bool:
    """Whether a file is camera raw, whose thumbnail is all that other readers see."""
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx " or data[6:14] == b"HEAPCCDR":
        return True
    if data[8:10] == b"CR" and data[:2] == b"II":
        return True
    try:
        tiff = tiff_tags.Tiff(data)
    except ValueError:
        return False
    for tags in tiff.directories():
        below = tiff.below(tags, tiff_tags.SUB_DIRECTORIES)
        if _DNG_VERSION in tags:
            return True
        for part in (tags, *below):
            if tiff_tags.first_number(part, _PHOTOMETRIC) in _RAW_PHOTOMETRICS:
                return True
            if tiff_tags.first_number(part, _COMPRESSION) in _RAW_COMPRESSIONS:
                return True
    return False


def _open_raw(data: bytes, name: str) -> Stored:
    try:
        from dped_jax.base import raw
    except ImportError as error:
        raise UnsupportedError("camera raw; develop it to JPEG or TIFF") from error
    pixels = raw.develop(data, name)
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    return Stored("raw", height, width, lambda: pixels, bits=bits)
