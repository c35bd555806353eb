"""A convolution whose gradient by the kernel is computed faster on CPU than XLA's.

XLA's takes the batch for the input channels: several times as long as the convolution itself. On
CPU it is computed here as matrix products, equal but for rounding. Other backends keep XLA's, and
so do convolutions for which it is fast enough.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]
NHWC = ("NHWC", "HWIO", "NHWC")
# Channels from which on it is faster; with the 16 to 48 of `mobile.py` it took 16 % more time.
_LEAST_WIDTH = 64
_LEAST_PIXELS = 8_192  # of a batch


def conv_general_dilated(
    x: jax.Array, kernel: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """`jax.lax.conv_general_dilated` as `nn.Conv` calls it, with a faster gradient on CPU."""
    plain = x.ndim == 4 and {*options["lhs_dilation"], *options["rhs_dilation"]} == {1}
    if not plain or options["feature_group_count"] != 1:
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **options)
    if x.dtype != jnp.float32 or set(window_strides) != {1}:
        if padding == "VALID":
            return _valid(x, kernel, tuple(window_strides), options["precision"])
        return lax.conv_general_dilated(x, kernel, window_strides, padding, **options)
    if isinstance(padding, str):
        size = x.shape[1:3], kernel.shape[:2], window_strides
        padding = lax.padtype_to_pads(*size, padding)
    sides = tuple((int(before), int(after)) for before, after in padding)
    return _conv(sides, options["precision"], x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(padding: Padding, precision: Any, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if padding == ((0, 0), (0, 0)):
        return _valid(x, kernel, (1, 1), precision)
    return _plain(padding, precision, x, kernel)


def _valid(x: jax.Array, kernel: jax.Array, strides: Any, precision: Any) -> jax.Array:
    """A convolution without padding: one whose zeros enter only what is cut off.

    On CPU, without it XLA takes two to eight times as long for large images.
    """
    sizes = kernel.shape[:2]
    sides = [
        (0, k - 1) if step > 1 else ((k - 1) // 2, k // 2)
        for k, step in zip(sizes, strides, strict=True)
    ]
    y = lax.conv_general_dilated(
        x, kernel, strides, sides, dimension_numbers=NHWC, precision=precision
    )
    for axis, (before, _) in enumerate(sides, start=1):
        size = (x.shape[axis] - sizes[axis - 1]) // strides[axis - 1] + 1
        y = lax.slice_in_dim(y, before, before + size, axis=axis)
    return y


def _plain(padding: Padding, precision: Any, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=NHWC, precision=precision
    )


def _forward(padding: Padding, precision: Any, x: jax.Array, kernel: jax.Array) -> Any:
    return _conv(padding, precision, x, kernel), (x, kernel)


def _backward(padding: Padding, precision: Any, kept: Any, gradient: jax.Array) -> Any:
    plain = functools.partial(_plain, padding, precision)

    def on_cpu(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> Any:
        of_x = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)[0]
        return of_x, kernel_gradient(padding, x, gradient)

    def elsewhere(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> Any:
        return jax.vjp(plain, x, kernel)[1](gradient)

    return lax.platform_dependent(*kept, gradient, cpu=on_cpu, default=elsewhere)


_conv.defvjp(_forward, _backward)


def kernel_gradient(padding: Padding, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The gradient of a convolution of stride 1 by its kernel, in the form that is fastest.

    Args:
      padding: of H and W, before and after, in pixels.
      x: (N, H, W, I) float32, the input.
      gradient: (N, H', W', O) float32, by the output.

    Returns:
      (h, w, I, O) float32.
    """
    size = [x.shape[i] + sum(padding[i - 1]) - gradient.shape[i] + 1 for i in (1, 2)]
    widths, pixels = (x.shape[-1], gradient.shape[-1]), gradient[..., 0].size
    if min(widths) >= _LEAST_WIDTH and pixels >= _LEAST_PIXELS and size[1] > 1:
        return _by_products(padding, size, x, gradient)
    # XLA's is fast for few input channels: input and output swapped.
    if widths[0] > widths[1] and widths[0] >= _LEAST_WIDTH:
        (top, bottom), (left, right) = padding
        height, width = size[0] - 1, size[1] - 1
        mirrored = ((height - top, height - bottom), (width - left, width - right))
        return _by_xla(mirrored, size, gradient, x)[::-1, ::-1].swapaxes(2, 3)
    return _by_xla(padding, size, x, gradient)


def _by_xla(padding: Padding, size: Any, x: jax.Array, gradient: jax.Array) -> jax.Array:
    kernel = jnp.zeros((*size, x.shape[-1], gradient.shape[-1]))
    return jax.vjp(lambda kernel: _plain(padding, None, x, kernel), kernel)[1](gradient)[0]


def _by_products(padding: Padding, size: Any, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """Matrix products over all pixels, rows padded to a multiple of the kernel's width w.

    w neighbouring pixels are a row of w * I numbers in memory already: those that begin at pixels
    r, r + w, r + 2w, ... are the padded input from pixel r on, reshaped. Each is multiplied with
    the gradient at its first pixel; a kernel's row with the gradient that many rows further down.
    """
    (top, _), (left, _) = padding
    (height, width), (inputs, outputs) = size, (x.shape[-1], gradient.shape[-1])
    num, rows, columns = gradient.shape[:3]
    padded = (rows + height - 1, -(-(columns + width - 1) // width) * width)
    blocks = num * padded[0] * padded[1] // width

    def pad(values: jax.Array, above: int, before: int) -> jax.Array:
        below, after = (p - v for p, v in zip(padded, values.shape[1:3], strict=True))
        sides = ((0, 0, 0), (above, below - above, 0), (before, after - before, 0), (0, 0, 0))
        values = lax.pad(values, jnp.zeros((), values.dtype), sides)
        return lax.optimization_barrier(values).reshape(blocks * width, -1)

    pixels = pad(x, top, left)
    zero = jnp.zeros((), x.dtype)
    windows = [
        lax.pad(pixels, zero, ((-r, r, 0), (0, 0, 0))).reshape(blocks, width * inputs)
        for r in range(width)
    ]
    found = []
    for i in range(height):
        below = pad(gradient, i, 0).reshape(blocks, width * outputs)
        firsts = [below[:, r * outputs : (r + 1) * outputs] for r in range(width)]
        products = [
            lax.dot_general(lax.optimization_barrier(first), window, (((0,), (0,)), ((), ())))
            for first, window in zip(firsts, windows, strict=True)
        ]
        found.append(functools.reduce(jnp.add, products))
    return jnp.stack(found).reshape(height, outputs, width, inputs).transpose(0, 2, 3, 1)
