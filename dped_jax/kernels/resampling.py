"""Borders and resolutions, with gradients in a few passes over memory.

What JAX derives is a sum of padded arrays, which XLA computes on CPU element by element: ten times
as long. Images and features are (N, H, W, C).
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def extend(x: jax.Array, rows: tuple[Any, Any], columns: tuple[Any, Any]) -> jax.Array:
    """Repeats the outermost pixels, so many times before and after."""
    return jnp.pad(x, ((0, 0), rows, columns, (0, 0)), mode="edge")


def _folded(rows: Any, columns: Any, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    """To the outermost pixels goes what their repetitions got."""
    x = gradient
    for axis, (before, after) in ((1, rows), (2, columns)):
        whole, size = x, x.shape[axis] - before - after
        part = functools.partial(lax.slice_in_dim, axis=axis)
        x = part(whole, before, before + size)
        for at, start, num in ((0, 0, before), (size - 1, before + size, after)):
            if num:
                border = part(whole, start, start + num).sum(axis, keepdims=True)
                changed = part(x, at, at + 1) + border
                x = lax.dynamic_update_slice_in_dim(x, changed, at, axis)
    return (x,)


extend.defvjp(lambda x, rows, columns: (extend(x, rows, columns), None), _folded)


def conv_of_extended(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **options: Any
) -> jax.Array:
    """A 3x3 convolution of what is extended by one pixel all around, without making that.

    Making it takes a pass or two over memory, a fifth of the time of a small network on a CPU. Here
    zeros are padded, and the outermost pixels of the result are computed once more, from strips.

    Args:
      x: (N, H, W, C), sides even where strides are 2.
      kernel: (3, 3, C, features).
      strides: 1 or 2 in both directions.
      padding: of one pixel on all sides.
      **options: of `lax.conv_general_dilated`.
    """
    conv = functools.partial(lax.conv_general_dilated, rhs=kernel, **options)
    result = conv(lhs=x, window_strides=strides, padding=padding)
    for axis, size in ((1, x.shape[1]), (2, x.shape[2])):
        for is_last in (False, True)[: 2 if strides[0] == 1 else 1]:
            start, end = (max(size - 2, 0), size) if is_last else (0, min(2, size))
            outside = (1, 1) if size == 1 else (1 - is_last, 0 + is_last)
            sides = (outside, (1, 1)) if axis == 1 else ((1, 1), outside)
            strip = extend(lax.slice_in_dim(x, start, end, axis=axis), *sides)
            border = conv(lhs=strip, window_strides=strides, padding="VALID")
            at = result.shape[axis] - 1 if is_last else 0
            result = lax.dynamic_update_slice_in_dim(result, border, at, axis)
    return result


def _doubled(x: jax.Array, axis: int) -> jax.Array:
    size = x.shape[axis]
    sides = ((1, 1) if i == axis else (0, 0) for i in (1, 2))
    extended = extend(x, *sides)
    before, after = (lax.slice_in_dim(extended, i, i + size, axis=axis) for i in (0, 2))
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


@jax.custom_vjp
def upsample(x: jax.Array) -> jax.Array:
    """Doubles the resolution bilinearly, (N, H, W, C) to (N, 2H, 2W, C); pixels are squares."""
    return _doubled(_doubled(x, 1), 2)


def _upsample_gradient(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    """By products with the matrices of doubling: patches are small."""
    x = gradient
    for axis, product in ((1, "nhwc,hi->niwc"), (2, "nhwc,wi->nhic")):
        one = jnp.eye(x.shape[axis] // 2, dtype=x.dtype)[None, :, :, None]
        x = jnp.einsum(product, x, _doubled(one, 1)[0, ..., 0], precision=lax.Precision.HIGHEST)
    return (x,)


upsample.defvjp(lambda x: (upsample(x), None), _upsample_gradient)
