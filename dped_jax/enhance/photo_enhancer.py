"""Enhances a photograph of any size tile by tile, with the result of the network on the whole.

Every section of the network (see `models.generator`) sweeps over the photograph in tiles of one
fixed shape, each with the surroundings that its convs reach into: no seams, and photographs of all
sizes share the compiled programs. What an instance norm needs is the mean and variance over the
whole photograph of what enters it: they are gathered while the section before it sweeps. Networks
without instance norm need the surroundings alone and take a single sweep.

Photographs are (H, W, 3) RGB, uint8, uint16 or float in [0, 1]; results float32, not clipped.
"""

import collections
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from dped_jax import checkpoint
from dped_jax.enhance import activations, sections, windows
from dped_jax.enhance.activations import Grid, Plane, Storage
from dped_jax.enhance.sections import Tree
from dped_jax.enhance.statistics import Statistics
from dped_jax.models.generator import Generator, make_generator
from dped_jax.pixels import check_photo, to_float, to_integers

TILE = (64, 512)  # rows, columns: activations of few MB run fastest on CPU
BASE_BYTES = 0.7e9  # of the process itself, and the tiles under way
BYTES_PER_PIXEL = 30  # of the photograph as it is read, computed and written
FRAGMENTATION = 1.6  # what the allocator takes for tiles that are replaced over and over
LAG = 2  # tiles that are computed ahead of what is kept of them


@functools.partial(jax.jit, static_argnames="network")
def _run_whole(network, variables, images):
    return network.apply(variables, images)


def keeps_activations(network: nn.Module) -> bool:
    """Whether activations wait between sweeps: of deep networks with norms of the whole."""
    return isinstance(network, Generator) and network.norm == "instance"


class PhotoEnhancer:
    """Enhances photographs with a trained generator."""

    def __init__(
        self, config: ml_collections.ConfigDict, variables: Tree, device: jax.Device | None = None
    ):
        """Takes what `checkpoint.load_generator` gives, and the device that computes."""
        self._network = make_generator(config)
        self._device = device or jax.devices()[0]
        self._variables = jax.device_put({"batch_stats": {}} | dict(variables), self._device)
        self._by_section = keeps_activations(self._network)
        self._tile = TILE

    def whole(self, photo: np.ndarray) -> np.ndarray:
        """Enhances a photograph in one piece, for comparison; arguments and result as a call's."""
        images = jax.device_put(to_float(photo)[None], self._device)
        return np.asarray(_run_whole(self._network, self._variables, images)[0])

    def plane_bytes(self, height: int, width: int, half: bool = False) -> int:
        """What the activations of a photograph take, wherever they are kept."""
        if not self._by_section:
            return 0
        num_pixels = np.prod(self._grid(height, width)) * np.prod(self._tile)
        return int(2 * num_pixels * self._network.width * self._dtype(half).itemsize)

    def choose_storage(self, height: int, width: int, *, memory: float, **options) -> Storage:
        """The fastest storage with which enhancing a photograph takes at most `memory` bytes.

        Args:
          height: of the photograph in pixels.
          width: likewise.
          memory: of the whole process.
          **options: `half`, `disk` and `folder` of `activations.choose_storage`.

        Raises:
          InputError: nothing fits.
        """
        rest = memory - BASE_BYTES - BYTES_PER_PIXEL * height * width
        return activations.choose_storage(
            lambda half: self.plane_bytes(height, width, half),
            rest / FRAGMENTATION,
            device=self._device,
            **options,
        )

    def __call__(
        self,
        photo: np.ndarray,
        storage: Storage = Storage(),  # noqa: B008  (frozen)
        on_progress: Callable[[float], None] = lambda share: None,
        dtype: np.typing.DTypeLike = np.float32,
    ) -> np.ndarray:
        """Enhances a photograph part by part.

        Args:
          photo: (H, W, 3) uint8, uint16, or float in [0, 1].
          storage: of activations between sweeps; by default in memory and exact.
          on_progress: called with the share of the work that was done since the last call.
          dtype: of the result: float32, or uint8 or uint16, for which values are clipped to [0, 1]
            and rounded.

        Returns:
          (H, W, 3) of `dtype`; floats are nominally in [0, 1], not clipped.

        Raises:
          OSError: the disk has no room for the activations.
          OverflowError: activations exceed the range of float16.
        """
        output = np.empty((*photo.shape[:2], 3), dtype)

        def write(rows: slice, columns: slice, part: np.ndarray) -> None:
            integers = output.dtype.kind == "u" and part.dtype.kind == "f"
            output[rows, columns] = to_integers(part, output.dtype.type) if integers else part

        with jax.default_device(self._device):
            if not self._by_section:
                arguments = (self._network, self._variables, photo, write, on_progress)
                windows.enhance(*arguments, dtype=output.dtype)
                return output
            planes = []
            try:
                grid, kept = self._grid(*photo.shape[:2]), self._dtype(storage.half)
                for _ in range(2):
                    shape = (1, *self._tile, self._network.width)
                    planes.append(storage.new_plane(grid, shape, kept))
                self._enhance(photo, planes, storage.half, write, on_progress)
                return output
            finally:
                for plane in planes:
                    plane.close()

    def _grid(self, height: int, width: int) -> Grid:
        return -(-height // self._tile[0]), -(-width // self._tile[1])

    def _dtype(self, half: bool) -> np.dtype:
        dtype = np.dtype(self._network.dtype)
        return np.dtype(np.float16) if half and dtype.itemsize > 2 else dtype

    def _enhance(self, photo, planes, half, write, on_progress) -> None:
        """All sweeps; `planes` are of the activations and of the input of the block."""
        batch_stats = dict(self._variables["batch_stats"])
        for section in range(self._network.num_sections):
            variables = self._variables | {"batch_stats": batch_stats}
            network, variables, k = sections.canonical(self._network, variables, section)
            halo = sections.halo(network, variables, k)
            run = functools.partial(
                sections.run, variables, network=network, k=k, tile=self._tile, halo=halo,
                dtype=self._dtype(half),
            )  # fmt: skip
            if section == 0:
                inputs: Iterable[Any] = ((x, None) for x in self._patches(photo, halo))
            else:
                x = activations.neighbourhoods(planes[0], halo)
                joins = section % 2 == 0  # the section begins with the end of a block
                skip: Any = itertools.repeat(None)
                if joins:
                    skip = activations.neighbourhoods(planes[1], halo)
                inputs = zip(x, skip, strict=False)
            statistics = self._sweep(
                run, inputs, planes, size=photo.shape[:2], write=write, on_progress=on_progress
            )
            if section + 1 < self._network.num_sections:
                measured = statistics.result()
                if not all(np.isfinite(values).all() for values in measured.values()):
                    raise OverflowError("activations exceed the range of half precision")
                i, j = divmod(section, 2)
                batch_stats[f"block{i}_norm{j}"] = {"InstanceNorm_0": measured}

    def _sweep(self, run, inputs, planes: list[Plane], *, size, write, on_progress) -> Statistics:
        """Runs a section over all tiles; keeps its results in the planes or writes them."""
        height, width = size
        grid = self._grid(height, width)
        share = 1 / (self._network.num_sections * grid[0] * grid[1])
        statistics = Statistics()
        pending = collections.deque()

        def keep(at, x, skip, rows):
            top, left = at[0] * self._tile[0], at[1] * self._tile[1]
            bottom, right = min(top + self._tile[0], height), min(left + self._tile[1], width)
            if rows is None:
                part = np.asarray(x)[0, : bottom - top, : right - left]
                write(slice(top, bottom), slice(left, right), part)
            else:
                planes[0].put(at, x)
                if skip is not None:
                    planes[1].put(at, skip)
                statistics.add(np.asarray(rows)[:, : bottom - top], right - left)
            on_progress(share)

        for at, (x, skip) in zip(np.ndindex(grid), inputs, strict=True):
            pending.append((at, *run(x, skip, np.int32([*at, height, width]))))
            if len(pending) > LAG:
                keep(*pending.popleft())
        for result in pending:
            keep(*result)
        for plane in planes:
            plane.finish()
        return statistics

    def _patches(self, photo: np.ndarray, halo: int) -> Iterator[np.ndarray]:
        """Tiles of a photograph with their halo, zero outside: (1, rows, columns, 3) float32."""
        for at in np.ndindex(self._grid(*photo.shape[:2])):
            top, left = (i * side - halo for i, side in zip(at, self._tile, strict=True))
            rows, columns = (side + 2 * halo for side in self._tile)
            patch = np.zeros((1, rows, columns, 3), np.float32)
            part = photo[max(top, 0) : top + rows, max(left, 0) : left + columns]
            y, x = max(-top, 0), max(-left, 0)
            patch[0, y : y + part.shape[0], x : x + part.shape[1]] = to_float(part)
            yield patch


def load_enhancer(
    workdir: str | os.PathLike[str], step: str | int = "best"
) -> Callable[[np.ndarray], np.ndarray]:
    """Loads the generator of a workdir as a function on photographs of any size.

    Memory is bounded as for the command `dped_jax.enhance`: half of what is free, at most 4 GB;
    beyond that, activations wait on disk.

    Args:
      workdir: made by dped_jax.train or dped_jax.convert.
      step: checkpoint: "best" by validation PSNR, "newest", or a number.

    Returns:
      `enhancer(photo)`: (H, W, 3) RGB, uint8 or uint16, to the same shape and dtype; float in
      [0, 1] to float32, nominally in [0, 1], not clipped. Anything else is a ValueError.

    Raises:
      InputError: no workdir, no such checkpoint, or a damaged one.
    """
    config, variables, _ = checkpoint.load_generator(pathlib.Path(workdir), str(step))
    enhancer = PhotoEnhancer(config, variables)

    def enhance(photo: np.ndarray) -> np.ndarray:
        photo = np.asarray(photo)
        check_photo(photo)
        memory = activations.default_memory()
        storage = enhancer.choose_storage(*photo.shape[:2], memory=memory)
        dtype = np.float32 if photo.dtype.kind == "f" else photo.dtype
        return enhancer(photo, storage, dtype=dtype)

    return enhance
