"""Training states in checkpoints: what resuming needs besides the model."""

import os
import pathlib

import jax
from absl import logging
from jax.experimental import multihost_utils

from dped_jax import checkpoint
from dped_jax.checkpoint import Tree
from dped_jax.cli import InputError
from dped_jax.train_state import TrainState


def _split_state(state: TrainState) -> tuple[Tree, Tree]:
    training = {
        "step": state.step,
        "key": state.key,
        "generator_opt_state": state.generator.opt_state,
        "discriminator": state.discriminator,
    }
    if state.averaged is not None:
        training["generator"] = state.generator.variables
    return state.model, training


def save_state(manager, state: TrainState, data_state: Tree, metrics: dict | None) -> None:
    """Saves a whole training state at its step; arguments as `save`."""
    generator, training = _split_state(state)
    items = {"generator": generator, "training": training}
    checkpoint.save(manager, int(state.step), **items, data_state=data_state, metrics=metrics)


def restore_state(workdir: pathlib.Path, template: TrainState) -> tuple[TrainState, Tree] | None:
    """Restores the newest checkpoint that can be read; damaged ones are moved to `unreadable/`.

    Args:
      workdir: the run's.
      template: a state of the run's configuration.

    Returns:
      The state and the input iterator's state, or None where no checkpoint is left.

    Raises:
      InputError: the workdir holds a converted model, or another network.
    """
    steps = checkpoint.list_steps(workdir)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("before any process changes them")
    for step in reversed(steps):
        where = workdir / "checkpoints" / str(step)
        if not (where / "training").exists() and (where / "generator").exists():
            remedy = f"to go on from it give another --workdir --config.train.init_from={workdir}"
            raise InputError(f"{workdir}: holds a model without training state; {remedy}")
        try:
            with checkpoint.open_manager(workdir, read_only=True) as manager:
                restored = checkpoint.restore(manager, step, ["generator", "training"])
        except checkpoint.UnreadableError as error:
            logging.warning("checkpoint %s cannot be read, trying the one before: %s", where, error)
            if jax.process_index() == 0:
                (workdir / "unreadable").mkdir(exist_ok=True)
                os.replace(where, workdir / "unreadable" / str(step))
            continue
        generator, training = (
            checkpoint.fill(part, restored[item], where)
            for part, item in zip(_split_state(template), ("generator", "training"), strict=True)
        )
        opt_state = training.pop("generator_opt_state")
        averaged = None if template.averaged is None else generator
        generator = training.pop("generator", generator)
        generator = template.generator.replace(**generator, opt_state=opt_state)
        state = template.replace(generator=generator, averaged=averaged, **training)
        return state, restored["meta"]["data_state"]
    return None
