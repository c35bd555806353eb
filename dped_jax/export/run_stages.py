"""Runs an export with --stages window by window: NumPy and onnxruntime, and nothing of JAX.

A program to read for whoever runs the stages elsewhere; docs/export.md has them in words.
"""

import json
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np

SIDE = 512


def windows(height: int, width: int, side: int, margin: int) -> Iterator[tuple]:
    """What is kept of a photograph, cell by cell, as slices; its window; and where in that it is.

    The last is (4,) int32: top, bottom, left and right.
    """
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            y, x = max(top - margin, 0), max(left - margin, 0)
            window = np.s_[y : bottom + margin, x : right + margin]
            region = np.array([top - y, bottom - y, left - x, right - x], np.int32)
            yield np.s_[top:bottom, left:right], window, region


def merged(parts: list[np.ndarray]) -> np.ndarray:
    """Mean and variance, (2, C) float32, of counts, means and squares by row, (3, rows, C)."""
    count, mean, squares = np.concatenate(parts, axis=1).astype(np.float64)
    total = count.sum(axis=0)
    whole = (count * mean).sum(axis=0) / total
    variance = (squares + count * np.square(mean - whole)).sum(axis=0) / total
    return np.stack([whole, variance]).astype(np.float32)


def run(
    folder: pathlib.Path, photo: np.ndarray, side: int = SIDE, on_disk: str | None = None
) -> np.ndarray:
    """Enhances a photograph.

    Args:
      folder: that `dped_jax.export --stages` has made.
      photo: (H, W, 3) of the type that the stages take: float32 in [0, 1], or uint8.
      side: of the windows in pixels, without their margins; made a multiple of the stride.
      on_disk: a folder, for the activations that stages leave for each other.

    Returns:
      (H, W, 3) of the same type.
    """
    import onnxruntime

    manifest = json.loads((folder / "stages.json").read_text())
    side = -(-side // manifest["stride"]) * manifest["stride"]
    height, width = photo.shape[:2]
    planes, statistics = {"photo": photo}, {}
    for i, stage in enumerate(manifest["stages"]):
        session = onnxruntime.InferenceSession(folder / stage["file"])
        made = {}
        for name, channels in zip(stage["outputs"], stage["channels"], strict=True):
            shape = (height, width, channels)
            if name == "enhanced" or on_disk is None:
                made[name] = np.empty(shape, photo.dtype if name == "enhanced" else np.float32)
            else:
                with tempfile.TemporaryFile(dir=on_disk) as file:
                    made[name] = np.memmap(file, np.float32, "w+", shape=shape)
        parts = []
        for kept, window, region in windows(height, width, side, stage["margin"]):
            feed = {name: planes[name][window][None] for name in stage["inputs"]}
            feed |= {"region": region} | {name: statistics[name] for name in stage["statistics"]}
            names = [output.name for output in session.get_outputs()]
            result = dict(zip(names, session.run(names, feed), strict=True))
            for name, plane in made.items():
                plane[kept] = result[name][0]
            if stage["measures"]:
                parts.append(result["statistics"])
        if stage["measures"]:
            statistics[stage["measures"]] = merged(parts)
        planes |= made
        needed = {"enhanced"}.union(*(later["inputs"] for later in manifest["stages"][i + 1 :]))
        planes = {name: plane for name, plane in planes.items() if name in needed}
    return planes["enhanced"]
