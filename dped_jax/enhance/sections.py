"""Runs sections of a network on one tile of a photograph.

Sections are those of `models.generator`. A tile, (1, rows, columns, channels), comes with a halo of
what surrounds it, as wide as the convs reach; beyond the photograph's borders every conv finds
zeros, as the 'SAME' padding of the whole photograph has them.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dped_jax.enhance.activations import Neighbourhood
from dped_jax.enhance.statistics import row_statistics

Tree = dict[str, Any]


def _is_conv_call(context) -> bool:
    return isinstance(context.module, nn.Conv) and context.method_name == "__call__"


def _crop(images: jax.Array, height: int, width: int) -> jax.Array:
    """The middle of (N, H, W, C)."""
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def _assemble(pieces: Neighbourhood, halo: int) -> jax.Array:
    rows = [
        jnp.concatenate([left[:, :, left.shape[2] - halo :], middle, right[:, :, :halo]], axis=2)
        for left, middle, right in pieces
    ]
    return jnp.concatenate(rows, axis=1)


def _inside_mask(shape, tile, position):
    """Which pixels of a tile with margins lie in the photograph: (1, rows, columns, 1) bool."""
    band, column, height, width = position
    rows = band * tile[0] + jnp.arange(shape[1]) - (shape[1] - tile[0]) // 2
    columns = column * tile[1] + jnp.arange(shape[2]) - (shape[2] - tile[1]) // 2
    inside_rows, inside_columns = (
        (at >= 0) & (at < limit) for at, limit in ((rows, height), (columns, width))
    )
    return (inside_rows[:, None] & inside_columns)[None, ..., None]


@functools.partial(jax.jit, static_argnames=("network", "k", "tile", "halo", "dtype"))
def run(variables, x, skip, position, *, network, k, tile, halo, dtype):
    """Runs the section `k` on a tile.

    Args:
      variables: of `network`.
      x: what the section takes: pixels with a margin of `halo`, or a neighbourhood.
      skip: neighbourhood of the block's input, or None where the section does not use it.
      position: (4,) int: band and column of the tile, height and width of the photograph.
      network, k, tile, halo: static; of all networks of a kind, see `canonical`.
      dtype: of the activations that are returned.

    Returns:
      Activations and block input (or None) of the tile, and statistics of the activations by row;
      or the enhanced tile, None and None.
    """
    if isinstance(x, tuple):
        x = _assemble(x, halo).astype(network.dtype)
        skip = None if skip is None else _assemble(skip, halo).astype(network.dtype)

    def zero_outside(conv, args, kwargs, context):
        if _is_conv_call(context):
            args = (jnp.where(_inside_mask(args[0].shape, tile, position), args[0], 0),)
        return conv(*args, **kwargs)

    with nn.intercept_methods(zero_outside):
        x, skip = network.apply(variables, k, x, skip, method="section")
    x = _crop(x, *tile)
    if k + 1 == network.num_sections:
        return x, None, None
    x = x.astype(dtype)
    skip = None if skip is None else _crop(skip, *tile).astype(dtype)
    return x, skip, row_statistics(x, _inside_mask(x.shape, tile, position))


def canonical(network: nn.Module, variables: Tree, k: int) -> tuple[nn.Module, Tree, int]:
    """A section as one of a network of one or two blocks, with `measured` norms.

    So all sections of a kind share a compiled program, whatever block they belong to.

    Args:
      network: a `Generator` with instance norm.
      variables: of it; `batch_stats` hold what was measured so far.
      k: below its `num_sections`.

    Returns:
      The small network, its variables, and the section's number in it.
    """
    base = max(k - 1, 0) // 2
    k -= 2 * base
    num_blocks = min(network.num_blocks - base, 2 if k == 2 else 1)

    def renamed(tree):
        result = {}
        for name, layer in tree.items():
            if not name.startswith("block"):
                result[name] = layer
                continue
            block, _, rest = name.removeprefix("block").partition("_")
            if base <= int(block) < base + num_blocks:
                result[f"block{int(block) - base}_{rest}"] = layer
        return result

    variables = {collection: renamed(tree) for collection, tree in variables.items()}
    return network.clone(num_blocks=num_blocks, measured=True), variables, k


def halo(network: nn.Module, variables: Tree, k: int) -> int:
    """How many pixels a section reaches beyond what it gives."""
    reach = 0

    def add_reach(method, args, kwargs, context):
        nonlocal reach
        if _is_conv_call(context):
            reach += max(context.module.kernel_size) // 2
        return method(*args, **kwargs)

    x = jnp.zeros((1, 1, 1, network.width if k else 3))
    section = functools.partial(network.apply, method="section")
    with nn.intercept_methods(add_reach):
        jax.eval_shape(lambda v, x: section(v, k, x, x), variables, x)
    return reach
