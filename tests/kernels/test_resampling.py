"""Filters and resampling with gradients of their own, against those that JAX derives.

Inputs and weights are small whole numbers or binary fractions: nothing is rounded, and results have
to be equal to the bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dped_jax.kernels import filters, resampling

WEIGHTS = (1.0, 3.0, 2.0, 3.0, 1.0)


def whole_numbers(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(-4, 5, shape), jnp.float32)


def assert_same_gradient(function, plain, x):
    y, pull = jax.vjp(function, x)
    gradient = whole_numbers(y.shape, 1)
    expected, derived = jax.vjp(plain, x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(jax.jit(pull)(gradient)[0], derived(gradient)[0])


@pytest.mark.parametrize("sides", [((1, 1), (1, 1)), ((0, 4), (3, 0)), ((0, 0), (2, 5))])
@pytest.mark.parametrize("shape", [(2, 6, 5, 3), (1, 1, 1, 2)])
def test_repeated_borders(shape, sides):
    def plain(x):
        return jnp.pad(x, ((0, 0), *sides, (0, 0)), mode="edge")

    assert_same_gradient(lambda x: resampling.extend(x, *sides), plain, whole_numbers(shape))


@pytest.mark.parametrize("shape", [(2, 6, 5, 3), (1, 1, 2, 2)])
def test_doubling(shape):
    def plain(x):
        for axis in (1, 2):
            sides = [(int(i == axis),) * 2 for i in range(4)]
            before, after = (
                jax.lax.slice_in_dim(jnp.pad(x, sides, "edge"), i, i + x.shape[axis], axis=axis)
                for i in (0, 2)
            )
            pairs = jnp.stack([x + (before - x) / 4, x + (after - x) / 4], axis + 1)
            x = pairs.reshape([n * (1 + (i == axis)) for i, n in enumerate(x.shape)])
        return x

    assert_same_gradient(resampling.upsample, plain, whole_numbers(shape))


@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 2, 7, 5), (1, 1, 1, 2)])
def test_halving(shape):
    def plain(x):
        sides = (0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)
        x = jnp.pad(x, sides, "edge")
        return sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4

    assert_same_gradient(filters.halve, plain, whole_numbers(shape))


@pytest.mark.parametrize("most", [256, 4])  # by a matrix, and by shifts
def test_filtering(most, monkeypatch):
    monkeypatch.setattr(filters, "_MOST_COLUMNS", most)
    x = whole_numbers((2, 3, 8, 11))
    kernel = jnp.asarray(np.outer(WEIGHTS, WEIGHTS), jnp.float32)[None, None]

    def plain(x):
        planes = jax.lax.conv(x.reshape(-1, 1, *x.shape[2:]), kernel, (1, 1), "VALID")
        return planes.reshape(*x.shape[:2], *planes.shape[2:])

    assert_same_gradient(lambda x: filters.filter_valid(x, WEIGHTS), plain, x)


def test_the_gaussian_is_scipys():
    impulse = np.zeros(11)
    impulse[5] = 1
    expected = scipy.ndimage.gaussian_filter1d(impulse, 1.5, truncate=5 / 1.5)
    np.testing.assert_allclose(filters.gaussian_weights(11, 1.5), expected, rtol=1e-12)
