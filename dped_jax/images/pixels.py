"""Float and integer pixels: the one place that converts between them."""

import jax
import numpy as np


def to_integers(images: np.ndarray, dtype: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    """Clips floats to [0, 1] and rounds them to the range of uint8 or uint16."""
    return dtype(np.round(np.clip(images, 0, 1) * np.iinfo(dtype).max))


def to_float(images: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
    """uint8 or uint16 pixels to float32 in [0, 1]; floats become float32. NumPy or JAX arrays."""
    scale = np.iinfo(images.dtype).max if images.dtype.kind == "u" else 1
    return images.astype(np.float32) / np.float32(scale)
