"""How a training's networks do on the validation split, and pictures of it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dped_jax import input_pipeline
from dped_jax.evaluate.scores import score_batches, summarize
from dped_jax.models.discriminator import make_discriminator
from dped_jax.models.generator import make_eval_step
from dped_jax.pixels import to_float
from dped_jax.train import metrics_writer
from dped_jax.train_state import TrainState
from dped_jax.train_step import discriminator_input


def make_discriminator_eval_step(
    config: ml_collections.ConfigDict,
) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """Builds the discriminator as it is judged, with batch norm's running statistics.

    The returned `step(variables, enhanced, dslr)` takes (N, H, W, 3) float32 images in [0, 1] and
    gives the accuracy on each pair, (N,) float32 in {0, 0.5, 1}: each is asked with both labels. A
    discriminator of crops sees those in the middle.
    """
    discriminator = make_discriminator(config)

    def step(variables, enhanced, dslr):
        if size := config.data.crop:
            top, left = ((side - size) // 2 for side in enhanced.shape[1:3])
            enhanced, dslr = (x[:, top:, left:][:, :size, :size] for x in (enhanced, dslr))

        def is_right(label):
            labels = jnp.full(enhanced.shape[0], label)
            shown = discriminator_input(config, enhanced, dslr, labels)
            return (discriminator.apply(variables, shown) > 0) == labels

        return (is_right(True) + jnp.float32(is_right(False))) / 2

    return step


class ValidationStoppedError(Exception):
    """Validation was given up."""


def make_validation(
    config: ml_collections.ConfigDict, source: Sequence[dict[str, Any]]
) -> Callable[..., dict[str, float]]:
    """Builds `validate(state, is_interrupted)`: scores as from `summarize`, and
    "discriminator_accuracy". `is_interrupted()` is asked for every batch: where it says so, the
    function raises ValidationStoppedError.

    Args:
      config: the experiment; its `eval` says how many pairs are scored.
      source: the split, from `input_pipeline.open_split`.
    """
    eval_step = jax.jit(make_eval_step(config))
    judge: Any = jax.jit(make_discriminator_eval_step(config)) if config.loss.texture else None

    def validate(
        state: TrainState, is_interrupted: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        def pairs():
            sizes = config.eval.batch_size, config.eval.num_pairs
            for batch in input_pipeline.eval_batches(source, *sizes):
                if is_interrupted():
                    raise ValidationStoppedError
                yield batch

        variables = jax.device_get(state.model)
        scores = score_batches(lambda phone: eval_step(variables, phone), pairs())
        summary = summarize(scores["enhanced"])
        if judge and state.discriminator:
            discriminator = jax.device_get(state.discriminator.variables)
            accuracies = [
                judge(discriminator, eval_step(variables, batch["phone"]), to_float(batch["dslr"]))
                for batch in pairs()
            ]
            summary["discriminator_accuracy"] = float(np.mean(np.concatenate(accuracies)))
        return summary

    return validate


def make_samples(
    config: ml_collections.ConfigDict, source: Sequence[dict[str, Any]]
) -> Callable[[TrainState], np.ndarray]:
    """Builds `samples(state)`: the first pairs as a picture, see `metrics_writer.picture_grid`."""
    eval_step = jax.jit(make_eval_step(config))
    shown = input_pipeline.load_pairs(source, range(min(config.eval.num_pictures, len(source))))

    def samples(state: TrainState) -> np.ndarray:
        enhanced = eval_step(jax.device_get(state.model), shown["phone"])
        return metrics_writer.picture_grid(enhanced=np.asarray(enhanced), **shown)

    return samples
