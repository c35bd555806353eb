"""A convolution that trains faster on CPU than XLA's.

XLA's gradient by the kernel takes the batch for the input channels: several times as long as the
convolution itself. On CPU other ways are taken here, equal but for rounding; other backends keep
XLA's, and so do convolutions for which it is fast enough.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dped_jax.kernels import winograd
from dped_jax.kernels.winograd import Padding

NHWC = ("NHWC", "HWIO", "NHWC")
_LEAST_WIDTH = 64  # channels, of input and output, from which on Winograd's products are faster
_LEAST_PRODUCTS = 2**25  # of pixels, input and output channels


def conv_general_dilated(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Any,
    padding: Any,
    is_exact: bool = True,
    **options: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` as `nn.Conv` calls it, faster on CPU in training.

    Where no gradient is taken the result is XLA's, unless it is allowed to differ by rounding.
    """
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
    convolve = _conv if is_exact else _fast
    return convolve(sides, options["precision"], x, kernel)


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


def _is_wide(x: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether Winograd's products are faster than XLA's convolutions, by the two shapes."""
    widths = kernel[2:]
    is_wide = min(widths) >= _LEAST_WIDTH and math.prod((*x[:3], *widths)) >= _LEAST_PRODUCTS
    return tuple(kernel[:2]) == (3, 3) and is_wide


def _fast_value(padding: Padding, precision: Any, x: jax.Array, kernel: jax.Array) -> jax.Array:
    exact = functools.partial(_conv, padding, precision)
    if not _is_wide(x.shape, kernel.shape):
        return exact(x, kernel)
    on_cpu = functools.partial(winograd.convolve, padding=padding)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=exact)


def _forward(padding: Padding, precision: Any, x: jax.Array, kernel: jax.Array) -> Any:
    return _fast_value(padding, precision, x, kernel), (x, kernel)


def _backward(padding: Padding, precision: Any, kept: Any, gradient: jax.Array) -> Any:
    plain = functools.partial(_plain, padding, precision)

    def on_cpu(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> Any:
        if _is_wide(x.shape, kernel.shape):
            by_x = winograd.input_gradient(gradient, kernel, padding)
        else:
            by_x = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)[0]
        return by_x, kernel_gradient(padding, x, gradient)

    def elsewhere(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> Any:
        return jax.vjp(plain, x, kernel)[1](gradient)

    return lax.platform_dependent(*kept, gradient, cpu=on_cpu, default=elsewhere)


_conv.defvjp(_forward, _backward)
_fast = jax.custom_vjp(_fast_value, nondiff_argnums=(0, 1))
_fast.defvjp(_forward, _backward)


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
    widths = x.shape[-1], gradient.shape[-1]
    if _is_wide(x.shape, (*size, *widths)):
        return winograd.kernel_gradient(x, gradient, padding)
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
