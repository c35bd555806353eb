"""Whole photographs against their windows: what a network makes of one in one go, and in pieces.

    python -m dped_jax.experiments.photo_statistics --workdir=runs/mobile \
        --phone_dir=patches/custom/aligned/test/phone --dslr_dir=patches/custom/aligned/test/dslr \
        --output_dir=runs/statistics

A network that takes statistics of its whole input is trained on patches, and then meets whole
photographs. Aligned photographs, as from `prepare --keep_aligned`, are enhanced in one go and
window by window, each of 100x100 pixels alone; both results are cut into the same windows and
scored by protocol `pirm`. Writes photos.csv, pictures.png, results.json and report.html.
"""

import pathlib
from typing import Any

import numpy as np
from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.folders import matching_pictures
from dped_jax.base.pictures import read_pixels
from dped_jax.base.progress import progress_bar
from dped_jax.enhance.photo_enhancer import load_enhancer
from dped_jax.evaluate.scores import Enhance, load_enhance, score_batches, summarize
from dped_jax.input_pipeline import PATCH_SIZE
from dped_jax.pages import outputs, sheets, web_page
from dped_jax.pixels import to_integers

TITLE = "Photographs enhanced in one go, and window by window"
COLUMNS = {"phone": "phone", "whole": "in one go", "windows": "window by window", "dslr": "DSLR"}
SCORES = {"psnr": ".2f", "ms_ssim": ".4f", "ssim": ".4f"}
NUM_SHOWN, CELL = 4, 400  # photographs on the sheet, and pixels of their sides there at most


def middle(photo: np.ndarray) -> np.ndarray:
    """The middle of (H, W, 3) that whole windows cover."""
    rows, columns = (
        slice(side % PATCH_SIZE // 2, side % PATCH_SIZE // 2 + side // PATCH_SIZE * PATCH_SIZE)
        for side in photo.shape[:2]
    )
    return photo[rows, columns]


def to_windows(photo: np.ndarray) -> np.ndarray:
    """Cuts (H, W, 3), of sides that windows divide, into (N, 100, 100, 3), row by row."""
    rows, columns = (side // PATCH_SIZE for side in photo.shape[:2])
    cut = photo.reshape(rows, PATCH_SIZE, columns, PATCH_SIZE, 3)
    return cut.swapaxes(1, 2).reshape(-1, PATCH_SIZE, PATCH_SIZE, 3)


def from_windows(windows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_windows`, for a photograph of this shape."""
    rows, columns = (side // PATCH_SIZE for side in shape[:2])
    return windows.reshape(rows, columns, PATCH_SIZE, PATCH_SIZE, 3).swapaxes(1, 2).reshape(shape)


def compare(
    phone: np.ndarray, dslr: np.ndarray, enhancer: Any, enhance: Enhance
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Enhances a photograph in both ways.

    Args:
      phone: (H, W, 3) uint8.
      dslr: the same shape, aligned with it.
      enhancer: from `load_enhancer`.
      enhance: from `load_enhance`, of the same model.

    Returns:
      For "whole", "windows", "phone" and "dslr" the mean "brightness" in [0, 1], and for all but
      the last the scores of its windows; and the middles of the four pictures.
    """
    shown = {"phone": middle(phone), "whole": middle(enhancer(phone)), "dslr": middle(dslr)}
    alone = to_integers(np.asarray(enhance(to_windows(shown["phone"]))))
    shown["windows"] = from_windows(alone, shown["phone"].shape)
    windows = {name: to_windows(picture) for name, picture in shown.items()}
    found: dict[str, Any] = {
        name: {"brightness": float(picture.mean() / 255)} for name, picture in shown.items()
    }
    for name in ("phone", "whole", "windows"):
        batch = {"enhanced": windows[name], "dslr": windows["dslr"]}
        found[name] |= summarize(score_batches(None, [batch])["enhanced"])
    return found, shown


def summarize_photos(photos: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over photographs, and of the brightness in one go minus that window by window.

    The latter, "brighter", has the mean, and the smallest and largest of one photograph.
    """
    means: dict[str, Any] = {
        name: {
            key: float(np.mean([photo[name][key] for photo in photos])) for key in photos[0][name]
        }
        for name in COLUMNS
    }
    brighter = [p["whole"]["brightness"] - p["windows"]["brightness"] for p in photos]
    return means | {"brighter": [float(np.mean(brighter)), min(brighter), max(brighter)]}


def run(workdir: pathlib.Path, folders: dict[str, pathlib.Path], output_dir: pathlib.Path) -> None:
    """Compares all photographs of two folders and writes everything.

    Raises:
      InputError: no such model; see `matching_pictures`; a pair differs in size or is too small.
    """
    pairs = matching_pictures(folders)
    enhancer, (_, enhance, step) = load_enhancer(workdir), load_enhance(workdir)
    photos, rows = [], []
    for paths in progress_bar(pairs, "photographs"):
        phone, dslr = (read_pixels(paths[name], deep=False) for name in ("phone_dir", "dslr_dir"))
        if phone.shape != dslr.shape or min(phone.shape[:2]) < PATCH_SIZE:
            raise InputError(
                f"{paths['phone_dir']} and {paths['dslr_dir']}: need one size of at least "
                f"{PATCH_SIZE} pixels a side; data_builders.dped.prepare --keep_aligned writes such"
            )
        found, shown = compare(phone, dslr, enhancer, enhance)
        photos.append({"name": paths["phone_dir"].stem} | found)
        if len(rows) < NUM_SHOWN:
            cells = [sheets.fit(shown[name], CELL, CELL) for name in COLUMNS]
            rows.append((photos[-1]["name"], cells))
    means = summarize_photos(photos)
    output_dir.mkdir(parents=True, exist_ok=True)
    picture = sheets.grid(list(COLUMNS.values()), rows)
    outputs.write_picture(output_dir / "pictures.png", picture)
    columns = [f"{name}_{key}" for name in COLUMNS for key in ("brightness", *SCORES)]
    lines = (
        {"photo": photo["name"]}
        | {f"{name}_{key}": value for name in COLUMNS for key, value in photo[name].items()}
        for photo in photos
    )
    outputs.write_csv(output_dir / "photos.csv", ["photo", *columns], lines)
    mean, low, high = means["brighter"]
    brighter = "Brightness in one go minus window by window, of 1: "
    brighter += f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
    page = web_page.render(
        "photo_statistics",
        TITLE,
        means=means,
        columns=COLUMNS,
        scores=SCORES,
        num_photos=len(photos),
        window=PATCH_SIZE,
        brighter=brighter,
        sheet=picture,
    )
    results = {"experiment": TITLE, "workdir": str(workdir), "step": step, "means": means}
    outputs.write_report(output_dir, results | {"photos": photos}, page)
    print(f"{brighter}\nreport: {output_dir}/report.html")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    folders = {name: pathlib.Path(getattr(FLAGS, name)) for name in ("phone_dir", "dslr_dir")}
    run(pathlib.Path(FLAGS.workdir), folders, pathlib.Path(FLAGS.output_dir))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train or convert.", required=True)
    flags.DEFINE_string("phone_dir", None, "Aligned photographs of the phone.", required=True)
    flags.DEFINE_string("dslr_dir", None, "Those of the DSLR, of the same names.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    command.run(main)
