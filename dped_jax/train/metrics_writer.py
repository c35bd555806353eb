"""What training tells beside checkpoints: metrics.jsonl, TensorBoard events, samples/, and how it
starts.
"""

import contextlib
import json
import math
import pathlib
import shutil
import time
from typing import Any, Self

import cv2
import jax
import ml_collections
import numpy as np
from absl import logging

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.pixels import to_integers
from dped_jax.train_state import TrainState, learning_rate_at

Curve = list[tuple[float, float]]  # (step, value)


class MetricsWriter:
    """Writes scalars to metrics.jsonl and TensorBoard, pictures to samples/ and TensorBoard."""

    def __init__(self, workdir: pathlib.Path, step: int, group: str = "validation"):
        """Goes on after the lines of `step` up to this group; what a run wrote after is dropped."""
        from dped_jax.train.events import Events  # not for who reads metrics only

        self._workdir = workdir
        lines = workdir / "metrics.jsonl"
        if lines.exists():
            written = lines.read_text(errors="replace").splitlines(keepends=True)
            places = [_place_of(line) for line in written]
            if None in places[:-1]:  # the last one may have been cut off by a kill
                unreadable = workdir / "unreadable"
                unreadable.mkdir(exist_ok=True)
                shutil.copy(lines, unreadable)
                logging.warning("%s: damaged lines are left out; as it was: %s", lines, unreadable)
            last = step, group  # in the order in which a step writes them, and of the alphabet
            kept = (
                line for line, place in zip(written, places, strict=True) if place and place <= last
            )
            write_atomically(lines, "".join(kept))
        (workdir / "samples").mkdir(exist_ok=True)
        self._lines = lines.open("a", buffering=1)
        self._events = Events(workdir, step)
        self._since, self.save_seconds = time.monotonic(), 0.0

    def scalars(self, step: int, group: str, values: dict[str, float]) -> None:
        """Writes a line of values with the time (Unix, in s), as `train/total` in TensorBoard."""
        line = {"step": step, "group": group, "time": round(time.time(), 3)} | values
        self._lines.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self._events.scalar(step, f"{group}/{name}", value)
        self._events.flush()
        self._since = time.monotonic()

    def train_scalars(
        self, config: ml_collections.ConfigDict, step: int, losses: dict[str, float], num_steps: int
    ) -> None:
        """Writes means over the last steps, with their learning rate and patch pairs a second.

        The rate is that since the last line of any group: validation does not count, compiling
        and saving do. "save_seconds" is how long steps have waited for checkpoints since then.
        """
        seconds = time.monotonic() - self._since
        speed = {
            "learning_rate": learning_rate_at(config, step),
            "patches_per_second": num_steps * config.train.batch_size / seconds,
            "save_seconds": round(self.save_seconds, 3),
        }
        self.save_seconds = 0.0
        self.scalars(step, "train", losses | speed)

    def picture(self, step: int, image: np.ndarray) -> None:
        """Writes an (H, W, 3) uint8 RGB picture."""
        path = self._workdir / "samples" / f"{step:08d}.png"
        write_atomically(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())
        self._events.picture(step, "samples", image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError) if error[0] else contextlib.nullcontext():
            self._lines.close()
            self._events.close()


def _place_of(line: str) -> tuple[int, str] | None:
    """The step and the group of a line, None where it cannot be read."""
    try:
        fields = json.loads(line)
        return int(fields["step"]), str(fields["group"])
    except (ValueError, KeyError, TypeError):
        return None


def read_metrics(path: pathlib.Path) -> dict[str, dict[str, Curve]]:
    """Reads the finite values of a metrics.jsonl by group, "train" and "validation", and name.

    Raises InputError where the file has another form, or lacks losses or validation PSNR.
    """
    groups: dict[str, dict[str, Curve]] = {"train": {}, "validation": {}}
    text = path.read_text(errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            values = json.loads(line)
            step, curves = int(values.pop("step")), groups[values.pop("group")]
            values.pop("time", None)
            for name, value in values.items():
                if math.isfinite(value):
                    curves.setdefault(name, []).append((step, value))
        except json.JSONDecodeError:  # cut off by a kill
            continue
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: not metrics of dped_jax.train") from error
    if not groups["train"] or "psnr" not in groups["validation"]:
        raise InputError(f"{path}: no metrics yet; dped_jax.train writes them")
    return groups


def describe_start(
    config: ml_collections.ConfigDict,
    state: TrainState,
    devices: list[jax.Device],
    splits: dict[str, dict[str, Any]],
    flops: float,
) -> str:
    """A few lines for people on what is about to be trained.

    Args:
      config: the experiment.
      state: the first one, of this start.
      devices: those that are used.
      splits: of the dataset, as from `train.fingerprint`.
      flops: of a step, on all devices together.
    """
    size, batch_size = config.data.crop or 100, config.train.batch_size
    lines = {"devices": f"{len(devices)} x {devices[0].device_kind}, JAX {jax.__version__}"}
    for name in ("generator", "discriminator"):
        if network := getattr(state, name):
            num = sum(leaf.size for leaf in jax.tree.leaves(network.params))
            lines[name] = f"{config[name].architecture}, {num:,} parameters"
    lines["pairs"] = ", ".join(f"{split['pairs']:,} {name}" for name, split in splits.items())
    lines["batch"] = f"{batch_size} pairs of {size} x {size}, {flops / 1e9:,.1f} GFLOP a step"
    lines["steps"] = f"{int(state.step):,} of {config.train.num_steps:,} done"
    return "\n".join(f"{name:<14} {text}" for name, text in lines.items())


def picture_grid(phone: np.ndarray, enhanced: np.ndarray, dslr: np.ndarray) -> np.ndarray:
    """Rows of before | enhanced | target.

    Args:
      phone: (N, H, W, 3) uint8.
      enhanced: (N, H, W, 3) float32, nominally in [0, 1], unclipped.
      dslr: (N, H, W, 3) uint8.

    Returns:
      (N * H, 3 * W, 3) uint8.
    """
    columns = [phone, to_integers(enhanced), dslr]
    return np.concatenate(np.concatenate(columns, axis=2), axis=0)
