"""A generated patch, the files of a folder, and where the repository is."""

import pathlib

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def encode_patch(seed: int, *, suffix: str = ".jpg", size: int = 100) -> bytes:
    """A smooth random patch, (size, size, 3), encoded."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 4, 3)).astype(np.float32)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.imencode(suffix, image.astype(np.uint8))[1].tobytes()


def files_below(folder: pathlib.Path) -> dict[str, bytes]:
    """All files of a folder, by their paths in it."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
