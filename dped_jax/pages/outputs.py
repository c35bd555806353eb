"""What an experiment leaves behind: results.json, CSV files, PNG pictures and report.html."""

import csv
import io
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import matplotlib.figure
import numpy as np

from dped_jax.base.files import write_atomically
from dped_jax.pages import charts


def write_json(path: pathlib.Path, results: dict[str, Any]) -> None:
    """Writes results; NaN, as the mean of no values is, becomes null, which JSON has."""
    write_atomically(path, json.dumps(_without_nan(results), indent=2, allow_nan=False) + "\n")


def write_report(folder: pathlib.Path, results: dict[str, Any], page: str) -> None:
    """Writes results.json and report.html to the folder of an experiment, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results)
    write_atomically(folder / "report.html", page)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_csv(
    path: pathlib.Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Writes these columns of rows; what a row lacks is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def write_picture(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an (H, W, 3) uint8 RGB picture as PNG."""
    write_atomically(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def write_chart(path: pathlib.Path, figure: matplotlib.figure.Figure) -> None:
    """Writes a chart as PNG."""
    write_atomically(path, charts.encode(figure))
