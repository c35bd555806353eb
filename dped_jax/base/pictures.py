"""The one reader of pictures, recognised by content: pixels in sRGB, upright, in their depth."""

import dataclasses
import pathlib

import numpy as np
import pyvips

from dped_jax.base.errors import InputError


@dataclasses.dataclass
class Picture:
    """A decoded picture.

    Attributes:
      pixels: (H, W, 3) uint8 or uint16 over the full range of the type, sRGB, upright.
      alpha: (H, W) of the same type, or None.
      metadata: "exif" (a TIFF structure, without "Exif\\0\\0" before it), "xmp", "iptc" (as in
        Photoshop's APP13 segment or TIFF's tag 33723), "icc" (present where writing is to convert
        back to it): those that the file has, as bytes.
      resolution: pixels per millimetre, horizontal and vertical, of the upright picture.
      format: "jpeg", "png", "tiff", "webp", "heif", "avif", "bmp" or "raw", by content.
      bits: of a channel, as stored: 8, 10, 12, 16; fewer are read as 8.
      gray: whether it is stored as grayscale.
      warnings: one line each on what was passed over, such as further pages.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)
    format: str = "jpeg"
    bits: int = 8
    gray: bool = False
    warnings: list[str] = dataclasses.field(default_factory=list)


def read(
    source: pathlib.Path | bytes, *, name: str = "", max_megapixels: float = 200.0
) -> Picture:
    """Reads a picture; thin for now: JPEG and PNG without colour profiles."""
    data = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
    name = name or str(source)
    load = {b"\xff\xd8": "jpegload_buffer", b"\x89P": "pngload_buffer"}.get(data[:2])
    if load is None:
        raise InputError(f"{name}: not a JPEG or PNG; convert or remove it")
    try:
        image = getattr(pyvips.Image, load)(data, fail_on="truncated").autorot()
        alpha = image[image.bands - 1].numpy() if image.hasalpha() else None
        pixels = image[:3].numpy() if image.bands >= 3 else np.repeat(image[0].numpy()[..., None], 3, 2)
    except pyvips.Error as error:
        raise InputError(f"{name}: damaged or cut short; replace or remove it") from error
    return Picture(pixels, alpha, format="jpeg" if load[0] == "j" else "png")
