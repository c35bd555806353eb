"""Four CPU devices for all tests, a compilation cache, and the shared real data where present."""

import os
import pathlib
import signal

from fake_devices import xla_flags

os.environ["XLA_FLAGS"] = xla_flags(4)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import browser as chromium
import jax
import numpy as np
import pytest
import tiny
from real_images import read_patches

# What is started from here must not ignore Ctrl-C, as what a shell runs in the background does.
signal.signal(signal.SIGINT, signal.default_int_handler)
SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real photographs and released models")
    return SHARED_DATA


@pytest.fixture(scope="session")
def real_pairs(shared_data) -> tuple[np.ndarray, np.ndarray]:
    """The first 8 iPhone / Canon pairs, each (8, 100, 100, 3) uint8."""
    folder = shared_data / "dped_iphone"
    return read_patches(folder / "iphone", range(8)), read_patches(folder / "canon", range(8))


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, started once."""
    with chromium.launched() as started:
        yield started


@pytest.fixture(scope="session")
def made_up_files(tmp_path_factory) -> tuple[pathlib.Path, list]:
    """A folder of one file of each kind that cameras and phones write, and their `Kind`s."""
    import camera_files

    folder, kinds = tmp_path_factory.mktemp("made_up_files"), camera_files.all_kinds()
    for kind in kinds:
        (folder / kind.name).write_bytes(kind.data)
    return folder, kinds


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> pathlib.Path:
    """data_dir of a TFDS dataset `custom`: 14 training, 3 validation and 3 test pairs."""
    root = tmp_path_factory.mktemp("tiny")
    tiny.write_pairs(root / "pairs", 20)
    result = tiny.command(
        "data_builders.dped.build",
        f"--phone_dir={root}/pairs/phone",
        f"--dslr_dir={root}/pairs/dslr",
        "--phone=custom",
        "--test_pairs=3",
        "--validation_pairs=3",
        f"--data_dir={root}/tfds",
    )
    assert result.returncode == 0, result.stderr
    return root / "tfds"


@pytest.fixture
def tiny_config(tiny_data):
    return tiny.tiny_config(tiny_data)


@pytest.fixture(scope="module", autouse=True)
def without_old_programs():
    """Frees what a module's tests have compiled: a process may map 65,530 pieces of memory only.

    A training of `tiny` maps some 500, and past the limit the compiler crashes.
    """
    yield
    jax.clear_caches()
