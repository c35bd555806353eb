"""Pixels between floats and integers, and arrays of another kind, which are told what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dped_jax import losses, metrics
from dped_jax.pixels import check_photo, to_float, to_integers

KERNEL = losses.gaussian_kernel(21, 3.0, 0.053)
OF_PAIRS = {
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
    "ms_ssim": metrics.ms_ssim,
    "mean_squared_error": metrics.mean_squared_error,
    "mse_loss": losses.mse_loss,
    "color_loss": lambda a, b: losses.color_loss(a, b, KERNEL),
    "release_color_loss": losses.release_color_loss,
    "total_variation_loss": lambda a, b: losses.total_variation_loss(a),
    "release_total_variation_loss": lambda a, b: losses.release_total_variation_loss(a),
}
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (2, 20, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_survive_floats(dtype):
    every = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    floats = to_float(every)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (0, 1)
    np.testing.assert_array_equal(to_integers(floats, dtype), every)
    # XLA may multiply by the rounded reciprocal: two roundings of half an ulp each.
    np.testing.assert_allclose(to_float(jnp.asarray(every)), floats, rtol=2**-23, atol=0)


def test_floats_are_clipped_and_rounded():
    np.testing.assert_array_equal(
        to_integers(np.float32([-0.2, 0.4 / 255, 0.6 / 255, 1.7])), np.uint8([0, 0, 1, 255])
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_photographs_pass(dtype):
    check_photo(np.ones((1, 5, 3), dtype))


def photo(*shape, dtype=np.float32, value=0.5):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (photo(5, 6), r"shape \(5, 6\); expected \(height, width, 3\)"),
        (photo(5, 6, 1), r"shape \(5, 6, 1\)"),
        (photo(5, 6, 4, dtype=np.uint8), r"shape \(5, 6, 4\)"),
        (photo(1, 5, 6, 3), r"shape \(1, 5, 6, 3\)"),
        (photo(0, 6, 3), r"shape \(0, 6, 3\)"),
        (photo(5, 6, 3, dtype=np.int64, value=7), "of int64; expected uint8, uint16 or floats in"),
        (photo(5, 6, 3, dtype=bool), "of bool; expected uint8"),
        (photo(5, 6, 3, value=200), r"float32 with values from 200 to 200; expected \[0, 1\]"),
        (photo(5, 6, 3, value=-0.5), "values from -0.5 to -0.5"),
        (photo(5, 6, 3, value=np.nan), "values from nan to nan"),
    ],
)
def test_what_is_no_photograph_is_described(array, message):
    with pytest.raises(ValueError, match=message):
        check_photo(array)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_losses_and_metrics_say_what_came(name):
    function = OF_PAIRS[name]
    for wrong, message in [
        (np.uint8(IMAGES * 255), r"images of uint8; expected floats in \[0, 1\]: divide by 255"),
        (IMAGES * 255, r"values from .* to 25\d.*; expected \[0, 1\]"),
        (IMAGES[0], r"same \(N, H, W, C\), got \(20, 24, 3\)"),
        (IMAGES[..., 0], r"got \(2, 20, 24\)"),
        (IMAGES[..., [0, 1, 2, 0]], r"shape \(2, 20, 24, 4\); expected 3 channels"),
        (np.where(IMAGES > 0.5, np.nan, IMAGES), "values from nan to nan"),
    ]:
        for array in (wrong, jnp.asarray(wrong)):
            with pytest.raises(ValueError, match=message):
                function(array, array)
    with pytest.raises(ValueError, match="uint8"):
        jax.jit(function)(np.uint8(IMAGES * 255), np.uint8(IMAGES * 255))


@pytest.mark.parametrize("name", OF_PAIRS)
def test_losses_and_metrics_are_the_same_when_compiled(name):
    """Outputs of a network may leave [0, 1]; bfloat16 is a float; gradients pass the checks."""
    function, enhanced = OF_PAIRS[name], IMAGES * 1.2 - 0.1
    plain, compiled = function(enhanced, IMAGES), jax.jit(function)(enhanced, IMAGES)
    # Of other fusions: a few roundings, 6e-8 each, in sums of some hundred terms of like size.
    for expected, found in zip(*map(jax.tree.leaves, (plain, compiled)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    function(jnp.asarray(enhanced, jnp.bfloat16), jnp.asarray(IMAGES, jnp.bfloat16))

    def total(images):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(images, IMAGES)))

    assert np.isfinite(jax.grad(total)(enhanced)).all()
