"""Reads the real patches of ../shared/data."""

import pathlib
from collections.abc import Iterable

import cv2
import numpy as np


def read_patches(folder: pathlib.Path, numbers: Iterable[int], suffix: str = ".jpg") -> np.ndarray:
    """(N, 100, 100, 3) uint8 RGB."""
    return np.stack([cv2.imread(str(folder / f"{n}{suffix}"))[..., ::-1] for n in numbers])
