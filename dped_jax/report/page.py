"""What the page of dped_jax.report is made of."""

import dataclasses
import json
import os
import pathlib
from html import escape
from typing import Any

import numpy as np

from dped_jax.base.errors import InputError
from dped_jax.base.folders import matching_pictures, pictures_by_stem, some
from dped_jax.base.pictures import read_pixels
from dped_jax.evaluate.scores import SCORES
from dped_jax.pages import sheets, web_page
from dped_jax.pages.web_page import Series
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


def photograph(photo: Shown) -> str:
    """A slider between before and after; above it, where there is a target, all three."""
    slider = web_page.comparison(photo.name, photo.before, photo.after)
    if photo.target is None:
        return slider
    pictures = [photo.before, photo.after, photo.target]
    cells = [sheets.fit(image, TARGET_SIDE, TARGET_SIDE) for image in pictures]
    sheet = sheets.grid(["before", "enhanced", "target"], [("", cells)])
    caption = f"{photo.name}: before, enhanced, and the DSLR's photograph, from where that stood"
    alt = f"{photo.name}: before, enhanced, target"
    return web_page.picture(caption, alt, sheet, "jpeg", scroll=True) + slider


def own_photographs(page: str | None, output: str) -> dict[str, str]:
    """A section that leads from the report to the page that `make web` built, if there is one."""
    if not page or not (pathlib.Path(page) / "index.html").is_file():
        return {}
    folder = pathlib.Path(output).resolve().parent
    address = pathlib.PurePath(os.path.relpath(page, folder)).as_posix() + "/"
    return {
        "Your own photographs": "<p>This model enhances them in the browser, without uploading "
        f'them: <a href="{escape(address)}">open the page</a>. It has to be served: run '
        f"<code>python3 -m http.server --directory {escape(str(folder))}</code> and look at this "
        "report from there.</p>"
    }


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
<figcaption>Validation patches at step {step}, the best by validation PSNR.</figcaption></figure>
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
