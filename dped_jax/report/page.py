"""What the page of dped_jax.report is made of."""

import json
import pathlib
from typing import Any

import numpy as np

from dped_jax.cli import InputError
from dped_jax.evaluate.scores import SCORES
from dped_jax.images.folders import matching_images, read_image
from dped_jax.pages import web_page
from dped_jax.pages.web_page import Series

SCORES = SCORES | {"identical_pairs": ("Identical pairs (left out of PSNR)", "d")}


def read_scores(path: pathlib.Path) -> dict[str, Any]:
    """Reads what `dped_jax.evaluate --json` writes (perhaps no "input"), or raises InputError."""
    try:
        scores = json.loads(path.read_text())
        score_table(scores)
    except FileNotFoundError as error:
        raise InputError(f"--scores={path}: no such file; evaluate --json makes it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--scores={path}: not what dped_jax.evaluate --json writes") from error
    return scores


def read_photos(before: pathlib.Path, after: pathlib.Path) -> list[tuple[str, Any, Any]]:
    """Reads (name, before, after) of two photographs, or of two folders with the same file stems.

    Raises InputError where one is missing, has no counterpart, or differs from it in size.
    """
    paths = {"before": before, "after": after}
    missing = [f"--{flag}={path}" for flag, path in paths.items() if not path.exists()]
    if missing:
        raise InputError(f"{' and '.join(missing)}: no such file or folder")
    photos = []
    for pair in matching_images(paths) if before.is_dir() or after.is_dir() else [paths]:
        images = {path: read_image(path) for path in pair.values()}
        if len({image.shape for image in images.values()}) > 1:
            sizes = " and ".join(f"{path} {image.shape[:2]}" for path, image in images.items())
            raise InputError(f"{sizes} differ in size (height, width)")
        photos.append((pair["before"].stem, *(images[path] for path in pair.values())))
    return photos


def latest_sample(folder: pathlib.Path) -> tuple[int, np.ndarray]:
    """The step and the picture of the newest before | enhanced | target, or raises InputError."""
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise InputError(f"{folder}: no pictures yet; dped_jax.train writes them")
    return int(paths[-1].stem), read_image(paths[-1])


def score_table(scores: dict[str, Any]) -> str:
    """The table of what `read_scores` gives."""
    columns = ["input", "enhanced"] if "input" in scores else ["enhanced"]
    rows = [
        [label, *(f"{scores[column][key]:{form}}" for column in columns)]
        for key, (label, form) in SCORES.items()
    ]
    caption = f"Means over {scores['images']:d} images, protocol {scores['protocol']}"
    return web_page.table(caption, ["", *columns], rows)


def patch_grid(step: int, grid: np.ndarray) -> str:
    """A (N * H, 3 * W, 3) picture of before | enhanced | target under column headings."""
    return f"""<figure class="grid">
<div><strong>before</strong><strong>enhanced</strong><strong>target</strong></div>
<img src="{web_page.data_uri(grid, "png")}" alt="Rows of patches: before, enhanced, target">
<figcaption>Validation patches at step {step}.</figcaption></figure>
"""


def training_curves(metrics: dict[str, Series]) -> str:
    """Charts of the losses and of the validation PSNR, from what `read_metrics` gives."""
    others = ("learning_rate", "patches_per_second", "discriminator_accuracy")
    losses = {name: curve for name, curve in metrics["train"].items() if name not in others}
    if len(losses) == 2:
        losses.pop("total", None)  # of a single term
    validation = {"PSNR": metrics["validation"]["psnr"]}
    return f"""<div class="charts">
{web_page.line_chart("Training losses", "loss (no unit, log scale)", losses, log=True)}
{web_page.line_chart("Validation patches", "PSNR (dB)", validation)}</div>
"""
