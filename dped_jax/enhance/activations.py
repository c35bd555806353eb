"""Where the activations of a photograph wait between two sweeps over it: in memory or on disk.

A plane is a grid of equal tiles, (1, rows, columns, channels) each; a tile is overwritten in place
once the sweep that reads it is past it. In memory tiles stay where they were computed. On disk they
lie in a file without a name, which vanishes with the process, and memory holds about two bands of
them.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from dped_jax.base.errors import InputError
from dped_jax.base.memory import free_memory

Grid = tuple[int, int]  # bands and columns of a plane, or those of one tile
PENDING_WRITES = 2
Neighbourhood = tuple[tuple[jax.Array, ...], ...]


@functools.partial(jax.jit, static_argnames=("start", "stop"))
def _rows(tile: jax.Array, start: int, stop: int) -> jax.Array:
    return tile[:, start:stop]


class MemoryPlane:
    """Tiles in the memory of the device that computes, or in the host's."""

    def __init__(self, grid: Grid, on_host: bool = False):
        self.grid = grid
        self._on_host = on_host
        self._tiles: dict[Grid, jax.Array | np.ndarray] = {}

    def put(self, at: Grid, tile: jax.Array) -> None:
        """Keeps the tile of a band and column."""
        self._tiles[at] = np.asarray(tile) if self._on_host else tile

    def get(self, at: Grid) -> jax.Array:
        """The tile of a band and column."""
        return jnp.asarray(self._tiles[at])

    def first_rows(self, at: Grid, num: int) -> jax.Array:
        """The topmost rows of a tile."""
        return _rows(self._tiles[at], 0, num)

    def forget(self, band: int) -> None:
        """Does nothing: tiles stay."""

    def finish(self) -> None:
        """Does nothing: all is there."""

    def close(self) -> None:
        """Frees the tiles."""
        self._tiles.clear()


class DiskPlane:
    """Tiles in a file that is mapped into memory: JAX reads them there, without a copy.

    A tile is written only when no computation can be reading its old content any more: after as
    many later tiles as a sweep needs to get past all its neighbours.
    """

    def __init__(self, grid: Grid, shape: tuple[int, ...], dtype: np.dtype, folder: str | None):
        self.grid = grid
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._tile_bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._file = tempfile.TemporaryFile(dir=folder, prefix="dped_jax")  # noqa: SIM115
        try:
            os.posix_fallocate(self._file.fileno(), 0, grid[0] * grid[1] * self._tile_bytes)
        except OSError:
            self._file.close()
            raise
        self._map = mmap.mmap(self._file.fileno(), 0)
        self._writer = concurrent.futures.ThreadPoolExecutor(1)
        self._waiting: collections.deque[tuple[Grid, jax.Array]] = collections.deque()
        self._writes: collections.deque[concurrent.futures.Future] = collections.deque()

    def _offset(self, at: Grid) -> int:
        return (at[0] * self.grid[1] + at[1]) * self._tile_bytes

    def _write(self, at: Grid, tile: jax.Array) -> None:
        data = memoryview(np.asarray(tile).reshape(-1).view(np.uint8))
        offset = self._offset(at)
        while data:
            count = os.pwrite(self._file.fileno(), data, offset)
            data, offset = data[count:], offset + count

    def _begin_write(self) -> None:
        while len(self._writes) >= PENDING_WRITES:
            self._writes.popleft().result()
        self._writes.append(self._writer.submit(self._write, *self._waiting.popleft()))

    def put(self, at: Grid, tile: jax.Array) -> None:
        """Takes the tile of a band and column, to be written later; it must be computed."""
        self._waiting.append((at, tile))
        if len(self._waiting) > self.grid[1] + 2:
            self._begin_write()

    def get(self, at: Grid) -> jax.Array:
        """The tile of a band and column."""
        return self.first_rows(at, self._shape[1])

    def first_rows(self, at: Grid, num: int) -> jax.Array:
        """The topmost rows of a tile."""
        shape = (1, num, *self._shape[2:])
        offset, count = self._offset(at), int(np.prod(shape))
        tile = np.frombuffer(self._map, self._dtype, count, offset).reshape(shape)
        return jax.device_put(tile, may_alias=True)

    def forget(self, band: int) -> None:
        """Frees the memory, not the file, that a band was read into; reading it again is fine."""
        length = self.grid[1] * self._tile_bytes
        start = band * length // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, start, (band + 1) * length - start)

    def finish(self) -> None:
        """Writes what waits.

        Raises:
          OSError: a write failed.
        """
        while self._waiting:
            self._begin_write()
        while self._writes:
            self._writes.popleft().result()

    def close(self) -> None:
        """Frees the file."""
        self._writer.shutdown(cancel_futures=True)
        self._file.close()  # the map goes with the last array that JAX has of it


Plane = MemoryPlane | DiskPlane


@dataclasses.dataclass(frozen=True)
class Storage:
    """How activations are kept.

    Attributes:
      place: "memory" of the device that computes; "host", the memory of its host; or "disk".
      half: as float16, at half the room and with its rounding.
      folder: for the files on disk; None takes the system's for temporary files.
    """

    place: str = "memory"
    half: bool = False
    folder: str | None = None

    def new_plane(self, grid: Grid, shape: tuple[int, ...], dtype: np.dtype) -> Plane:
        """An empty plane of tiles of a shape and type.

        Raises:
          OSError: the disk has no room for it.
        """
        if self.place == "disk":
            return DiskPlane(grid, shape, dtype, self.folder)
        return MemoryPlane(grid, on_host=self.place == "host")


def default_memory() -> float:
    """Half of the memory that is free, here and in a container, at most 4 GB; in bytes."""
    return min(free_memory() / 2, 4e9)


def choose_storage(
    plane_bytes: Callable[[bool], int],
    memory: float,
    *,
    half: bool = False,
    disk: bool = False,
    folder: str | None = None,
    device: jax.Device | None = None,
) -> Storage:
    """The fastest storage that fits: in memory, else on disk, else halved.

    Args:
      plane_bytes: what the activations take, exact and `half`.
      memory: bytes that they may take.
      half: take half precision in any case; else only where nothing exact fits.
      disk: take the disk in any case.
      folder: for files on disk; None takes the system's for temporary files.
      device: that computes. If it has memory of its own, that is taken first.

    Raises:
      InputError: nothing fits.
    """
    try:
        free = shutil.disk_usage(folder or tempfile.gettempdir()).free
    except OSError as error:
        raise InputError(f"--scratch_dir={folder}: {error.strerror}") from error
    stats = device.memory_stats() if device and device.platform != "cpu" else None
    for precision in (half, True):
        need = plane_bytes(precision)
        if not disk:
            if stats and need < 0.8 * (stats["bytes_limit"] - stats["bytes_in_use"]):
                return Storage("memory", precision)
            if need <= memory:
                return Storage("host" if stats else "memory", precision)
        if need < 0.95 * free:
            return Storage("disk", precision, folder)
    raise InputError(
        f"activations take {need / 1e9:.1f} GB in half precision: neither --memory_gb nor the "
        "free space of --scratch_dir suffices"
    )


def neighbourhoods(plane: Plane, halo: int) -> Iterator[Neighbourhood]:
    """Goes over a plane, band by band, with what surrounds each tile.

    The tile at (band, column) may be `put` again as soon as its neighbourhood was yielded.

    Args:
      plane: of tiles larger than the halo.
      halo: rows and columns around the tile that are needed.

    Yields:
      Three rows of three arrays: above (its last `halo` rows), beside (whole tiles), and below (its
      first `halo` rows); zeros where the plane ends.
    """
    bands, columns = plane.grid
    tile = plane.get((0, 0))
    blank_rows = jnp.zeros_like(_rows(tile, 0, halo))
    blank = (blank_rows, jnp.zeros_like(tile), blank_rows)
    above = [blank_rows] * columns
    for band in range(bands):

        def column(c, band=band, above=above):
            if c == columns:
                return blank
            below = plane.first_rows((band + 1, c), halo) if band + 1 < bands else blank_rows
            return above[c], plane.get((band, c)), below

        last_rows = []
        left, middle = blank, column(0)
        for c in range(columns):
            last_rows.append(_rows(middle[1], tile.shape[1] - halo, tile.shape[1]))
            right = column(c + 1)
            yield tuple(zip(left, middle, right, strict=True))
            left, middle = middle, right
        above = last_rows
        if band:
            plane.forget(band - 1)
