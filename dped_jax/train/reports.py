"""What training tells of its steps: means of their metrics, checked, a call after the devices
made them.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from tqdm import tqdm

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.evaluate.scores import format_summary
from dped_jax.train.metrics_writer import MetricsWriter


def is_evaluated(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether validation follows a step."""
    return step == config.train.num_steps or step % config.train.eval_every_steps == 0


def is_saved(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether a checkpoint follows a step."""
    return is_evaluated(config, step) or step % config.train.checkpoint_every_steps == 0


@dataclasses.dataclass
class StepReports:
    """Reads the metrics of calls, and writes the means that are due."""

    config: ml_collections.ConfigDict
    manager: Any  # of the checkpoints
    writer: MetricsWriter | None  # None where another process writes
    progress: tqdm
    workdir: pathlib.Path  # where not_finite.json is written
    pending: list[dict[str, float]]  # metrics of the last steps, whose mean is not written yet
    names_of: Callable[[int], list[str]]  # the names of the pairs of a step

    def read(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Waits for the metrics, (steps,) arrays, of the call that ended with a step.

        Raises:
          InputError: one is not finite; names the first such step and the last good checkpoint.
        """
        by_name = jax.device_get(metrics)
        num = len(by_name["total"])
        for k in range(num):
            values = {name: float(array[k]) for name, array in by_name.items()}
            self._take(step - num + 1 + k, values)
        self.progress.update(num * self.config.train.batch_size)

    def _take(self, step: int, values: dict[str, float]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            good = self.manager.latest_step()
            advice = f"checkpoint {good} is kept" if good is not None else "no checkpoint yet"
            if self.writer:
                found = {name: str(values[name]) for name in bad}
                told = {"step": step, "not_finite": found, "checkpoint": good}
                text = json.dumps(told | {"pairs": self.names_of(step)}, indent=2)
                write_atomically(self.workdir / "not_finite.json", text + "\n")
            raise InputError(
                f"step {step}: {', '.join(bad)} not finite; {advice}; the pairs are named in "
                f"{self.workdir}/not_finite.json; lower --config.train.learning_rate or the loss "
                "weights, in another --workdir"
            )
        self.pending.append(values)
        if is_saved(self.config, step) or step % self.config.train.log_every_steps == 0:
            means = {name: float(np.mean([m[name] for m in self.pending])) for name in values}
            self.progress.set_postfix_str(f"total {means['total']:.4g}", refresh=False)
            if self.writer:
                self.writer.train_scalars(self.config, step, means, len(self.pending))
                if is_evaluated(self.config, step):
                    shown = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
                    tqdm.write(f"step {step}  {shown}")
            self.pending = []


def report_validation(
    writer: MetricsWriter, step: int, summary: dict[str, float], picture: np.ndarray
) -> None:
    """Writes and prints what validation has found."""
    writer.picture(step, picture)
    writer.scalars(step, "validation", summary)
    line = format_summary("validation", summary)
    if "discriminator_accuracy" in summary:
        line += f"   discriminator {summary['discriminator_accuracy']:.1%}"
    tqdm.write(line)
