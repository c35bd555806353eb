"""Float and integer pixels: the one place that converts between them."""

import jax
import jax.numpy as jnp
import numpy as np


def to_integers(
    images: np.ndarray | jax.Array, dtype: type[np.unsignedinteger] = np.uint8
) -> np.ndarray | jax.Array:
    """Clips floats to [0, 1] and rounds them to the range of uint8 or uint16; of either library."""
    return (images.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def to_float(images: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
    """uint8 or uint16 pixels to float32 in [0, 1]; floats become float32. NumPy or JAX arrays."""
    scale = np.iinfo(images.dtype).max if images.dtype.kind == "u" else 1
    return images.astype(np.float32) / np.float32(scale)


def check_photo(photo: np.ndarray) -> None:
    """Raises ValueError where an array is not a photograph that can be enhanced, saying what came.

    A photograph is (H, W, 3) RGB with at least one pixel: uint8, uint16, or floats in [0, 1].
    """
    if photo.ndim != 3 or photo.shape[-1] != 3 or not photo.size:
        raise ValueError(f"photo of shape {photo.shape}; expected (height, width, 3), RGB")
    if photo.dtype.kind == "f":
        _check_range(photo, f"photo of {photo.dtype}", margin=1e-3)
    elif photo.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"photo of {photo.dtype}; expected uint8, uint16 or floats in [0, 1]")


def check_images(*batches: np.ndarray | jax.Array) -> None:
    """Raises ValueError unless all are (N, H, W, C) floats of one shape, nominally in [0, 1].

    C is 3, or 1 for grayscale. Outputs of a network may leave the range a little. Values that are
    not known yet, while a function is being compiled, pass.
    """
    shapes = [batch.shape for batch in batches]
    if len(shapes[0]) != 4 or len(set(shapes)) > 1:
        listed = " and ".join(map(str, shapes))
        raise ValueError(f"expected image batches of the same (N, H, W, C), got {listed}")
    if 0 in shapes[0][1:]:
        raise ValueError(f"images without pixels: {shapes[0]}")
    if shapes[0][3] not in (1, 3):
        raise ValueError(f"images of shape {shapes[0]}; expected 3 channels, RGB, or 1")
    for batch in batches:
        if not jnp.issubdtype(batch.dtype, jnp.floating):
            raise ValueError(f"images of {batch.dtype}; expected floats in [0, 1]: divide by 255?")
        if not isinstance(batch, jax.core.Tracer) and batch.size:
            _check_range(batch, "images", margin=1.0)


def _check_range(images: np.ndarray | jax.Array, what: str, margin: float) -> None:
    low, high = float(images.min()), float(images.max())
    if not -margin <= low <= high <= 1 + margin:  # so is NaN
        raise ValueError(f"{what} with values from {low:g} to {high:g}; expected [0, 1]")
