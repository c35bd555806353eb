"""The one reader of pictures, recognised by content: pixels in sRGB, upright, in their depth.

The rules are the same for every command; what a command cannot take it refuses itself.
- Orientation is applied once: of HEIF and AVIF that of the file's own transforms, of others EXIF's.
- Colours: the ICC profile; else cICP (PNG) or nclx (HEIF, AVIF); else Adobe RGB where EXIF's
  InteroperabilityIndex is R03; else sRGB. HDR (PQ, HLG) and CMYK without a profile are refused.
- A file that is damaged or cut short is refused as far as its format tells; JPEG without end marker
  is read. Gain maps, further pages and pictures, and what lies behind a picture, are passed over.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from dped_jax.base import color
from dped_jax.base.errors import InputError
from dped_jax.base.picture_formats import Stored, UnsupportedError, open_picture

DAMAGED = "damaged or cut short; replace or remove it"
Source = pathlib.Path | bytes


@dataclasses.dataclass
class Picture:
    """A decoded picture.

    Attributes:
      pixels: (H, W, 3) uint8 or uint16 over the full range of the type, sRGB, upright.
      alpha: (H, W) of the same type, or None; colours are not multiplied by it.
      metadata: what the file has of "exif" (a TIFF structure, without "Exif\\0\\0" before it),
        "xmp", "xmp_extended" (of JPEG, joined), "iptc" (of JPEG and PNG Photoshop's resources, of
        TIFF tag 33723) and "icc": the RGB profile to which writing is to convert back, not there
        where it cannot be converted to.
      resolution: pixels per millimetre, horizontal and vertical, of the upright picture.
      format: "jpeg", "png", "tiff", "webp", "heif", "avif", "bmp" or "raw", by content.
      bits: of a channel, as stored: 1 to 16.
      gray: whether it is stored as grayscale.
      converted: whether pixels were turned, or their colours converted, after decoding.
      warnings: a few words each on what was passed over, such as further pages.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)
    format: str = "jpeg"
    bits: int = 8
    gray: bool = False
    converted: bool = False
    warnings: list[str] = dataclasses.field(default_factory=list)


def read(source: Source, *, name: str = "", max_megapixels: float = 200.0) -> Picture:
    """Reads a picture.

    Args:
      source: of a file, the path or the content.
      name: for messages; by default the path.
      max_megapixels: larger pictures are refused before they are decoded.

    Raises:
      InputError: it is damaged, too large, or of a kind that is not supported: one line.
      OSError: it cannot be read from disk.
    """
    stored, name = _open(source, name)
    if max(stored.stored_pixels, stored.height * stored.width) > max_megapixels * 1e6:
        raise InputError(
            f"{name}: {stored.width} x {stored.height} pixels, more than {max_megapixels:g} "
            "megapixels; reduce it, or raise the limit if it is to be trusted"
        )
    with _one_line(name):
        samples = stored.decode()
    alpha = None
    if stored.alpha is not None:
        alpha = np.ascontiguousarray(samples[..., stored.alpha])
    samples = np.ascontiguousarray(samples[..., : stored.colors])
    if stored.premultiplied and alpha is not None:
        samples = color.without_premultiplication(samples, alpha)
    converted = _to_srgb(samples, stored, name)
    return Picture(
        _upright(converted, stored.orientation),
        None if alpha is None else _upright(alpha, stored.orientation),
        {key: value for key, value in stored.metadata.items() if value},
        stored.resolution if stored.orientation < 5 else stored.resolution[::-1],
        stored.format,
        stored.bits,
        gray=stored.colors == 1,
        converted=converted is not samples or stored.orientation != 1,
        warnings=stored.warnings,
    )


def size(source: Source, *, name: str = "") -> tuple[int, int]:
    """Height and width of an upright picture, by its header; see `read`."""
    stored, _ = _open(source, name)
    size = stored.height, stored.width
    return size[::-1] if stored.orientation > 4 else size


def read_rgb8(source: Source, *, name: str = "", max_megapixels: float = 200.0) -> np.ndarray:
    """The pixels, (H, W, 3) uint8, for a caller that takes 8-bit RGB only; see `read`."""
    name = name or ("" if isinstance(source, bytes) else str(source))
    picture = read(source, name=name, max_megapixels=max_megapixels)
    for unfit, what in (
        (picture.pixels.dtype != np.uint8, f"{picture.bits} bits a channel"),
        (picture.gray, "grayscale"),
        (picture.alpha is not None, "an alpha channel"),
    ):
        if unfit:
            raise InputError(f"{name}: {what}; convert it to 8-bit RGB")
    return picture.pixels


def read_pixels(path: pathlib.Path, *, deep: bool = True) -> np.ndarray:
    """Reads a picture for a caller that compares or shows pixels; an alpha channel is left out.

    Returns:
      (H, W, 3) uint8, or, if `deep`, uint16 where it has more bits; sRGB, upright. See `read`.
    """
    picture = read(path)
    alpha = ["its alpha channel is left out"] if picture.alpha is not None else []
    for warning in picture.warnings + alpha:
        logging.warning("%s: %s", path, warning)
    return picture.pixels if deep else to_8_bits(picture.pixels)


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Rounds uint16 of [0, 65535] to uint8 of [0, 255]; uint8 stays as it is."""
    if values.dtype == np.uint8:
        return values
    rounded = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 64):  # a few rows at a time, for memory
        rows = slice(top, top + 64)
        rounded[rows] = (values[rows].astype(np.uint32) + 128) // 257
    return rounded


def _open(source: Source, name: str) -> tuple[Stored, str]:
    if not isinstance(source, bytes):
        name, source = name or str(source), source.read_bytes()
    with _one_line(name):
        return open_picture(source, name), name


@contextlib.contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Errors of the libraries become one line; what they keep of the text is cleared."""
    color.forget_errors()
    try:
        yield
    except UnsupportedError as error:
        raise InputError(f"{name}: {error}") from error
    except Stored.errors as error:
        raise InputError(f"{name}: {DAMAGED}") from error


def _to_srgb(samples: np.ndarray, stored: Stored, name: str) -> np.ndarray:
    """(H, W, 3); `stored.metadata` loses a profile to which writing is not to convert back."""
    profile = stored.metadata.get("icc")
    is_rgb, hdr = stored.colors == 3, (color.PQ, color.HLG)
    if profile and color.icc_transfer(profile) in hdr:
        stored.cicp, profile = (2, color.icc_transfer(profile)), None
    elif profile and stored.format == "png" and stored.cicp and stored.cicp[1] in hdr:
        profile = None  # to PNG the profile is for readers that do not know cICP
    try:
        if profile:
            pixels = color.to_srgb(samples, profile)
            if not is_rgb or not color.can_convert_to(profile):
                stored.metadata.pop("icc")
            return pixels
    except color.ProfileError as error:
        stored.metadata.pop("icc")
        stored.warnings.append(f"{error}; taken as sRGB")
    if stored.colors == 4:
        raise InputError(f"{name}: CMYK without a colour profile that fits; convert it to RGB")
    pixels = samples if is_rgb else np.repeat(samples, 3, axis=2)
    try:
        if stored.cicp and stored.cicp != (2, 2):
            return color.cicp_to_srgb(pixels, *stored.cicp)
    except color.ProfileError as error:
        raise InputError(f"{name}: {error}; convert it to SDR in sRGB") from error
    if profile is None and is_rgb and stored.is_adobe_rgb:
        return color.adobe_rgb_to_srgb(pixels)
    return pixels


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors (H, W) or (H, W, 3) as EXIF's orientation says."""
    if orientation == 1:
        return pixels
    # Moved as wholes, pixels take half the time that their channels would.
    wholes = pixels.view(np.dtype((np.void, pixels.strides[1]))).reshape(pixels.shape[:2])
    if orientation > 4:
        wholes = wholes.T
    if orientation in (3, 4, 7, 8):
        wholes = wholes[::-1]
    if orientation in (2, 3, 6, 7):
        wholes = wholes[:, ::-1]
    turned = np.ascontiguousarray(wholes).view(pixels.dtype)
    return turned.reshape(*wholes.shape, *pixels.shape[2:])
