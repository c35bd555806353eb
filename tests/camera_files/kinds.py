"""What a made-up file is, and how near to the truth what is read of it has to come."""

import dataclasses
import io
import re

import numpy as np
from PIL import Image

READ, REFUSE, EITHER = "read", "refuse", "read or refuse"
ROUNDING = 1.0  # levels of 255: what is stored is rounded by half a level, and so is what is read
DEEP_LIMIT = 0.05  # what is cut to 8 bits on the way is 0.25 off
DEEP_CONVERTED = 0.15  # tables of 16 bits and curves of 1024 points
HDR_DIFFERENCE = 10.0  # levels; the curves of PQ and HLG are further than that from sRGB's
CONVERTED = 2.0  # the same where a conversion makes the first half to at most one and a half


@dataclasses.dataclass(frozen=True)
class Kind:
    """A file of a kind that cameras, phones and their programs write.

    Attributes:
      name: of the file.
      special: what the table of the docs calls it.
      data: the file.
      truth: (H, W, 3) of [0, 255], upright, in sRGB; None where it must be refused.
      limit: largest mean difference from the truth of one of 4 x 4 parts, in levels of 255.
      stored: what one reads that overlooks what is special; the limit tells it from the truth.
      alpha: (H, W) of [0, 255] where there is one.
      right: READ, REFUSE or EITHER.
      features: words for what a command may refuse: gray, alpha, deep, turned, profile, cmyk, ...
      result: what becomes of it where it is read, for the docs.
      refusal: what a refusal by all commands has to say.
      bits: as stored.
      format: of the table of the docs.
      warning: what the reader has to say beside the pixels.
    """

    name: str
    special: str
    data: bytes = dataclasses.field(repr=False)
    truth: np.ndarray | None = dataclasses.field(default=None, repr=False)
    limit: float = 0.0
    stored: np.ndarray | None = dataclasses.field(default=None, repr=False)
    alpha: np.ndarray | None = dataclasses.field(default=None, repr=False)
    right: str = READ
    features: str = ""
    result: str = "read"
    refusal: str = ""
    bits: int = 8
    format: str = ""
    warning: str = ""


def levels(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) of [0, 255], of integers or of floats of [0, 1]; what is gray is repeated."""
    scale = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 1 / 257}.get(pixels.dtype, 255)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return np.broadcast_to(pixels[..., :3] * scale, (*pixels.shape[:2], 3))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest mean of absolute differences over one of 4 x 4 parts; endless if the sizes differ."""
    if one.shape != other.shape:
        return float("inf")
    off = np.abs(one - other).mean(-1)
    parts = [part for rows in np.array_split(off, 4) for part in np.array_split(rows, 4, axis=1)]
    return float(max(part.mean() for part in parts))


def codec_error(data: bytes, plain: np.ndarray) -> float:
    """How far what Pillow decodes of a file is from what was encoded, (H, W, 3) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        return difference(levels(np.asarray(image.convert("RGB"))), levels(plain))


def judge(kind: Kind, got: np.ndarray | str, may_refuse: frozenset[str] = frozenset()) -> str:
    """What is wrong with what a reader gave; "" where it is right.

    Args:
      kind: of the file.
      got: the pixels, or the line of the refusal.
      may_refuse: features and formats, in lower case, that the command does not take.
    """
    if isinstance(got, str):
        if "\n" in got.strip():
            return f"a refusal of several lines: {got!r}"
        if kind.right == READ and not {*kind.features.split(), kind.format.lower()} & may_refuse:
            return f"refused, should be read: {got}"
        is_named = kind.right != REFUSE or kind.format.lower() in may_refuse
        is_named = is_named or re.search(kind.refusal, got, re.IGNORECASE)
        return "" if is_named else f"refused without saying {kind.refusal!r}: {got}"
    if kind.right == REFUSE:
        return f"read, should be refused: {got.shape}"
    if kind.truth is None:
        is_stored = (
            kind.stored is not None and difference(levels(got), kind.stored) < HDR_DIFFERENCE
        )
        return "the numbers as they are stored, not converted" if is_stored else ""
    off = difference(levels(got), kind.truth)
    return "" if off <= kind.limit else f"{off:.2f} levels off, limit {kind.limit:.2f} {got.shape}"


def opacity(height: int, width: int) -> np.ndarray:
    """An alpha channel of [0, 1], nowhere endlessly thin."""
    return np.linspace(0.3, 1, height * width).reshape(height, width)


def hdr_kind(name: str, kind: str, data: bytes, stored: np.ndarray) -> Kind:
    """Converted by the rule of the reader, or refused; never the numbers as they are."""
    return Kind(
        name,
        "PQ or HLG",
        data,
        stored=255 * stored,
        right=EITHER,
        features="deep hdr",
        refusal="PQ|HLG|HDR",
        result="converted to sRGB",
        bits=16 if kind == "PNG" else 10,
    )


def by_pillow(pixels: np.ndarray, suffix: str = "tiff", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, suffix, **options)
    return file.getvalue()
