"""Which steps the devices make in one call, and what each call is fed with."""

from collections.abc import Iterator
from typing import Any

import grain
import ml_collections
from absl import logging

from dped_jax.train.feeds import Feed


def steps_of_call(config: ml_collections.ConfigDict, step: int) -> int:
    """How many steps the call after a step makes: as many as fit before a checkpoint, or one."""
    options = config.train
    every = (options.eval_every_steps, options.checkpoint_every_steps)
    left = min(options.num_steps - step, *(each - step % each for each in every))
    return options.steps_per_call if left >= options.steps_per_call else 1


def warn_of_single_steps(config: ml_collections.ConfigDict) -> None:
    """Says where a checkpoint comes between the steps of a call."""
    options, size = config.train, config.train.steps_per_call
    for name in ("eval_every_steps", "checkpoint_every_steps", "num_steps"):
        if rest := options[name] % size:
            logging.warning(
                "config.train.steps_per_call=%d does not divide train.%s=%d: the last %d steps "
                "before it are made one by one",
                *(size, name, options[name], rest),
            )


def draw_calls(
    config: ml_collections.ConfigDict, feed: Feed, batches: grain.DatasetIterator, step: int
) -> Iterator[tuple[int, Any, Any]]:
    """Yields every call after a step: its last step, its inputs on the devices, where they end.

    Args:
      config: the experiment.
      feed: places the inputs.
      batches: its iterator, in the position of the step.
      step: the last one done.
    """
    while step < config.train.num_steps:
        num = steps_of_call(config, step)
        inputs = feed.place([next(batches) for _ in range(num * feed.per_step)])
        step += num
        yield step, inputs, batches.get_state()
