"""What training writes beside checkpoints: metrics.jsonl, TensorBoard events, samples/."""

import json
import pathlib
from typing import Self

import cv2
import numpy as np
import tensorboardX

from dped_jax import cli
from dped_jax.images.pixels import to_integers


class MetricsWriter:
    """Writes scalars to metrics.jsonl and TensorBoard, pictures to samples/ and TensorBoard."""

    def __init__(self, workdir: pathlib.Path, step: int):
        """Goes on after `step`; what an interrupted run wrote after it is dropped."""
        self._workdir = workdir
        lines = workdir / "metrics.jsonl"
        if lines.exists():
            written = lines.read_text().splitlines(keepends=True)
            kept = [line for line in written if _upto(line, step)]
            cli.write_atomically(lines, "".join(kept))
        (workdir / "samples").mkdir(exist_ok=True)
        self._lines = lines.open("a", buffering=1)
        self._events = tensorboardX.SummaryWriter(str(workdir), purge_step=step + 1)

    def scalars(self, step: int, group: str, values: dict[str, float]) -> None:
        """Writes a line of values, as `train/total` in TensorBoard."""
        self._lines.write(json.dumps({"step": step, "group": group} | values) + "\n")
        for name, value in values.items():
            self._events.add_scalar(f"{group}/{name}", value, step)

    def picture(self, step: int, image: np.ndarray) -> None:
        """Writes an (H, W, 3) uint8 RGB picture."""
        path = self._workdir / "samples" / f"{step:08d}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        self._events.add_image("samples", image, step, dataformats="HWC")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._events.close()


def _upto(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] <= step
    except ValueError:  # cut off by a kill
        return False


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
