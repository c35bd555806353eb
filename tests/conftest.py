"""Four CPU devices for all tests, a compilation cache, and the shared real data where present."""

import os
import pathlib

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
import pytest

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real photographs and released models")
    return SHARED_DATA


def read_patches(folder: pathlib.Path, indices, suffix: str = ".jpg") -> np.ndarray:
    """(N, 100, 100, 3) uint8 RGB."""
    return np.stack([cv2.imread(str(folder / f"{i}{suffix}"))[..., ::-1] for i in indices])


@pytest.fixture(scope="session")
def real_pairs(shared_data) -> tuple[np.ndarray, np.ndarray]:
    """The first 8 iPhone / Canon pairs, each (8, 100, 100, 3) uint8."""
    folder = shared_data / "dped_iphone"
    return read_patches(folder / "iphone", range(8)), read_patches(folder / "canon", range(8))
