"""Generated patches, folders of them, and the commands run as a user runs them."""

import functools
import hashlib
import pathlib
import subprocess
import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from generated_patches import ROOT, encode_patch

from data_builders.dped.prepare import alignment, homography


@pytest.fixture
def make_folder() -> Callable[..., pathlib.Path]:
    """Writes a folder of patches with the stems given."""

    def make(folder: pathlib.Path, stems, *, seed: int = 0, suffix: str = ".jpg") -> pathlib.Path:
        folder.mkdir(parents=True)
        for stem in stems:
            number = int("".join(filter(str.isdigit, str(stem))))
            (folder / f"{stem}{suffix}").write_bytes(encode_patch(seed + number, suffix=suffix))
        return folder

    return make


@pytest.fixture
def make_archive(make_folder) -> Callable[..., pathlib.Path]:
    """Writes the published layout of one phone; returns the manual directory."""

    def make(root: pathlib.Path, *, train: int = 12, test: int = 3) -> pathlib.Path:
        for folder, count, seed in (("training_data", train, 0), ("test_data/patches", test, 5000)):
            make_folder(root / "iphone" / folder / "iphone", range(count), seed=seed)
            make_folder(root / "iphone" / folder / "canon", range(count), seed=seed + 1000)
        return root

    return make


@pytest.fixture
def make_manifest() -> Callable[..., pathlib.Path]:
    """Writes the manifest that `prepare` writes, in a phone's folder: 5 patches to a photo."""

    def make(root: pathlib.Path, **patches: int) -> pathlib.Path:
        lines = ["photo,scene,split,status,patch,x,y,correlation,shift_x,shift_y,angle,reason"]
        for split, count in patches.items():
            for i in range(count):
                correlation = "" if i == 1 else f"0.9{i:04}"
                kept = (
                    f"{split}{i // 5},s{i // 5},{split},kept,{i},100,0,{correlation},0.25,-1,0.5,"
                )
                lines.append(kept)
        lines.append('dark,s9,train,rejected,,,,,,,,"3 matches, too few"')
        file = root / "manifest.csv"
        file.write_text("\r\n".join([*lines, ""]), encoding="utf-8", newline="")
        return file

    return make


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command of data_builders.dped in a process of its own.

    Writes of files beyond `max_file_bytes` fail, as on a full disk. The limit is set by prlimit and
    not between fork and exec, since JAX, which may be running in this process, warns of forks.
    """

    def run(
        command: str, *args: str, max_file_bytes: int | None = None, **kwargs
    ) -> subprocess.CompletedProcess:
        argv = [sys.executable, "-m", f"data_builders.dped.{command}", *args]
        if max_file_bytes is not None:
            argv = ["prlimit", f"--fsize={max_file_bytes}", *argv]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, **kwargs)

    return run


@pytest.fixture(scope="session")
def matches_kept():
    """Keeps the keypoints and matches of photos, which cost seconds a pair, for other tests."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((homography, "find_keypoints"), (alignment, "match_keypoints")):
            patch.setattr(module, name, with_results_kept(getattr(module, name)))
        yield


def with_results_kept(function):
    """The function of photos and numbers, which gives again what it gave for the same ones."""
    results = {}

    @functools.wraps(function)
    def keeping(*arguments):
        constants = homography.CONTRASTS, homography.DETECTION_PIXELS  # which tests change
        contents = (hashlib.sha256(np.ascontiguousarray(each)).digest() for each in arguments)
        key = constants, *map(np.shape, arguments), *contents
        if key not in results:
            results[key] = function(*arguments)
        return results[key]

    return keeping


@pytest.fixture(scope="session")
def city100(shared_data, matches_kept) -> list[tuple[np.ndarray, np.ndarray]]:
    """16 real photo pairs of a phone and a DSLR camera, not aligned, each (H, W, 3) uint8 RGB."""
    folder = shared_data / "city100"
    stems = sorted(file.stem for file in (folder / "phone").iterdir())
    read = functools.partial(cv2.imread, flags=cv2.IMREAD_COLOR_RGB)
    return [tuple(read(str(folder / c / f"{s}.png")) for c in ("phone", "dslr")) for s in stems]


@pytest.fixture(scope="session")
def aligned_city100(city100) -> list[alignment.Alignment]:
    """The same, aligned."""
    return [alignment.align_pair(phone, dslr) for phone, dslr in city100]
