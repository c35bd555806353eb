"""Which devices train, and how a batch is divided among them: the one place that knows.

Every process uses the same number of its devices; each device takes an equal part of the batch, in
the order of the batch. The result does not depend on how many there are.
"""

from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging

from dped_jax.cli import InputError
from dped_jax.models.layers import DEVICES
from dped_jax.train_state import TrainState
from dped_jax.train_step import make_train_step


def choose_devices(batch_size: int, num_devices: int | None = None) -> list[jax.Device]:
    """The devices that share a batch, in the order of its parts: as many of every process.

    Args:
      batch_size: over all devices, each of which takes an equal part.
      num_devices: how many of all processes together; None takes as many as divide the batch.

    Raises:
      InputError: so many are not there, or they do not divide the batch.
    """
    processes, present = jax.process_count(), jax.local_device_count()
    dividing = [n for n in range(1, present + 1) if batch_size % (n * processes) == 0]
    wanted = max(dividing, default=None) if num_devices is None else num_devices / processes
    if wanted not in dividing:
        possible = ", ".join(str(n * processes) for n in dividing) or "none"
        given = "" if num_devices is None else f"--num_devices={num_devices}: "
        raise InputError(
            f"{given}config.train.batch_size={batch_size} divides among these numbers of devices: "
            f"{possible} ({present} are here in each of {processes} processes)"
        )
    if num_devices is None and wanted < present:
        logging.warning(
            "training on %d of %d devices: config.train.batch_size=%d does not divide among more",
            *(wanted * processes, present * processes, batch_size),
        )
    used = [[d for d in jax.devices() if d.process_index == p] for p in range(processes)]
    return [device for devices in used for device in devices[: int(wanted)]]


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """Copies arrays, equal on all hosts, to every device."""
    mesh = jax.sharding.Mesh(devices, (DEVICES,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(jax.device_get(tree), sharding)


def map_step(config: ml_collections.ConfigDict, devices: list[jax.Device]) -> Callable:
    """The train step on devices; a batch has a leading axis over those of this process."""
    return jax.pmap(
        make_train_step(config),
        axis_name=DEVICES,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=devices,
        donate_argnums=0,
    )


def make_step_on_devices(
    config: ml_collections.ConfigDict, devices: list[jax.Device]
) -> Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """The train step on devices; takes this process's part of the batch as it is loaded."""
    step = map_step(config, devices)
    num_local = len(devices) // jax.process_count()

    def split(images: np.ndarray) -> np.ndarray:
        return images.reshape(num_local, -1, *images.shape[1:])

    def step_on_devices(state, batch, vgg_params):
        state, metrics = step(state, jax.tree.map(split, batch), vgg_params)
        if jax.default_backend() == "cpu":
            # Steps in flight share one thread pool and can lock each other out of collectives.
            jax.block_until_ready(metrics)
        return state, metrics

    return step_on_devices
