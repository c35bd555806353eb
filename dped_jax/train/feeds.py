"""What a call of the train step is fed with: batches of pairs, or which pairs of the devices' own.

Both feeds give the same batches, to the byte.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging
from jax.sharding import NamedSharding, PartitionSpec

from dped_jax import input_pipeline
from dped_jax.base.errors import InputError
from dped_jax.base.progress import progress_bar
from dped_jax.input_pipeline import PATCH_SIZE, Draws, Pairs
from dped_jax.models.layers import DEVICES
from dped_jax.train.decoded import PAIR_BYTES, DecodedPairs
from dped_jax.train_step import Batch, own_part

_CHUNK = 2_000  # pairs that go to a device at a time: 120 MB


class Feed(Protocol):
    """What the training loop and the mapped step know of a feed."""

    held: Any  # stays on the devices, with a leading axis over those of this process; or None
    axis: int | None  # over which `pmap` maps what `place` returns
    per_step: int  # batches that a step takes

    def iterate(self) -> grain.DatasetIterator:
        """What is drawn for each global batch, see `input_pipeline.iterate`."""

    def place(self, drawn: Sequence[dict[str, np.ndarray]]) -> Any:
        """Puts what the iterator gave for a call on the devices; an axis is over its steps.

        The batches of a step follow each other: where it takes two, the second comes as "next".
        """

    def batch(self, held: Any, inputs: Any) -> Batch:
        """This device's part of a step's batch, inside the mapped step."""


def _local(devices: Sequence[jax.Device], *spec: str) -> NamedSharding:
    """A sharding over this process's devices, as pmap wants its arguments."""
    local = [device for device in devices if device.process_index == jax.process_index()]
    return NamedSharding(jax.sharding.Mesh(local, (DEVICES,)), PartitionSpec(*spec))


def _batches_a_step(config: ml_collections.ConfigDict) -> int:
    return 2 if config.train.discriminator_batch == "next" else 1


def _steps(drawn: Sequence[Any], per_step: int) -> Any:
    """A list of what each step takes as a tree of lists over steps."""
    if per_step == 1:
        return list(drawn)
    return [first | {"next": second} for first, second in zip(drawn[::2], drawn[1::2], strict=True)]


class StreamedBatches:
    """Batches that the host has made, each device's part placed on it ahead of time."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        devices: Sequence[jax.Device],
        pairs: DecodedPairs | None = None,
    ):
        """`devices` are all that share a batch; without `pairs` the dataset is decoded."""
        self.axis: int | None = 0
        self.held, self.per_step = None, _batches_a_step(config)
        self._config, self._pairs = config, pairs
        self._sharding = _local(devices, DEVICES)

    def iterate(self) -> grain.DatasetIterator:
        """See `Feed`."""
        return input_pipeline.train_batches(
            self._config,
            self._pairs.load if self._pairs else None,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def place(self, drawn: Sequence[Pairs]) -> Any:
        """See `Feed`; leaves are (devices, steps, n, H, W, 3) uint8."""
        return jax.tree.map(self._stack, *_steps(drawn, self.per_step))

    def _stack(self, *images: np.ndarray) -> jax.Array:
        num = self._sharding.num_devices
        size = len(images[0]) // num

        def part(index: Any) -> np.ndarray:
            k = index[0].start or 0
            return np.stack([batch[k * size : (k + 1) * size] for batch in images])[None]

        shape = (num, len(images), size, *images[0].shape[1:])
        return jax.make_array_from_callback(shape, self._sharding, part)

    def batch(self, held: None, inputs: Batch) -> Batch:
        """See `Feed`."""
        del held
        return inputs


class PairsOnDevices:
    """The whole training split in the devices' memory, an equal part on each."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        devices: Sequence[jax.Device],
        pairs: DecodedPairs,
    ):
        """Copies the pairs to `devices`, which are all that share a batch."""
        self.axis: int | None = None
        self.per_step = _batches_a_step(config)
        self._config, self._num_pairs = config, len(pairs)
        self._replicated = _local(devices)
        size = -(-len(pairs) // len(devices))
        sharding = _local(devices, DEVICES)
        parts = []
        total = min(size * sharding.num_devices, len(pairs))
        with progress_bar(
            total=total, desc="pairs to the devices", leave=False, unit=" pairs"
        ) as progress:
            for position, device in enumerate(devices):
                if device.process_index == jax.process_index():
                    parts.append(_part(pairs, device, position * size, size, progress))
        # Rows of bytes: small last axes would be padded to many times their size.
        shape = (len(parts), size, PAIR_BYTES)
        self.held = jax.make_array_from_single_device_arrays(shape, sharding, parts)

    def iterate(self) -> grain.DatasetIterator:
        """See `Feed`."""
        return input_pipeline.iterate(input_pipeline.train_draws(self._config, self._num_pairs))

    def place(self, drawn: Sequence[Draws]) -> Any:
        """See `Feed`; leaves are (steps, B, ...)."""
        steps = jax.tree.map(lambda *arrays: np.stack(arrays), *_steps(drawn, self.per_step))
        return jax.device_put(jax.tree.map(_narrow, steps), self._replicated)

    def batch(self, held: jax.Array, inputs: Any) -> Batch:
        """See `Feed`."""
        batch: Batch = self._sample(held, {k: v for k, v in inputs.items() if k != "next"})
        return batch | {"next": self._sample(held, inputs["next"])} if "next" in inputs else batch

    def _sample(self, held: jax.Array, draws: Any) -> Batch:
        """This device's part of a batch: from each device those that it has, to whom they go to."""
        if jax.lax.axis_size(DEVICES) == 1:  # on CPU a third of the time
            rows = held[draws["index"]]
        else:
            place = draws["index"] - jax.lax.axis_index(DEVICES) * held.shape[0]
            is_here = (place >= 0) & (place < held.shape[0])
            rows = held[jnp.clip(place, 0, held.shape[0] - 1)]
            rows = jnp.where(is_here[:, None], rows, 0)
            rows = jax.lax.psum_scatter(rows, DEVICES, tiled=True)
        images = rows.reshape(-1, 2, PATCH_SIZE, PATCH_SIZE, 3)
        own = {name: own_part(values) for name, values in draws.items()}
        images = augment(images, own, self._config.data.crop)
        return {"phone": images[:, 0], "dslr": images[:, 1]}


def _part(
    pairs: DecodedPairs, device: jax.Device, start: int, size: int, progress: Any
) -> jax.Array:
    """(1, size, PAIR_BYTES) pairs from `start` on a device; zeros after the last."""

    def write(part: jax.Array, rows: jax.Array, place: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(part, rows[None], (0, place, 0))

    write_in_place = jax.jit(write, donate_argnums=0)
    part = jnp.zeros((1, size, PAIR_BYTES), jnp.uint8, device=device)
    stop = min(start + size, len(pairs))
    for first in range(start, stop, _CHUNK):
        rows = pairs.rows(first, min(first + _CHUNK, stop))
        part = write_in_place(part, jax.device_put(rows, device), first - start)
        part.block_until_ready()  # or all chunks would wait in memory
        progress.update(len(rows))
    return part


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if values.dtype == np.int64 else values


def augment(images: jax.Array, draws: Any, crop: int) -> jax.Array:
    """`input_pipeline.augment` inside a compiled step, to the byte.

    Args:
      images: (n, 2, H, W, 3) uint8, both of a pair.
      draws: those of these pairs, as from `input_pipeline.train_draws`.
      crop: side of the crop in pixels.
    """

    def where(choice: jax.Array, changed: jax.Array, images: jax.Array) -> jax.Array:
        return jnp.where(choice[:, None, None, None, None], changed, images)

    if "corner" in draws:

        def cut(pair: jax.Array, corner: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(pair, (0, *corner, 0), (2, crop, crop, 3))

        images = jax.vmap(cut)(images, draws["corner"])
    if "flip" in draws:
        images = where(draws["flip"][:, 0], images[:, :, ::-1], images)
        images = where(draws["flip"][:, 1], images[:, :, :, ::-1], images)
    if "gain" in draws:
        gained = jnp.round(images.astype(jnp.float32) * draws["gain"][:, None, None, None])
        images = jnp.minimum(gained, 255).astype(jnp.uint8)
    if "transpose" in draws:
        images = where(draws["transpose"], images.swapaxes(2, 3), images)
    return images


def choose_feed(
    config: ml_collections.ConfigDict,
    devices: Sequence[jax.Device],
    pairs: DecodedPairs | None,
) -> Feed:
    """The feed that `config.data.on_device` asks for.

    "auto" keeps the pairs on accelerators where they take at most half of the memory.

    Raises:
      InputError: the devices shall hold the pairs, and cannot.
    """
    wanted = config.data.on_device
    if pairs is None:
        if wanted == "always":
            raise InputError(
                "config.data.on_device=always: takes the decoded copy of the training split: set "
                "data.decode_once=True, where there is room for it"
            )
        return StreamedBatches(config, devices)
    stats = devices[0].memory_stats() if devices[0].platform != "cpu" else None
    limit = (stats or {}).get("bytes_limit", 0)
    needed = -(-len(pairs) // len(devices)) * PAIR_BYTES
    sizes = f"{needed / 1e9:.1f} GB of pairs a device, which has {limit / 1e9:.1f} GB"
    if wanted == "never" or (wanted == "auto" and 2 * needed > limit):
        if limit:
            logging.info("pairs are streamed: %s", sizes)
        return StreamedBatches(config, devices, pairs)
    if limit and needed > limit:
        raise InputError(f"config.data.on_device=always: {sizes}; use auto")
    try:
        return PairsOnDevices(config, devices, pairs)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise InputError(f"config.data.on_device={wanted}: {sizes}; use never") from error
