"""Convolutions and gradients as computed on CPU, against sums written out, and XLA's elsewhere.

Inputs are small whole numbers: no sum of their products is rounded, in whatever order, nor quarters
of them, as Winograd's algorithm sums them; results have to be equal to the bit.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dped_jax.kernels import convolution
from dped_jax.kernels.pooling import max_pool
from dped_jax.models.layers import Conv

BOTH_WIDE = (2, 25, 24, 16), 20  # enough for Winograd's products


@pytest.fixture(autouse=True)
def narrow_is_wide_enough(monkeypatch):
    monkeypatch.setattr(convolution, "_LEAST_WIDTH", 8)
    monkeypatch.setattr(convolution, "_LEAST_PRODUCTS", 1)


def whole_numbers(shape, seed=0, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).integers(-4, 5, shape), dtype)


def gradients(layer, x, seed=1):
    """Of kernel and input, and what they are made of."""
    variables = layer.init(jax.random.PRNGKey(0), x)
    kernel = whole_numbers(variables["params"]["kernel"].shape, seed, x.dtype)

    def apply(kernel, x):
        return layer.apply({"params": {"kernel": kernel}}, x)

    y = jax.eval_shape(apply, kernel, x)
    gradient = whole_numbers(y.shape, seed + 1, y.dtype)
    pull = jax.jit(lambda kernel, x, gradient: jax.vjp(apply, kernel, x)[1](gradient))
    return pull, (kernel, x, gradient)


def written_out(x, gradient, size, padding):
    padded = np.pad(np.array(x, np.float64), ((0, 0), *padding, (0, 0)))
    rows, columns = gradient.shape[1:3]
    return [
        [
            np.tensordot(padded[:, i : i + rows, j : j + columns], gradient, [(0, 1, 2)] * 2)
            for j in range(size[1])
        ]
        for i in range(size[0])
    ]


@pytest.mark.parametrize(
    ("shape", "features", "size", "padding"),
    [
        (*BOTH_WIDE, (3, 3), ((1, 1), (1, 1))),
        (*BOTH_WIDE, (3, 3), ((0, 0), (0, 0))),
        (*BOTH_WIDE, (3, 3), ((2, 0), (0, 3))),
        (*BOTH_WIDE, (3, 3), ((4, 1), (0, 5))),
        (*BOTH_WIDE, (5, 3), ((0, 0), (0, 0))),
        (*BOTH_WIDE, (2, 4), ((1, 0), (0, 2))),
        (*BOTH_WIDE, (1, 7), ((0, 0), (3, 3))),
        ((2, 20, 30, 8), 3, (9, 9), ((4, 4), (4, 4))),  # input and output swapped
        ((2, 20, 30, 8), 3, (2, 4), ((1, 0), (0, 2))),
        ((2, 20, 30, 3), 8, (9, 9), ((4, 4), (4, 4))),  # XLA's
    ],
)
def test_gradients_of_a_convolution(shape, features, size, padding):
    layer = Conv(features, size, padding=padding, use_bias=False)
    x = whole_numbers(shape)
    pull, (kernel, x, gradient) = gradients(layer, x)
    by_kernel, by_x = pull(kernel, x, gradient)
    np.testing.assert_array_equal(by_kernel, written_out(x, gradient, size, padding))
    xla = gradients(nn.Conv(features, size, padding=padding, use_bias=False), x)[0]
    np.testing.assert_array_equal(by_x, xla(kernel, x, gradient)[1])


@pytest.mark.parametrize("shape", [(2, 8, 8, 16), (1, 7, 9, 8), (3, 1, 2, 8)])
def test_values_of_a_convolution(shape, monkeypatch):
    """In training, and where rounding is allowed to differ, they are Winograd's."""
    fast = functools.partial(convolution.conv_general_dilated, is_exact=False)
    layer, exact = (
        nn.Conv(24, (3, 3), use_bias=False, conv_general_dilated=conv)
        for conv in (fast, convolution.conv_general_dilated)
    )
    x = whole_numbers(shape)
    variables = {"params": {"kernel": whole_numbers((3, 3, shape[3], 24), 1)}}
    expected = nn.Conv(24, (3, 3), use_bias=False).apply(variables, x)
    trained = jax.jit(lambda *given: jax.vjp(exact.apply, *given)[0])
    for compute in (jax.jit(layer.apply), trained):
        np.testing.assert_array_equal(compute(variables, x), expected)
        assert "dot_general" in compute.lower(variables, x).as_text()
    assert "dot_general" not in jax.jit(exact.apply).lower(variables, x).as_text()
    monkeypatch.setattr(convolution, "_LEAST_PRODUCTS", 10**6)
    assert "dot_general" not in jax.jit(layer.apply).lower(variables, x).as_text()


def test_named_padding_is_that_of_xla():
    for padding in ("SAME", "VALID"):
        options = {"features": 20, "kernel_size": (4, 3), "padding": padding, "use_bias": False}
        pull, arguments = gradients(Conv(**options), whole_numbers(BOTH_WIDE[0]))
        xla = gradients(nn.Conv(**options), arguments[1])[0]
        for found, expected in zip(pull(*arguments), xla(*arguments), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (jnp.bfloat16, {}),
        (jnp.float32, {"strides": 2}),
        (jnp.float32, {"kernel_dilation": 2}),
        (jnp.float32, {"feature_group_count": 4}),
    ],
)
def test_other_convolutions_are_left_to_xla(dtype, options, monkeypatch):
    monkeypatch.setattr(convolution, "_conv", None)
    layer = Conv(20, (3, 3), use_bias=False, dtype=dtype, **options)
    pull, arguments = gradients(layer, whole_numbers(BOTH_WIDE[0], dtype=dtype))
    assert pull(*arguments)[0].dtype == dtype


def in_platform(platform, function, arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def test_accelerators_keep_the_gradients_of_xla():
    layer, x = Conv(20, (3, 3), use_bias=False), whole_numbers(BOTH_WIDE[0])
    pull, arguments = gradients(layer, x)
    programs = {name: in_platform(name, pull, arguments) for name in ("cpu", "cuda", "tpu")}
    assert programs["cpu"].count("stablehlo.dot_general") == 32
    for name in ("cuda", "tpu"):
        assert "stablehlo.dot_general" not in programs[name]
        assert programs[name].count("stablehlo.convolution") == 2


def pull_pool(pool, x, gradient):
    return jax.vjp(pool, x)[1](gradient)[0]


@pytest.mark.parametrize("shape", [(2, 6, 4, 3), (1, 7, 5, 2), (1, 1, 1, 1)])
def test_the_gradient_of_max_pooling(shape):
    x = whole_numbers(shape)  # with many equal ones
    gradient = whole_numbers(max_pool(x).shape, 1)
    expected = np.zeros(shape)
    for n, row, column, channel in np.ndindex(*gradient.shape):
        block = np.array(x)[n, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        i, j = np.unravel_index(block.argmax(), block.shape)
        expected[n, 2 * row + i, 2 * column + j, channel] = gradient[n, row, column, channel]
    found = jax.jit(pull_pool, static_argnums=0)(max_pool, x, gradient)
    np.testing.assert_array_equal(found, expected)


def test_accelerators_pool_as_xla_does():
    x = whole_numbers((1, 6, 4, 3))

    def pull(x, gradient):
        return pull_pool(max_pool, x, gradient)

    arguments = x, max_pool(x)
    assert "select_and_scatter" not in in_platform("cpu", pull, arguments)
    assert "select_and_scatter" in in_platform("cuda", pull, arguments)
