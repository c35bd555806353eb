"""Training states in checkpoints: what resuming needs besides the model."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from absl import logging

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.checkpoint import Tree
from dped_jax.train import hosts
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


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training was, beside its state.

    Attributes:
      batches: state of the input iterator.
      pending: metrics of the last steps, of which no mean is written yet.
      is_unscored: validation was due and was not done.
    """

    batches: Tree
    pending: list[dict[str, float]] = dataclasses.field(default_factory=list)
    is_unscored: bool = False


@contextlib.contextmanager
def opened(workdir: pathlib.Path, keep: int) -> Iterator[Any]:
    """Opens the checkpoints of a workdir for writing, see `checkpoint.open_manager`."""
    manager = checkpoint.open_manager(workdir, keep)
    try:
        yield manager
    except BaseException:
        with contextlib.suppress(Exception):  # a save under way, which fails for the same reason
            manager.close()
        raise
    manager.close()


def save_state(manager, state: TrainState, position: Position, metrics: dict | None) -> None:
    """Saves a whole training state at its step; arguments as `save`."""
    generator, training = _split_state(state)
    items = {"generator": generator, "training": training}
    data_state = dataclasses.asdict(position)
    checkpoint.save(manager, int(state.step), **items, data_state=data_state, metrics=metrics)


def restore_state(
    workdir: pathlib.Path, template: TrainState
) -> tuple[TrainState, Position] | None:
    """Restores the newest checkpoint that can be read; damage is moved to `unreadable/`.

    Args:
      workdir: the run's.
      template: a state of the run's configuration.

    Returns:
      The state and where it was, or None where there is no checkpoint.

    Raises:
      InputError: the workdir holds a converted model, another network, or damage only.
    """
    steps, damaged = checkpoint.list_steps(workdir), checkpoint.read_scores(workdir)[1]
    hosts.wait_for_all("steps are listed, before any process changes them")
    for step in reversed(steps):
        where = workdir / "checkpoints" / str(step)
        if not (where / "training").exists() and (where / "generator").exists():
            remedy = f"to go on from it give another --workdir --config.train.init_from={workdir}"
            raise InputError(f"{workdir}: holds a model without training state; {remedy}")
        try:
            restored = checkpoint.restore(workdir, step, ["generator", "training"])
        except checkpoint.UnreadableError as error:
            logging.warning("checkpoint %s cannot be read, trying the one before: %s", where, error)
            damaged.append(where)
            continue
        if jax.process_index() == 0:
            _put_aside(workdir, damaged)
        generator, training = (
            checkpoint.fill(part, restored[item], where)
            for part, item in zip(_split_state(template), ("generator", "training"), strict=True)
        )
        opt_state = training.pop("generator_opt_state")
        averaged = None if template.averaged is None else generator
        generator = training.pop("generator", generator)
        generator = template.generator.replace(**generator, opt_state=opt_state)
        state = template.replace(generator=generator, averaged=averaged, **training)
        position = restored["meta"]["data_state"]
        # Checkpoints of before have the iterator's state alone.
        return state, Position(**position if "batches" in position else {"batches": position})
    if steps:
        raise InputError(
            f"{workdir}: none of its checkpoints {steps} can be read; bring one back from a copy, "
            "or start anew in another --workdir"
        )
    return None


def _put_aside(workdir: pathlib.Path, damaged: list[pathlib.Path]) -> None:
    """Moves what is damaged out of the way, under a name that is free."""
    for path in damaged:
        name = "_".join(path.relative_to(workdir / "checkpoints").parts)
        target = workdir / "unreadable" / name
        number = 0
        while target.exists():
            number += 1
            target = target.with_name(f"{name}.{number}")
        target.parent.mkdir(exist_ok=True)
        os.replace(path, target)
        logging.warning("%s: damaged; moved to %s", path, target)
