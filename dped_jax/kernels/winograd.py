"""3x3 convolutions of stride 1 and their gradients, by 16 products where 36 are written out.

Winograd's minimal filtering F(2x2, 3x3), as in Lavin and Gray 2016 (arXiv:1509.09308, section
4.1): blocks of 4x4 input pixels, two apart, give 2x2 output pixels each. The results are those of
the convolution but for rounding. All arrays are float32; padding is of zeros, before and after.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]
Blocks = list[list[jax.Array]]  # by row and column in a block


def convolve(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """The convolution of (N, H, W, I) with (3, 3, I, O): (N, H', W', O)."""
    return _convolve(x, _of_kernel(kernel), padding, 0)


def input_gradient(gradient: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """The gradient by x, (N, H, W, I), from that by the output, (N, H', W', O)."""
    (top, bottom), (left, right) = padding
    opposite = (2 - top, 2 - bottom), (2 - left, 2 - right)
    blocks, mirrored = _of_kernel(kernel), (3, 1, 2, 0)  # those of the kernel mirrored
    blocks = [[blocks[i][j] for j in mirrored] for i in mirrored]
    return _convolve(gradient, blocks, opposite, 1)


def kernel_gradient(x: jax.Array, gradient: jax.Array, padding: Padding) -> jax.Array:
    """The gradient by the kernel, (3, 3, I, O), from that by the output, (N, H', W', O)."""
    size, widths = gradient.shape[1:3], (x.shape[-1], gradient.shape[-1])
    of_x = _of_input(x, padding, size)
    product = jax.ShapeDtypeStruct((*of_x[0][0].shape[:3], widths[1]), x.dtype)
    to_output = jax.linear_transpose(lambda blocks: _output(blocks, size), [[product] * 4] * 4)
    products = _products(_flat(of_x), _flat(to_output(gradient)[0]), 0, 0)
    to_blocks = jax.linear_transpose(_of_kernel, jax.ShapeDtypeStruct((3, 3, *widths), x.dtype))
    return to_blocks(products)[0]


def _convolve(x: jax.Array, of_kernel: Blocks, padding: Padding, axis: int) -> jax.Array:
    """Sums over the channels of x, which are an axis of the kernel's blocks."""
    size = [n + sum(sides) - 2 for n, sides in zip(x.shape[1:3], padding, strict=True)]
    return _output(_products(_of_input(x, padding, size), of_kernel, 3, axis), size)


def _products(ones: Blocks, others: Blocks, axis: int, other_axis: int) -> Blocks:
    """Sums of products over an axis, of two that are in memory."""

    def product(one: jax.Array, other: jax.Array) -> jax.Array:
        one, other = lax.optimization_barrier((one, other))
        return lax.dot_general(one, other, (((axis,), (other_axis,)), ((), ())))

    return [list(map(product, *rows)) for rows in zip(ones, others, strict=True)]


def _flat(blocks: Blocks) -> Blocks:
    """(pixels, channels) of images."""
    return [[each.reshape(-1, each.shape[-1]) for each in row] for row in blocks]


def _twice(rows: Callable[[Sequence[jax.Array]], Sequence[jax.Array]], blocks: Any) -> Blocks:
    """Applies a function of a block's rows to its columns, and to its rows."""
    columns = [rows(column) for column in zip(*map(rows, blocks), strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _of_input(x: jax.Array, padding: Padding, size: Sequence[int]) -> Blocks:
    """Four by four (N, h, w, I), with a row and a column for each two of the output's size."""
    sides = [
        (before, n + n % 2 + 2 - length - before, 0)
        for n, length, (before, _) in zip(size, x.shape[1:3], padding, strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *sides, (0, 0, 0)])
    rows, columns = (length - 3 for length in x.shape[1:3])
    pixels = [[x[:, i : i + rows : 2, j : j + columns : 2] for j in range(4)] for i in range(4)]
    return _twice(lambda d: (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]), pixels)


def _of_kernel(kernel: jax.Array) -> Blocks:
    """Four by four (I, O)."""

    def rows(k: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
        half, rest = (k[0] + k[2]) / 2, k[1] / 2
        return k[0], half + rest, half - rest, k[2]

    return _twice(rows, kernel)


def _output(products: Blocks, size: Sequence[int]) -> jax.Array:
    """(N, H', W', O) from four by four (N, h, w, O)."""
    blocks = _twice(lambda m: (m[0] + m[1] + m[2], m[1] - m[2] - m[3]), products)
    y = jnp.stack([jnp.stack(row, axis=3) for row in blocks], axis=2)
    num, rows, _, columns, _, channels = y.shape
    return y.reshape(num, 2 * rows, 2 * columns, channels)[:, : size[0], : size[1]]
