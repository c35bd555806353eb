"""Folders of simulated photos for the tests of `prepare`, and what it makes of them."""

import csv
import functools
import pathlib

import cv2
import numpy as np
import skimage.data

from data_builders.dped.prepare import folders
from data_builders.dped.simulate import viewpoints

NAMES = {f"s{i}": i for i in range(5)}  # of most tests: names and seeds of their photos
STANCE = viewpoints.Stance(rotation=3.0, perspective=0.05, step=(1.0, 1.1))


@functools.cache
def simulated_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two shots, (H, W, 3) uint8, of a part of a photograph; another part for each seed to 7."""
    photographs = skimage.data.astronaut(), skimage.data.stereo_motorcycle()[0]
    photograph = photographs[seed % 2]
    y, x = seed // 2 % 2 * (photograph.shape[0] - 360), seed // 4 * (photograph.shape[1] - 400)
    part = np.ascontiguousarray(photograph[y : y + 360, x : x + 400])
    rng = np.random.default_rng(seed)
    shots = [viewpoints.frame_shot((400, 360), STANCE, 0.0, rng) for _ in range(2)]
    phone, dslr = (viewpoints.take_shot(part, shot) for shot in shots)
    return np.uint8(0.8 * phone), dslr


def write_photo(file: pathlib.Path, photo: np.ndarray) -> None:
    """Writes RGB, gray or RGBA in the format of the suffix."""
    if photo.ndim == 3:
        order = [2, 1, 0, 3][: photo.shape[2]]
        photo = photo[..., order]
    assert cv2.imwrite(str(file), photo)


def write_folders(root: pathlib.Path, names: dict[str, int]) -> None:
    """`root/phone` and `root/dslr` with NAME.png for each name, from the seed it is given."""
    for camera in ("phone", "dslr"):
        (root / camera).mkdir(parents=True, exist_ok=True)
    for name, seed in names.items():
        phone, dslr = simulated_pair(seed)
        write_photo(root / "phone" / f"{name}.png", phone)
        write_photo(root / "dslr" / f"{name}.png", dslr)


def run_all(function, tasks, doing):
    """Calls a function for all tasks in this process."""
    del doing
    for task in tasks:
        function(task)


def prepare_here(root: pathlib.Path, output: pathlib.Path, **kwargs) -> folders.Result:
    """Runs in this process."""
    flags = {"phone_dir": f"{root}/phone", "dslr_dir": f"{root}/dslr"}
    return folders.prepare(**flags, output_dir=str(output), **{"run": run_all} | kwargs)


def arguments(root: pathlib.Path, output: pathlib.Path) -> list[str]:
    """The flags that name folders."""
    return [f"--phone_dir={root}/phone", f"--dslr_dir={root}/dslr", f"--output_dir={output}"]


def manifest(output: pathlib.Path, phone: str = "custom") -> list[dict[str, str]]:
    """Rows of a manifest."""
    with (output / phone / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reasons(rows: list[dict[str, str]]) -> dict[str, str]:
    """Why photos were rejected, by name."""
    return {row["photo"]: row["reason"] for row in rows if row["status"] == "rejected"}
