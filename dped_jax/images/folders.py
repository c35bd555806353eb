"""Reads pictures of folders as (H, W, 3) uint8 RGB."""

import pathlib

import cv2
import numpy as np
from PIL import Image

from dped_jax.base.errors import InputError

MAX_PIXELS = 200e6  # few bytes can hold more pixels than the memory


def read_image(path: pathlib.Path) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB, its EXIF orientation applied.

    Raises:
      InputError: it is missing, cannot be decoded, or has more than 200 megapixels.
    """
    Image.MAX_IMAGE_PIXELS = None  # only the header is read
    try:
        with Image.open(path) as header:
            width, height = header.size
    except (Image.UnidentifiedImageError, ValueError, SyntaxError):
        width, height = 0, 0
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels, more than 200 megapixels; reduce it")
    encoded = np.fromfile(path, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None
    if image is None:
        raise InputError(f"{path}: not a picture that can be decoded; replace or remove it")
    return image
