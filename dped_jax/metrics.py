"""Image quality scores: PSNR, SSIM and MS-SSIM of enhanced images against DSLR images.

Contract: images are RGB, NHWC, float32 with a nominal range of [0, 1]; nothing is clipped.
Functions are pure, can be jitted and return one value per image, computed from that image alone, so
that scores do not depend on the batch size. How scores of many images become one number is a matter
of the protocol: `evaluate.protocols`.
"""

import functools

import jax
import jax.numpy as jnp

from dped_jax.kernels.filters import filter_valid, gaussian_weights, halve
from dped_jax.pixels import check_images

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MIN_MS_SSIM_SIDE = 2 ** (len(MS_SSIM_WEIGHTS) - 1)

_PEAK = 255.0
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2


def mean_squared_error(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean squared difference of each pair of images.

    Args:
        a: (N, H, W, C) float32.
        b: (N, H, W, C) float32.

    Returns:
        (N,) float32, in squared units of the images.

    Raises:
        ValueError: not float images in [0, 1] of one shape.
    """
    check_images(a, b)
    squared = jnp.square(jnp.asarray(a, jnp.float32) - jnp.asarray(b, jnp.float32))
    # Axis by axis: one running float32 sum over the pixels of a whole photo loses digits.
    return squared.mean(3).mean(2).mean(1)


def psnr_from_mse(mse: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB, at peak 1, of mean squared errors of any shape; 0 → inf."""
    return -10.0 * jnp.log10(mse)


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio of each pair of images, at peak 1.

    Args:
        a: (N, H, W, C) float32 in [0, 1]; the caller clips where its protocol asks for it.
        b: (N, H, W, C) float32 in [0, 1].

    Returns:
        (N,) float32, dB; +inf for identical images (see `summarize_psnr`).

    Raises:
        ValueError: not float images in [0, 1] of one shape.
    """
    return psnr_from_mse(mean_squared_error(a, b))


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    """Structural similarity of each pair of images: the first scale of `ms_ssim`.

    Gaussian window 11x11, sigma 1.5, 'valid' borders, averaged over positions and channels. On
    images with a side below 11 the window shrinks to that side and sigma in proportion.

    Args:
        a: (N, H, W, C) float32 in [0, 1].
        b: (N, H, W, C) float32 in [0, 1].

    Returns:
        (N,) float32 in [-1, 1]; 1 for identical images.

    Raises:
        ValueError: not float images in [0, 1] of one shape, or they have no pixels.
    """
    check_images(a, b)
    return ssim_scales(a, b, scales=1)[1][:, 0]


def ms_ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multi-scale structural similarity of each pair of images, as the PIRM-2018 kit defines it.

    Args:
        a: (N, H, W, C) float32, nominally in [0, 1], not clipped.
        b: (N, H, W, C) float32 in [0, 1].

    Returns:
        (N,) float32 in [0, 1]; 1 for identical images.

    Raises:
        ValueError: not float images in [0, 1] of one shape, or a side is below 16 pixels.
    """
    check_images(a, b)
    return combine_scales(*ssim_scales(a, b))


@functools.partial(jax.jit, static_argnames="scales")  # op by op, its many slices take seconds
def ssim_scales(
    a: jax.Array, b: jax.Array, scales: int = len(MS_SSIM_WEIGHTS)
) -> tuple[jax.Array, jax.Array]:
    """Contrast-structure term and SSIM of each pair of images at each scale.

    Each next scale has the means of pixels (2i, 2i+1) in both directions; an odd last row or column
    is repeated. Reduce the results over images before `combine_scales` for scores of a pooled
    batch.

    Args:
        a: (N, H, W, C) float32, nominally in [0, 1].
        b: (N, H, W, C) float32, nominally in [0, 1].
        scales: number of scales; sides of at least 2^(scales - 1) pixels are needed, so that the
            last scale is a genuine halving of the one before.

    Returns:
        (contrast, ssim), each (N, scales) float32 in [-1, 1], not clamped.

    Raises:
        ValueError: not float images in [0, 1] of one shape, or they are too small.
    """
    check_images(a, b)
    height, width = a.shape[1:3]
    smallest = 2 ** (scales - 1)
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height}x{width} (height x width) are too small for {scales} scales of "
            f"SSIM: both sides must have at least {smallest} pixels"
        )
    # Variances are E[x²] - E[x]²: centring the range keeps float32 from losing them in the squares.
    a, b = ((jnp.asarray(x, jnp.float32).transpose(0, 3, 1, 2) - 0.5) * _PEAK for x in (a, b))
    terms = []
    for scale in range(scales):
        if scale:
            a, b = halve(a), halve(b)
        terms.append(_ssim_terms(a, b))
    contrast, similarity = zip(*terms, strict=True)
    return jnp.stack(contrast, axis=-1), jnp.stack(similarity, axis=-1)


def combine_scales(contrast: jax.Array, similarity: jax.Array) -> jax.Array:
    """MS-SSIM from the terms of five scales: Π contrast^weight of all but the last · SSIM of it.

    Negative terms count as 0, and have gradient 0, where the PIRM kit's fractional powers give NaN.

    Args:
        contrast: (..., 5) float32 from `ssim_scales`.
        similarity: (..., 5) float32 from `ssim_scales`.

    Returns:
        (...) float32 in [0, 1].
    """
    terms = jnp.concatenate([contrast[..., :-1], similarity[..., -1:]], axis=-1)
    positive = terms > 0
    powers = jnp.where(positive, terms, 1.0) ** jnp.asarray(MS_SSIM_WEIGHTS, jnp.float32)
    return jnp.prod(jnp.where(positive, powers, 0.0), axis=-1)


def _ssim_terms(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(contrast, ssim), each (N,), of (N, C, H, W) images in [-127.5, 127.5] at one scale.

    On images with a side below 11 the Gaussian window shrinks to that side.
    """
    window = min(_WINDOW, *a.shape[2:])
    weights = gaussian_weights(window, _SIGMA * window / _WINDOW)
    mean_a, mean_b, square_a, square_b, product = (
        filter_valid(x, weights) for x in (a, b, a * a, b * b, a * b)
    )
    variances = square_a - mean_a**2 + square_b - mean_b**2
    contrast = (2.0 * (product - mean_a * mean_b) + _C2) / (variances + _C2)
    mean_a, mean_b = mean_a + 0.5 * _PEAK, mean_b + 0.5 * _PEAK
    luminance = (2.0 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    pixels = (1, 2, 3)
    return contrast.mean(pixels), (luminance * contrast).mean(pixels)
