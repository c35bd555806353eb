"""Pictures, decoded and encoded."""

import io
import math
import zlib

import cv2
import numpy as np
from PIL import Image

PATCH_SUFFIXES = (".jpg", ".jpeg", ".png")
PHOTO_SUFFIXES = (*PATCH_SUFFIXES, ".tif", ".tiff", ".webp")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
MAX_PIXELS = 200e6  # few bytes can hold more pixels than the memory


def is_jpeg(data: bytes) -> bool:
    """Whether a file starts as a JPEG does."""
    return data.startswith(_JPEG_START)


def is_png(data: bytes) -> bool:
    """Whether a file starts as a PNG does."""
    return data.startswith(_PNG_START)


def decode(data: bytes, mode: int = cv2.IMREAD_UNCHANGED) -> np.ndarray | None:
    """Decodes a file that is whole.

    Args:
      data: the file.
      mode: of cv2; by default, depth and channels are those of the file.

    Returns:
      (H, W) or (H, W, channels), BGR unless the mode says otherwise; None if the file is damaged,
      no picture, or one of more than 200 megapixels, which is not decoded.
    """
    if not _is_whole(data) or math.prod(picture_size(data)) > MAX_PIXELS:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:  # an absurd size in the header
        return None


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture by its header; (0, 0) of what is none."""
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError):
        return 0, 0


def encode(image: np.ndarray, suffix: str, jpeg_quality: int = 100) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as ".png", or as ".jpg" of a quality in 1…100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _is_whole(data: bytes) -> bool:
    """Whether a file is not empty, and a JPEG or PNG has its end; decoders may not mind."""
    if is_png(data):
        return _png_is_whole(data)
    if is_jpeg(data):
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN) > 0
    return bool(data)


def _png_is_whole(data: bytes) -> bool:
    """Whether every chunk up to IEND is there with the right checksum (cv2 warns on stderr)."""
    position = len(_PNG_START)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        body = data[position + 4 : end - 4]
        if end > len(data) or zlib.crc32(body) != int.from_bytes(data[end - 4 : end]):
            return False
        if body.startswith(b"IEND"):
            return True
        position = end
    return False
