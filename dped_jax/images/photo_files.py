"""Reads and writes photographs as people have them: JPEG, PNG, TIFF, WebP, HEIC; 8 or 16 bits.

Pixels are RGB in sRGB, upright: EXIF orientation is applied and the tag reset, grayscale and
palettes are expanded, and other colour spaces (Display P3, Adobe RGB, CMYK with a profile) are
converted. A photograph with an RGB profile of its own is converted back when it is written, and
keeps that profile. EXIF, XMP and IPTC are handed on (libvips writes no EXIF into TIFF). Files are
recognised by their content.
"""

import dataclasses
import io
import pathlib
from typing import Any

import numpy as np
import pyvips
from absl import logging
from PIL import ExifTags, Image

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.base.folders import is_utf8
from dped_jax.images import color_profiles
from dped_jax.images.color_profiles import ICC

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif")
DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # formats that hold 16 bits
ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".heic", ".heif")
HEIF_SUFFIXES = (".heic", ".heif")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
LOADERS = ("jpeg", "png", "tiff", "webp", "heif")
KEPT_FIELDS = ("exif-", "xmp-", "iptc-", "icc-profile-data", "image-description", "png-comment")
DAMAGED = "damaged or cut short; replace or remove it"
# Description, make, model, software, date, artist, copyright.
TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432)


@dataclasses.dataclass
class Photo:
    """A decoded photograph.

    Attributes:
      pixels: (H, W, 3) uint8 or uint16, sRGB.
      alpha: (H, W) of the same type, or None.
      metadata: libvips' type and value by its name of the field; the profile is that of the file,
        present where writing is to convert to it.
      resolution: pixels per millimetre, horizontal and vertical.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, tuple[int, Any]] = dataclasses.field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)


def _pillow_heif(path: pathlib.Path):
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError(
            f"{path}: HEIC needs another library: pip install pillow-heif, or take another format"
        ) from error
    return pillow_heif


def _open_heif(path: pathlib.Path):
    """The file as pillow-heif opens it, not decoded yet; None where it is not HEIC."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC_BRANDS:
        return None
    pillow_heif = _pillow_heif(path)
    try:
        return pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    except (ValueError, RuntimeError, OSError, SyntaxError, EOFError) as error:
        raise InputError(f"{path}: {DAMAGED}") from error


def _heif_image(heif) -> pyvips.Image:
    """Decodes what `_open_heif` gives."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(heif))
    for field, name in (("exif-data", "exif"), (ICC, "icc_profile"), ("xmp-data", "xmp")):
        if heif.info.get(name):
            image.set_type(pyvips.GValue.blob_type, field, heif.info[name])
    return image


def _open(path: pathlib.Path) -> tuple[Any, int, int]:
    """Opens a file by its header: pillow-heif's or libvips' image, and its height and width."""
    if not is_utf8(path):
        raise InputError(f"{path}: its name is not UTF-8; rename it")
    heif = _open_heif(path)
    if heif:
        return heif, heif.size[1], heif.size[0]
    try:
        source = pyvips.Source.new_from_file(str(path))
        image = pyvips.Image.new_from_source(source, "", fail_on="truncated")
    except pyvips.Error as error:
        raise InputError(
            f"{path}: not a photograph that can be decoded; replace or remove it"
        ) from error
    if not image.get("vips-loader").startswith(LOADERS):
        raise InputError(f"{path}: not JPEG, PNG, TIFF, WebP or HEIC; convert or remove it")
    return image, image.height, image.width


def size(path: pathlib.Path) -> tuple[int, int]:
    """Height and width of a photograph as stored.

    Raises:
      InputError: it is no photograph.
      OSError: it cannot be read.
    """
    _, height, width = _open(path)
    return height, width


def _num_pages(image: Any) -> int:
    """Of a TIFF the pages, of a WebP the frames, of a HEIC the pictures."""
    if not isinstance(image, pyvips.Image):
        return len(image)
    return image.get("n-pages") if image.get_typeof("n-pages") else 1


def _tiff_exif(path: pathlib.Path) -> bytes | None:
    """What a TIFF has for EXIF, as other formats have it; libvips leaves it out."""
    kept = Image.Exif()
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            kept.update({tag: exif[tag] for tag in TIFF_TAGS if tag in exif})
            for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                kept.get_ifd(ifd).update(exif.get_ifd(ifd))
        return kept.tobytes()
    except Exception:  # whatever Pillow makes of odd tags: they are left out
        logging.warning("%s: its EXIF data cannot be read and is left out", path)
        return None


def read(path: pathlib.Path, max_megapixels: float = 200.0) -> Photo:
    """Reads a photograph.

    Args:
      path: of the file.
      max_megapixels: larger ones are refused before they are decoded.

    Raises:
      InputError: it is damaged, too large, or of a kind that is not supported.
      OSError: it cannot be read.
    """
    image, height, width = _open(path)
    if width * height > max_megapixels * 1e6:
        raise InputError(
            f"{path}: {width} x {height} pixels exceed --max_megapixels="
            f"{max_megapixels:g}; raise the limit if the file is to be trusted"
        )
    pages = _num_pages(image)
    if pages > 1:
        logging.warning("%s: has %d pages; the first is taken", path, pages)
    try:
        image = image if isinstance(image, pyvips.Image) else _heif_image(image)
    except (ValueError, RuntimeError, SyntaxError, EOFError) as error:
        raise InputError(f"{path}: {DAMAGED}") from error
    if image.format not in ("uchar", "ushort"):
        raise InputError(f"{path}: {image.format} values are not supported; take 8 or 16 bits")
    try:
        image = image.copy_memory().autorot()
        alpha = None
        if image.hasalpha():
            alpha = image[image.bands - 1].numpy()
            image = image[: image.bands - 1]
        metadata = {
            field: (image.get_typeof(field), image.get(field))
            for field in image.get_fields()
            if field.startswith(KEPT_FIELDS)
        }
        if image.get_typeof("vips-loader") and image.get("vips-loader").startswith("tiff"):
            metadata["exif-data"] = pyvips.GValue.blob_type, _tiff_exif(path)
        image, keep_profile = color_profiles.to_srgb(image, path)
        if not keep_profile:
            metadata.pop(ICC, None)
        pixels = image.numpy()
    except pyvips.Error as error:
        raise InputError(f"{path}: {DAMAGED}") from error
    return Photo(pixels, alpha, metadata, (image.xres, image.yres))


def _encode_heif(path: pathlib.Path, image: pyvips.Image, quality: int) -> bytes:
    pillow_heif = _pillow_heif(path)
    mode = "RGBA" if image.bands == 4 else "RGB"
    heif = pillow_heif.from_bytes(mode, (image.width, image.height), image.write_to_memory())
    fields = {"exif": "exif-data", "icc_profile": ICC, "xmp": "xmp-data"}
    present = {name: image.get(f) for name, f in fields.items() if f in image.get_fields()}
    if "exif" in present:
        exif = Image.Exif()
        exif.load(present["exif"])
        exif[ExifTags.Base.Orientation] = 1
        present["exif"] = exif.tobytes()
    encoded = io.BytesIO()
    heif.save(encoded, quality=quality, **present)
    return encoded.getvalue()


def is_deep(path: pathlib.Path) -> bool:
    """Whether the format of the suffix holds 16 bits."""
    return path.suffix.lower() in DEEP_SUFFIXES


def to_8_bits(photo: Photo) -> Photo:
    """Rounds 16 bits to 8."""
    pixels, alpha = (
        None if plane is None else np.uint8(np.round(plane / 257))
        for plane in (photo.pixels, photo.alpha)
    )
    return dataclasses.replace(photo, pixels=pixels, alpha=alpha)


def check_suffix(path: pathlib.Path) -> None:
    """Raises InputError where the suffix is none that can be written."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: cannot write {suffix or 'no suffix'}; use {' '.join(SUFFIXES)}")


def write(path: pathlib.Path, photo: Photo, quality: int = 95) -> None:
    """Writes a photograph, whole or not at all, in the format of the suffix.

    Args:
      path: of the file.
      photo: 16 bits are rounded to 8, and alpha is left out, where the format has none.
      quality: 1 to 100, of JPEG, WebP and HEIC.

    Raises:
      InputError: the suffix is none that can be written, or HEIC's library is missing.
      OSError: the file cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    deep = photo.pixels.dtype == np.uint16
    if deep and not is_deep(path):
        photo, deep = to_8_bits(photo), False
    image = pyvips.Image.new_from_array(photo.pixels)
    image = image.copy(interpretation="rgb16" if deep else "srgb")
    if ICC in photo.metadata:
        image = color_profiles.from_srgb(image, photo.metadata[ICC][1])
    if photo.alpha is not None and suffix in ALPHA_SUFFIXES:
        image = image.bandjoin(pyvips.Image.new_from_array(photo.alpha))
    elif photo.alpha is not None:
        logging.warning("%s: %s holds no alpha channel; it is left out", path, suffix)
    image = image.copy(xres=photo.resolution[0], yres=photo.resolution[1])
    for field, value in photo.metadata.items():
        if value[1] is not None:
            image.set_type(value[0], field, value[1])
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    options: dict[str, dict[str, Any]] = {
        ".png": {"compression": 6},
        ".tif": {"compression": "deflate", "predictor": "horizontal"},
        ".webp": {"Q": quality},
        ".jpg": {"Q": quality, "optimize_coding": True},
    }
    if suffix in HEIF_SUFFIXES:
        data = _encode_heif(path, image, quality)
    else:
        suffix = {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)
        data = image.write_to_buffer(suffix, **options[suffix])
    write_atomically(path, data)
