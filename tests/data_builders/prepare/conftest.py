"""Five pairs of photos, and what the command makes of them."""

import pathlib
import subprocess
import sys

import pytest
from generated_patches import ROOT
from photo_folders import NAMES, arguments, write_folders


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("photos")
    write_folders(root, NAMES)
    return root


@pytest.fixture(scope="session")
def prepared(photos, tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess]:
    output = tmp_path_factory.mktemp("prepared") / "out"
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *arguments(photos, output)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return output, done
