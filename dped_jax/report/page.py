"""What the page of dped_jax.report shows; the page is templates/report.html.jinja of pages."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dped_jax.base.errors import InputError
from dped_jax.base.folders import matching_pictures, pictures_by_stem, some
from dped_jax.base.pictures import read_pixels
from dped_jax.evaluate.scores import SCORES
from dped_jax.pages import charts, sheets
from dped_jax.train.metrics_writer import Curve

TARGET_SIDE = 380  # pixels; three beside each other fit a window of 1280
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


@dataclasses.dataclass(frozen=True)
class Shown:
    """A whole photograph, (H, W, 3) uint8 RGB, and the DSLR's of the same name, of any size."""

    name: str
    before: np.ndarray
    after: np.ndarray
    target: np.ndarray | None = None


def read_photos(
    before: pathlib.Path, after: pathlib.Path, target: pathlib.Path | None = None
) -> list[Shown]:
    """Reads two photographs, or two folders with the same file stems, and the targets there are.

    Raises InputError where one is missing, has no counterpart, or differs from it in size; a target
    may be missing, but not all of them.
    """
    paths = {"before": before, "after": after} | ({"target": target} if target else {})
    missing = [f"--{flag}={path}" for flag, path in paths.items() if not path.exists()]
    if missing:
        raise InputError(f"{' and '.join(missing)}: no such file or folder")
    folders = {"before": before, "after": after}
    are_folders = before.is_dir() or after.is_dir()
    pairs = matching_pictures(folders) if are_folders else [folders]
    targets = pictures_by_stem(target, "target") if target and target.is_dir() else {}
    if target and not targets:
        targets = {pairs[0]["before"].stem: target}
    photos = []
    for pair in pairs:
        name, images = pair["before"].stem, {p: read_pixels(p, deep=False) for p in pair.values()}
        if len({image.shape for image in images.values()}) > 1:
            sizes = " and ".join(f"{path} {image.shape[:2]}" for path, image in images.items())
            raise InputError(f"{sizes} differ in size (height, width)")
        wanted = read_pixels(targets[name], deep=False) if name in targets else None
        photos.append(Shown(name, images[pair["before"]], images[pair["after"]], wanted))
    if target and all(photo.target is None for photo in photos):
        names = some(photo.name for photo in photos)
        raise InputError(f"--target={target}: holds none of the photographs ({names})")
    return photos


def beside_target(photo: Shown) -> np.ndarray | None:
    """A sheet of before, after and target; None where there is no target."""
    if photo.target is None:
        return None
    pictures = [photo.before, photo.after, photo.target]
    cells = [sheets.fit(image, TARGET_SIDE, TARGET_SIDE) for image in pictures]
    return sheets.grid(["before", "enhanced", "target"], [("", cells)])


def own_photographs(page: str | None, output: str) -> dict[str, str]:
    """The address of the page that `make web` built, from the report's folder, if there is one."""
    if not page or not (pathlib.Path(page) / "index.html").is_file():
        return {}
    folder = pathlib.Path(output).resolve().parent
    address = pathlib.PurePath(os.path.relpath(page, folder)).as_posix() + "/"
    return {"address": address, "folder": str(folder)}


def best_sample(folder: pathlib.Path, psnr: Curve) -> tuple[int, np.ndarray]:
    """The step with the highest validation PSNR, and its picture of before | enhanced | target.

    It is the step that `dped_jax.evaluate` scores by default. Raises InputError where there is no
    such picture.
    """
    step = int(max(psnr, key=lambda point: (point[1], point[0]))[0])
    path = folder / f"{step:08d}.png"
    if not path.exists():
        raise InputError(f"{path}: no such picture; dped_jax.train writes it")
    return step, read_pixels(path, deep=False)


def score_table(scores: dict[str, Any]) -> tuple[str, list[list[str]]]:
    """The caption and the rows, the header first, of the table of what `read_scores` gives."""
    columns = ["input", "enhanced"] if "input" in scores else ["enhanced"]
    rows = [
        [label, *(f"{scores[column][key]:{form}}" for column in columns)]
        for key, (label, form) in SCORES.items()
    ]
    caption = f"Means over {scores['images']:d} images, protocol {scores['protocol']}"
    return caption, [["", *columns], *rows]


def training_curves(metrics: dict[str, charts.Series]) -> dict[str, Figure]:
    """Charts of the losses and of the validation PSNR, from what `read_metrics` gives."""
    others = ("learning_rate", "patches_per_second", "discriminator_accuracy")
    losses = {name: curve for name, curve in metrics["train"].items() if name not in others}
    if len(losses) == 2:
        losses.pop("total", None)  # of a single term
    validation = {"PSNR": metrics["validation"]["psnr"]}
    return {
        "Training losses": charts.line_chart("loss (no unit, log scale)", losses, log=True),
        "Validation patches": charts.line_chart("PSNR (dB)", validation),
    }
