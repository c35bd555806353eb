"""Mean and variance over a photograph that is computed part by part.

Parts give them by row, in float32; rows are merged in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np


def row_statistics(x: jax.Array, inside: jax.Array) -> jax.Array:
    """Mean of each row and sum of squares around it, of the pixels inside: (2, rows, channels)."""
    x, inside = x[0].astype(jnp.float32), inside[0]
    counts = jnp.maximum(inside.sum(axis=1), 1)
    means = jnp.where(inside, x, 0).sum(axis=1) / counts
    squares = jnp.where(inside, jnp.square(x - means[:, None]), 0).sum(axis=1)
    return jnp.stack([means, squares])


class Statistics:
    """Merges the statistics of rows of parts, in float64, into those of the photograph."""

    def __init__(self):
        self._counts, self._means, self._squares = [], [], []

    def add(self, rows: np.ndarray, count: int) -> None:
        """Takes rows as from `row_statistics`, of `count` pixels each."""
        means, squares = rows
        self._means.append(means)
        self._squares.append(squares)
        self._counts.append(np.full(len(means), count))

    def result(self) -> dict[str, np.ndarray]:
        """Mean and biased variance, (channels,) float32, as flax has them in `batch_stats`."""
        counts = np.concatenate(self._counts)[:, None]
        means = np.concatenate(self._means).astype(np.float64)
        squares = np.concatenate(self._squares).astype(np.float64)
        mean = (counts * means).sum(axis=0) / counts.sum()
        squares = squares.sum(axis=0) + (counts * np.square(means - mean)).sum(axis=0)
        return {"mean": np.float32(mean), "var": np.float32(squares / counts.sum())}
