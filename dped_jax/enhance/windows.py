"""Enhances a photograph window by window: for networks that reach little beyond a pixel.

All windows have one shape and lie inside the photograph, so that a window's edge is either the
photograph's own, where the network pads as it does for the whole, or so far from what is kept of
the window that it has no effect. A network says by attributes what has to be known:

- `stride`: it computes on a grid of so many pixels; sizes that are no multiple of it are extended
  at the bottom and on the right by repeating the last pixel, as the network does itself.
- `reach`: how many pixels around it an output pixel depends on, or more.
- `statistics`: its modules that take mean and variance over the whole photograph, in the order in
  which they are needed: name, and in each direction, of how many pixels a value is that enters,
  and on how many of that size it depends, the first at its own place and the others below and to
  the right; values are where all of these are inside, and at least one. Each module needs a sweep
  of its own over the windows, up to there. What it sows as `entering/PATH_input` is measured; a
  network that is `measured` reads mean and variance from `batch_stats/PATH` instead.
- `thumbnail`, where it has that attribute: all its statistics see a thumbnail alone, whose pixels
  are means of so many by so many of the photograph. A network that is `shrunk` takes it in place of
  the photograph, so that the sweeps before the last go over the thumbnail.
"""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dped_jax.enhance.statistics import Statistics, row_statistics
from dped_jax.pixels import to_float, to_integers

Tree = dict[str, Any]
# Rows and columns of a window without its surroundings. A CPU is fastest while activations stay in
# its caches; other devices want work enough for all their cores.
SIDES = {"cpu": (512, 512), "other": (1024, 2048)}
# Each core of a CPU computes a window by itself: in half the time that two take for one together.
BY_ITSELF = {"xla_cpu_multi_thread_eigen": False}


class Part(NamedTuple):
    """One window along an axis: it begins at `start`; `begin` to `end` of the axis are kept."""

    start: int
    begin: int
    end: int


def split(length: int, side: int, reach: int, stride: int) -> tuple[int, list[Part]]:
    """Cuts an axis into windows.

    Args:
      length: of the axis in pixels.
      side: what a window in the middle keeps, at least.
      reach: how far what is kept must be from a window's edge inside the photograph.
      stride: windows begin at multiples of it, and the axis is extended to one.

    Returns:
      The windows' common size and the windows; what they keep adds up to the axis.
    """
    margin, side = (-(-size // stride) * stride for size in (reach, side))
    extended = -(-length // stride) * stride
    size = min(extended, side + 2 * margin)
    count = 1 + -(-(extended - size) // side)
    starts = [min(i * side, extended - size) for i in range(count)]
    bounds = [0, *(start + size - margin for start in starts[:-1]), extended]
    return size, [Part(*part) for part in zip(starts, bounds[:-1], bounds[1:], strict=True)]


def _enhance(network: nn.Module, variables: Tree, window: jax.Array, dtype: Any) -> jax.Array:
    enhanced = network.apply(variables, to_float(window)[None])[0]
    return enhanced if dtype.kind == "f" else to_integers(enhanced, dtype.type)


_STATIC = ("network", "dtype")
_ENHANCE = {
    "cpu": jax.jit(_enhance, static_argnames=_STATIC, compiler_options=BY_ITSELF),
    "other": jax.jit(_enhance, static_argnames=_STATIC),
}


def _platform() -> str:
    """The key of `SIDES` for the device that computes."""
    device = jax.config.values["jax_default_device"] or jax.devices()[0]
    return "cpu" if device.platform == "cpu" else "other"


@functools.partial(jax.jit, static_argnames=("network", "path"))
def _measure(network, variables, window, region, path: str) -> tuple[jax.Array, jax.Array]:
    """Statistics by row of what enters a module, and the number of values in a row.

    `region` is (top, bottom, left, right), counted in such values.
    """
    _, sown = network.apply(variables, to_float(window)[None], mutable=["entering"])
    x = flatten_dict(sown["entering"], sep="/")[f"{path}_input"][0]
    rows, columns = (jnp.arange(size) for size in x.shape[1:3])
    top, bottom, left, right = region
    inside_columns = (columns >= left) & (columns < right)
    inside = ((rows >= top) & (rows < bottom))[:, None] & inside_columns
    return row_statistics(x, inside[None, ..., None]), inside_columns.sum()


def _windows(
    photo: np.ndarray, network: nn.Module, beyond: int = 0
) -> Iterator[tuple[np.ndarray, tuple[Part, Part]]]:
    """Windows of a photograph, (rows, columns, 3) of its type, and what is kept of each.

    They reach as far as the network does, and `beyond` pixels more.
    """
    axes = [
        split(length, side, network.reach + beyond, network.stride)
        for length, side in zip(photo.shape[:2], SIDES[_platform()], strict=True)
    ]
    (rows, down), (columns, across) = axes
    for y in down:
        for x in across:
            window = photo[y.start : y.start + rows, x.start : x.start + columns]
            yield _extended(window, rows, columns), (y, x)


def _extended(window: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A window of that size: its last pixels are repeated at the bottom and on the right."""
    outside = [(0, rows - window.shape[0]), (0, columns - window.shape[1]), (0, 0)]
    return np.pad(window, outside, mode="edge") if np.any(outside) else window


def _shrink(photo: np.ndarray, scale: int) -> np.ndarray:
    """Means of squares of `scale` pixels a side, float32; the last pixels are repeated for them."""
    rows, columns = (-(-length // scale) for length in photo.shape[:2])
    integers = photo.dtype.kind == "u"
    thumbnail = np.empty((rows, columns, 3), np.float32)
    for row, result in enumerate(thumbnail):
        band = _extended(photo[row * scale : (row + 1) * scale], scale, columns * scale)
        sums = band.sum(axis=0, dtype=np.uint32 if integers else np.float32)
        result[:] = sums.reshape(columns, scale, 3).sum(axis=1)
    return thumbnail / np.float32(scale**2 * (np.iinfo(photo.dtype).max if integers else 1))


def _paths(network: nn.Module, variables: Tree) -> dict[str, jax.ShapeDtypeStruct]:
    """What the network sows, by path, as computed for a small photograph."""
    images = jax.ShapeDtypeStruct((1, network.stride, network.stride, 3), jnp.float32)
    apply = functools.partial(network.clone(measured=False).apply, mutable=["entering"])
    _, sown = jax.eval_shape(apply, variables, images)
    flat = flatten_dict(sown["entering"], sep="/")
    return {path.removesuffix("_input"): x[0] for path, x in flat.items()}


def measure(
    network: nn.Module, variables: Tree, photo: np.ndarray, on_sweep: Callable[[], None]
) -> tuple[nn.Module, Tree]:
    """Takes the statistics of the whole photograph that a network needs.

    Returns:
      The network that reads them, and its variables with them in `batch_stats`.
    """
    if not network.statistics:
        return network, variables
    whole = network.clone(measured=True)
    if hasattr(network, "thumbnail"):
        network, photo = network.clone(shrunk=True), _shrink(photo, network.thumbnail)
    shapes = _paths(network, variables)
    network = network.clone(measured=True)
    # Those that are not known yet have no effect on the ones before; they need a value only.
    stats = {
        path: {"mean": np.zeros(x.shape[-1], "f4"), "var": np.ones(x.shape[-1], "f4")}
        for path, x in shapes.items()
    }

    def known() -> Tree:
        flat = {f"{path}/{key}": v for path, values in stats.items() for key, v in values.items()}
        return variables | {"batch_stats": unflatten_dict(flat, sep="/")}

    for name, scale, size in network.statistics:
        (path,) = [path for path in shapes if path.split("/")[0] == name]
        statistics = Statistics()
        for window, (y, x) in _windows(photo, network, beyond=(size - 1) * scale):
            region = (y.begin - y.start, y.end - y.start, x.begin - x.start, x.end - x.start)
            region = np.int32(region) // scale
            found, count = _measure(network, known(), window, region, path)
            statistics.add(np.asarray(found)[:, region[0] : region[1]], int(count))
        stats[path] = statistics.result()
        on_sweep()
    return whole, known()


def enhance(
    network: nn.Module,
    variables: Tree,
    photo: np.ndarray,
    write: Callable[[slice, slice, np.ndarray], None],
    on_progress: Callable[[float], None],
    *,
    dtype: np.typing.DTypeLike = np.float32,
) -> None:
    """Enhances a photograph.

    Args:
      network: with the attributes that this module's docstring names.
      variables: of it, on the device that computes.
      photo: (H, W, 3) uint8, uint16, or float in [0, 1].
      write: called with rows, columns and the (rows, columns, 3) result of each part.
      on_progress: called with the share of the work that was done since the last call.
      dtype: of the result: float32, or uint8 or uint16, for which it is clipped and rounded.
    """
    sweeps = len(network.statistics) + 1
    network, variables = measure(network, variables, photo, lambda: on_progress(1 / sweeps))
    height, width = photo.shape[:2]
    run = functools.partial(_ENHANCE[_platform()], network, variables, dtype=np.dtype(dtype))
    is_x64 = bool(jax.config.values["jax_enable_x64"])

    def compute(window: np.ndarray) -> np.ndarray:
        with jax.enable_x64(is_x64):  # settings of a `with` hold in their own thread alone
            return np.asarray(run(window))

    threads = len(os.sched_getaffinity(0)) if _platform() == "cpu" else 2
    pending: list[tuple[tuple[Part, Part], concurrent.futures.Future[np.ndarray]]] = []

    def keep() -> None:
        (y, x), result = pending.pop(0)
        bottom, right = min(y.end, height), min(x.end, width)
        enhanced = result.result()
        part = enhanced[y.begin - y.start : bottom - y.start, x.begin - x.start : right - x.start]
        write(slice(y.begin, bottom), slice(x.begin, right), part)
        on_progress((bottom - y.begin) * (right - x.begin) / (height * width * sweeps))

    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
        for window, parts in _windows(photo, network):
            pending.append((parts, pool.submit(compute, window)))
            if len(pending) > 2 * threads:
                keep()
        while pending:
            keep()
    finally:
        pool.shutdown(cancel_futures=True)
