"""A picture as its file stores it, opened and not decoded yet."""

import dataclasses
import functools
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyvips


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


def from_vips(kind: str, image: pyvips.Image, **more: Any) -> Stored:
    """Of what libvips has opened; it decodes when the pixels are asked for."""
    if image.format not in ("uchar", "ushort"):
        raise UnsupportedError(f"{image.format} values are not read; take 8 or 16 bits a channel")
    colors = more.pop("colors", 4 if image.interpretation == "cmyk" else 3)
    colors = 1 if image.bands < 3 else colors
    alpha = colors if image.bands > colors else None
    more = {"alpha": alpha, "bits": 16 if image.format == "ushort" else 8} | more
    more.setdefault("decode", functools.partial(pixels_of, image))
    resolution = (image.xres, image.yres)
    return Stored(kind, image.height, image.width, colors=colors, resolution=resolution, **more)


def pixels_of(image: pyvips.Image) -> np.ndarray:
    """Decodes what libvips has opened to (H, W, channels)."""
    return image.numpy().reshape(image.height, image.width, image.bands)
