"""Max pooling whose gradient XLA computes faster on CPU than its own; elsewhere it is its own."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
    """Largest of 2x2 pixels, (N, H, W, C) to (N, ceil(H / 2), ceil(W / 2), C).

    The gradient goes to the first of equal ones, row by row.
    """
    return nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")


def _forward(x: jax.Array) -> Any:
    pooled = max_pool(x)
    return pooled, (x, pooled)


def _backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array]:
    def elsewhere(x: jax.Array, pooled: jax.Array, gradient: jax.Array) -> jax.Array:
        del pooled
        return jax.vjp(max_pool.fun, x)[1](gradient)[0]

    return (lax.platform_dependent(*kept, gradient, cpu=_by_comparison, default=elsewhere),)


def _by_comparison(x: jax.Array, pooled: jax.Array, gradient: jax.Array) -> jax.Array:
    num, rows, columns, channels = pooled.shape
    height, width = x.shape[1:3]
    sides = ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width), (0, 0))
    blocks = jnp.pad(x, sides, constant_values=-jnp.inf).reshape(num, rows, 2, columns, 2, channels)
    is_largest = blocks == pooled[:, :, None, :, None]
    order = jnp.where(is_largest, jnp.arange(4).reshape(2, 1, 2, 1), 4)
    is_first = order == order.min((2, 4), keepdims=True)
    spread = jnp.where(is_first, gradient[:, :, None, :, None], 0)
    return spread.reshape(num, 2 * rows, 2 * columns, channels)[:, :height, :width]


max_pool.defvjp(_forward, _backward)
