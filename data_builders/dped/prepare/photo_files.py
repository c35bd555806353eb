"""Photo files as cameras give them: decoded to upright 8-bit RGB in sRGB, and when they were taken.

JPEG, PNG, TIFF and WebP need nothing else; HEIC needs pillow-heif, camera raw rawpy.
"""

import calendar
import datetime
import functools
import importlib
import io
import re
import types
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

from dped_jax.base.errors import InputError

from ..layout import PATCH_SIZE
from ..picture_files import MAX_PIXELS, PHOTO_SUFFIXES, decode, is_jpeg, picture_size

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef")
SUFFIXES = (*PHOTO_SUFFIXES, *HEIF_SUFFIXES, *RAW_SUFFIXES)
# How raw files are developed: nothing that depends on what the photo shows.
RAW_DEVELOPMENT: dict[str, Any] = {
    "use_camera_wb": True,
    "no_auto_bright": True,
    "gamma": (2.4, 12.92),  # close to the curve of sRGB
    "output_bps": 8,
}  # output_color is sRGB, demosaicing AHD, by default

_LIBRARIES = {
    **dict.fromkeys(HEIF_SUFFIXES, ("HEIC", "pillow_heif", "pillow-heif")),
    **dict.fromkeys(RAW_SUFFIXES, ("camera raw", "rawpy", "rawpy")),
}
_EXIF, _TIMES, _SUBSECONDS, _ZONE = 0x8769, (0x9003, 0x9004), 0x9291, 0x9011  # tags of EXIF
_TIME = "%Y %m %d %H %M %S"
_EXACTLY = ImageCms.Flags.NOOPTIMIZE  # interpolating in a table costs 5 % in the dark


class PhotoError(ValueError):
    """A photo that gives no patches. The message says why, and what to do where one can."""


def library(suffix: str) -> types.ModuleType | None:
    """The library that files of a suffix need; None where they need none.

    Raises:
      InputError: it is not installed.
    """
    if suffix.lower() not in _LIBRARIES:
        return None
    what, module, package = _LIBRARIES[suffix.lower()]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{what} photos need another library: pip install {package}") from error


def decode_photo(data: bytes, camera: str, suffix: str = "") -> np.ndarray:
    """Decodes a photo, upright as its EXIF orientation says, and converts wide gamuts to sRGB.

    Args:
      data: the file.
      camera: "phone" or "dslr", for the message.
      suffix: of the file; says whether it is HEIC or camera raw.

    Returns:
      (H, W, 3) uint8, RGB.

    Raises:
      PhotoError: not an 8-bit RGB photo, damaged, or smaller than a patch.
      InputError: the library that the format needs is not installed.
    """
    which = "phone photo" if camera == "phone" else "DSLR photo"
    if not data:
        raise PhotoError(f"{which}: empty file: replace it")
    if suffix.lower() in RAW_SUFFIXES:
        photo = _develop(data, which)
    elif suffix.lower() in HEIF_SUFFIXES:
        photo = _decode_heif(data, which)
    else:
        photo = _decode_picture(data, which)
    height, width = photo.shape[:2]
    if min(height, width) < PATCH_SIZE:
        size = f"{PATCH_SIZE}x{PATCH_SIZE}"
        raise PhotoError(f"{which}: {width}x{height} pixels: smaller than a patch of {size}")
    return photo


def _check_size(width: int, height: int, which: str) -> None:
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{which}: {width}x{height} pixels: more than 200 megapixels: reduce it")


def _decode_picture(data: bytes, which: str) -> np.ndarray:
    """JPEG, PNG, TIFF or WebP."""
    width, height = picture_size(data)
    _check_size(width, height, which)
    photo = decode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if photo is None:
        raise PhotoError(f"{which}: damaged or no photo: replace it")
    # The mode above drops an alpha channel; JPEG has none, and decoding twice takes time.
    alpha = not is_jpeg(data) and np.shape(decode(data))[2:] == (4,)
    for unfit, what in (
        (photo.dtype != np.uint8, f"{photo.dtype.itemsize * 8} bits a channel"),
        (photo.ndim != 3, "grayscale"),
        (alpha, "an alpha channel"),
    ):
        if unfit:
            raise PhotoError(f"{which}: {what}: convert it to 8-bit RGB")
    with Image.open(io.BytesIO(data)) as header:
        profile = header.info.get("icc_profile")
    return _to_srgb(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), profile)


def _decode_heif(data: bytes, which: str) -> np.ndarray:
    """HEIC; libheif turns it upright itself, and rounds 10 bits to 8."""
    pillow_heif = library(".heic")
    assert pillow_heif is not None
    try:
        heif = pillow_heif.open_heif(io.BytesIO(data))
        width, height = heif.size
        _check_size(width, height, which)
        for unfit, what in ((heif.has_alpha, "an alpha channel"), (heif.mode == "L", "grayscale")):
            if unfit:
                raise PhotoError(f"{which}: {what}: convert it to 8-bit RGB")
        return _to_srgb(np.array(heif.to_pillow()), heif.info.get("icc_profile"))
    except PhotoError:
        raise
    except (ValueError, RuntimeError, OSError, SyntaxError, EOFError) as error:
        raise PhotoError(f"{which}: damaged or no HEIC photo: replace it") from error


def _develop(data: bytes, which: str) -> np.ndarray:
    """Camera raw, with the camera's white balance; see `RAW_DEVELOPMENT`."""
    rawpy = library(".dng")
    assert rawpy is not None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            _check_size(raw.sizes.width, raw.sizes.height, which)
            return np.ascontiguousarray(raw.postprocess(**RAW_DEVELOPMENT))
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise PhotoError(
            f"{which}: raw file that LibRaw cannot read ({reason}): develop it to JPEG or TIFF"
        ) from error


def raw_development() -> str:
    """How raw files are developed, and by what."""
    rawpy = library(".dng")
    assert rawpy is not None
    version = ".".join(map(str, rawpy.libraw_version))
    settings = ", ".join(f"{name}={value}" for name, value in RAW_DEVELOPMENT.items())
    return f"rawpy {rawpy.__version__}, LibRaw {version}: {settings}, sRGB"


def _to_srgb(photo: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Converts (H, W, 3) uint8 from an RGB profile; a damaged one, or none, is taken for sRGB."""
    transform = _to_srgb_transform(profile) if profile else None
    if transform is None:
        return photo
    converted = ImageCms.applyTransform(Image.fromarray(photo), transform)
    assert converted is not None
    return np.array(converted)


@functools.lru_cache(maxsize=4)
def _to_srgb_transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where that changes nothing, up to rounding."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if embedded.profile.xcolor_space.strip() != "RGB":
            return None
        transform = ImageCms.buildTransform(
            embedded,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            _EXACTLY,
        )
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 256, 3)
        converted = np.array(ImageCms.applyTransform(Image.fromarray(cube), transform))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    return transform if np.abs(np.int16(converted) - cube).max() > 1 else None


def capture_time(data: bytes, suffix: str) -> tuple[float, float] | None:
    """When a photo was taken, by the camera's clock.

    Args:
      data: the file.
      suffix: of the file.

    Returns:
      Seconds since 1970 as the clock of the camera showed them, and its zone in seconds east of
      UTC, NaN where the file does not say; None where it has no time.

    Raises:
      InputError: the library that the format needs is not installed.
    """
    exif = _exif(data, suffix)
    time = next((str(exif[tag]) for tag in _TIMES if exif.get(tag)), "")
    found = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", time)
    try:
        moment = datetime.datetime.strptime(" ".join(found.groups()), _TIME) if found else None
    except ValueError:  # month 0, as of a clock that was never set
        moment = None
    if moment is None:
        seconds = _raw_time(data) if suffix.lower() in RAW_SUFFIXES else None
        return None if seconds is None else (seconds, float("nan"))
    part = re.match(r"\d+", str(exif.get(_SUBSECONDS, "")).strip())
    zone = re.match(r"([+-])(\d\d):(\d\d)", str(exif.get(_ZONE, "")))
    east = float("nan")
    if zone:
        east = float(f"{zone[1]}1") * (3600 * int(zone[2]) + 60 * int(zone[3]))
    return calendar.timegm(moment.timetuple()) + float(f"0.{part[0]}" if part else 0), east


def _exif(data: bytes, suffix: str) -> dict[int, Any]:
    """The tags of the part of EXIF that is about exposure; empty where there are none."""
    exif = Image.Exif()
    try:
        if suffix.lower() in HEIF_SUFFIXES:
            pillow_heif = library(suffix)
            assert pillow_heif is not None
            exif.load(pillow_heif.open_heif(io.BytesIO(data)).info.get("exif") or b"")
            return dict(exif.get_ifd(_EXIF))
        with Image.open(io.BytesIO(data)) as image:
            return dict(image.getexif().get_ifd(_EXIF))
    except InputError:
        raise
    except Exception:  # whatever libraries make of odd tags
        return {}


def _raw_time(data: bytes) -> float | None:
    """Of raw files that are no TIFF, as CR3; LibRaw takes the camera's clock for a local time."""
    rawpy = library(".dng")
    assert rawpy is not None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            stamp = raw.other.timestamp
    except (rawpy.LibRawError, AttributeError):
        return None
    stamp = stamp.timestamp() if isinstance(stamp, datetime.datetime) else float(stamp)
    local = datetime.datetime.fromtimestamp(stamp)
    return float(calendar.timegm(local.timetuple())) if stamp > 0 else None
