"""Which devices train, and how a batch is divided among them: the one place that knows.

Every process uses the same number of its devices; each device takes an equal part of the batch, in
the order of the batch. The result does not depend on how many there are.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from absl import logging

from dped_jax.base.errors import InputError
from dped_jax.models.layers import DEVICES
from dped_jax.train.feeds import Feed
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


def map_steps(
    config: ml_collections.ConfigDict, devices: list[jax.Device], feed: Feed
) -> Callable[[TrainState, Any, Any, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Several train steps on devices in one compiled call (on CPU: one after another).

    The returned `steps(state, inputs, vgg_params, held)` takes what `feed` has placed for them and
    what it holds, and gives the next state and the metrics of every step, (steps,) float32 arrays.
    The state is donated.
    """
    step = make_train_step(config)

    def one(state, inputs, vgg_params, held):
        with jax.default_matmul_precision(config.matmul_precision):
            return step(state, feed.batch(held, inputs), vgg_params)

    def first(state, inputs, vgg_params, held):
        state, logged = one(state, jax.tree.map(lambda x: x[0], inputs), vgg_params, held)
        return state, jax.tree.map(lambda x: x[None], logged)

    def scan(state, inputs, vgg_params, held):
        return jax.lax.scan(lambda *carried: one(*carried, vgg_params, held), state, inputs)

    # XLA's CPU convolutions take several times as long inside a loop.
    on_cpu = devices[0].platform == "cpu"
    mapped = jax.pmap(
        first if on_cpu else scan,
        axis_name=DEVICES,
        in_axes=(None, feed.axis, None, 0),
        out_axes=None,
        devices=devices,
        donate_argnums=0,
    )

    axis = int(feed.axis is not None)  # of the steps

    @jax.jit
    def parts_of(inputs):
        num = jax.tree.leaves(inputs)[0].shape[axis]
        split = jax.tree.map(lambda x: jnp.split(x, num, axis), inputs)
        return [jax.tree.map(lambda _, x, k=k: x[k], inputs, split) for k in range(num)]

    @jax.jit
    def joined(logged):
        return jax.tree.map(lambda *steps: jnp.concatenate(steps), *logged)

    def one_by_one(state, inputs, vgg_params, held):
        logged = []
        for part in parts_of(inputs):
            state, metrics = mapped(state, part, vgg_params, held)
            logged.append(metrics)
        return state, joined(logged)

    return one_by_one if on_cpu else mapped
