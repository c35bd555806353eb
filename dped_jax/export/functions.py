"""A generator as one function of photographs, for formats that are made of JAX's programs."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from dped_jax.checkpoint import Tree
from dped_jax.pixels import to_float

Enhance = Callable[[jax.Array], jax.Array]
_LEAST_HALF = 1_000  # numbers of a kernel from which on it is kept as float16


def type_kept(kernel: np.ndarray, half: bool) -> Any:
    """The type in which a kernel is kept; `half` asks for float16.

    Small kernels stay float32: they save no room, and those of PPCN as float16 put its output off
    by 1.6e-3 (without them by 5e-4).
    """
    return np.float16 if half and kernel.size >= _LEAST_HALF else np.float32


def enhance_function(network: nn.Module, variables: Tree, pixels: str, half: bool) -> Enhance:
    """The generator with its variables and pixels of a type.

    Args:
      network: a generator.
      variables: of it.
      pixels: "float32" or "uint8", of what goes in and comes out.
      half: whether kernels are kept as float16, see `type_kept`; they are used as float32.

    Returns:
      A function from (N, H, W, 3) to the same shape and type, which can be traced for any size.
    """

    def keep(x: np.ndarray) -> np.ndarray:
        return np.asarray(x, type_kept(x, half and x.ndim > 1))

    kept = jax.tree.map(keep, variables)

    def enhance(photo: jax.Array) -> jax.Array:
        images = to_float(photo)
        used = jax.tree.map(lambda x: jnp.asarray(x).astype(jnp.float32), kept)
        # As the networks do themselves, but so that JAX can follow while a size is a symbol, and
        # without a gather, which LiteRT does not convert.
        for axis in (1, 2):
            size, stride = photo.shape[axis], network.stride
            if stride > 1 and not isinstance(size, int):
                last = jax.lax.slice_in_dim(images, size - 1, size, axis=axis)
                images = jnp.concatenate([images, *[last] * (stride - 1)], axis=axis)
                extended = (size + stride - 1) // stride * stride
                images = jax.lax.slice_in_dim(images, 0, extended, axis=axis)
        enhanced = jnp.asarray(network.apply(used, images))
        for axis in (1, 2):
            enhanced = jax.lax.slice_in_dim(enhanced, 0, photo.shape[axis], axis=axis)
        if pixels == "uint8":
            enhanced = jnp.round(jnp.clip(enhanced, 0, 1) * 255).astype(jnp.uint8)
        return enhanced

    return enhance


def photo_type(pixels: str, size: tuple[int, int] | None = None) -> jax.ShapeDtypeStruct:
    """One photograph of a height and width; or, without these, photographs of any number and size.

    Their type is "float32" or "uint8".
    """
    shape = (1, *size, 3) if size else jax.export.symbolic_shape("batch, height, width, 3")
    return jax.ShapeDtypeStruct(tuple(shape), pixels)
