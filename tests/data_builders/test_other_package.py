"""data_builders works below another package, as an installed `dped_jax` has it."""

import pathlib
import shutil
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from generated_patches import ROOT

IMPORT_ALL = """
import importlib, importlib.util, pkgutil
from other.data_builders import dped
assert importlib.util.find_spec("data_builders") is None
for module in pkgutil.walk_packages(dped.__path__, dped.__name__ + "."):
    if not module.name.endswith(".__main__"):  # commands define the same flags
        importlib.import_module(module.name)
    print(module.name)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> pathlib.Path:
    """A folder that has `other/data_builders`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "data_builders", folder / "other/data_builders", ignore=skip)
    shutil.copytree(ROOT / "dped_jax/base", folder / "dped_jax/base", ignore=skip)
    (folder / "other/__init__.py").touch()
    return folder


def run_there(folder: pathlib.Path, *args: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, *args]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_every_module_can_be_imported(elsewhere):
    done = run_there(elsewhere, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    files = (elsewhere / "other/data_builders/dped").rglob("*.py")
    names = [".".join(file.relative_to(elsewhere).with_suffix("").parts) for file in files]
    expected = {name.removesuffix(".__init__") for name in names}
    assert set(done.stdout.split()) == expected - {"other.data_builders.dped"}


def test_commands_name_each_other_as_they_are_called_there(elsewhere):
    program = "from other.data_builders.dped import layout; print(layout.command_line('build'))"
    done = run_there(elsewhere, "-c", program)
    assert done.stdout == "python -m other.data_builders.dped.build\n", done.stderr


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("simulate", ["--output_dir=."], "--output_dir=.: is already there"),
        (
            "prepare",
            ["--phone_dir=/no/photos", "--dslr_dir=.", "--output_dir=out"],
            "/no/photos: no such folder",
        ),
    ],
)
def test_commands_start(elsewhere, command, flags, message):
    done = run_there(elsewhere, "-m", f"other.data_builders.dped.{command}", *flags)
    assert (done.returncode, done.stderr.startswith(f"error: {message}")) == (1, True), done.stderr


def test_a_dataset_is_built_with_its_description(elsewhere, tmp_path):
    flags = ("--manual_dir=other/data_builders/dped/dummy_data", f"--data_dir={tmp_path}")
    done = run_there(elsewhere, "-m", "other.data_builders.dped.build", *flags)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "dped/iphone").iterdir()
    info = tfds.builder_from_directory(folder).info
    assert info.splits["train"].num_examples == 2
    assert "ICCV" in info.citation
