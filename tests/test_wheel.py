"""The wheel: what it holds, and that it works in a fresh environment outside the checkout.

To take seconds instead of gigabytes, that environment gets the wheel alone and sees the packages of
the interpreter that runs the tests. So it shows what the wheel lacks; that the wheel asks for what
requirements.txt says is compared.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from email.parser import Parser

import cv2
import numpy as np
import pytest
import tiny
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dped_jax

LIBRARY = """
import cv2, dped_jax
enhancer = dped_jax.load_enhancer("model")
cv2.imwrite("by_library.png", enhancer(cv2.imread("photos/0.png")[..., ::-1])[..., ::-1])
assert "outside" in dped_jax.__file__, dped_jax.__file__
"""


def build(source: pathlib.Path, kind: str, output: pathlib.Path) -> pathlib.Path:
    """Builds a "wheel" or an "sdist" with the setuptools that is here."""
    program = (
        "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"
    )
    argv = [sys.executable, "-c", program, f"build_{kind}", str(output)]
    result = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (built,) = output.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> pathlib.Path:
    """A copy of what is packaged: building leaves files behind."""
    copy = tmp_path_factory.mktemp("source") / "dped_jax"
    skipped = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "data", "node_modules", "runs"
    )
    shutil.copytree(tiny.ROOT, copy, ignore=skipped)
    return copy


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> pathlib.Path:
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def outside(wheel, tmp_path_factory) -> pathlib.Path:
    """A folder with the fresh environment `env`, and foreign `configs` and `data_builders`."""
    folder = tmp_path_factory.mktemp("outside")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder / "env")})
    pathlib.Path(site, "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", folder / "env", "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", wheel], check=True)
    for name in ("configs", "data_builders"):
        (folder / name).mkdir()
        for file in ("__init__.py", "paper.py"):
            (folder / name / file).write_text("raise RuntimeError('not this project')\n")
    tiny.write_pairs(folder / "pairs", 10)
    shutil.copytree(folder / "pairs" / "phone", folder / "photos")
    return folder


def run(outside: pathlib.Path, *args: str) -> str:
    """What a program of the fresh environment prints."""
    program, *rest = args
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    argv = [outside / "env" / "bin" / program, *rest]
    result = subprocess.run(
        argv, cwd=outside, capture_output=True, text=True, check=False, env=environ
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def model(outside) -> pathlib.Path:
    """A workdir that the installed program has trained, on a dataset that it has built."""
    printed = run(
        outside, "dped-jax", "build", "--phone=custom", "--phone_dir=pairs/phone",
        "--dslr_dir=pairs/dslr", "--test_pairs=3", "--validation_pairs=3", "--data_dir=tfds",
    )  # fmt: skip
    assert "custom" in printed
    printed = run(
        outside, "dped-jax", "train", "--workdir=model", "--config.data.data_dir=tfds",
        "--config.data.phone=custom", "--config.generator.num_blocks=1",
        "--config.generator.width=4", "--config.discriminator.width=0.03125",
        "--config.loss.content=0", "--config.train.batch_size=4", "--config.train.num_steps=2",
    )  # fmt: skip
    assert "trained: model" in printed
    return outside / "model"


def test_one_name_at_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "dped_jax",
        f"dped_jax-{dped_jax.__version__}.dist-info",
    }


def test_every_file_of_the_checkout_is_there(wheel):
    """Also the files that are no modules: pages, dummy data, the marker of types."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in {
        "dped_jax": "",
        "configs": "dped_jax/",
        "data_builders": "dped_jax/",
    }.items():
        files = [f for f in (tiny.ROOT / folder).rglob("*") if f.is_file() and f.suffix != ".pyc"]
        assert files
        assert {f"{inside}{f.relative_to(tiny.ROOT)}" for f in files} <= names


def test_metadata(wheel):
    info = f"dped_jax-{dped_jax.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    lines = (tiny.ROOT / "requirements.txt").read_text().splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    wanted = {str(Requirement(line)) for line in lines if line}
    asked = map(Requirement, metadata.get_all("Requires-Dist"))
    assert {str(r) for r in asked if not (r.marker and "extra" in str(r.marker))} == wanted
    assert canonicalize_name(metadata["Name"]) == "dped-jax"
    assert metadata["Version"] == dped_jax.__version__
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    sdist = build(source, "sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    rebuilt = zipfile.ZipFile(build(unpacked, "wheel", tmp_path))
    original = zipfile.ZipFile(wheel)
    record = f"dped_jax-{dped_jax.__version__}.dist-info/RECORD"
    assert sorted(rebuilt.namelist()) == sorted(original.namelist())
    for name in set(original.namelist()) - {record}:  # the record's lines may change places
        assert rebuilt.read(name) == original.read(name), name
    assert (unpacked / "tests" / "test_wheel.py").exists()


def test_version_and_help_come_at_once(outside):
    assert run(outside, "dped-jax", "--version") == f"dped-jax {dped_jax.__version__}\n"

    def seconds() -> float:
        start = time.perf_counter()
        assert "experiments table" in run(outside, "dped-jax", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 1


def test_configs_are_the_wheels(outside):
    program = (
        "from dped_jax import config_files; from dped_jax.configs import small;"
        "file = config_files.find('configs/small.py');"
        "assert config_files.load(file).to_json() == small.get_config().to_json(); print(file)"
    )
    found = run(outside, "python", "-c", program).strip()
    assert found.startswith(str(outside / "env"))
    assert found.endswith("site-packages/dped_jax/configs/small.py")


def test_the_default_config_is_the_wheels_paper(model):
    config = json.loads((model / "config.json").read_text())
    assert config["train"]["num_steps"] == 2
    assert config["loss"]["blur_amplitude"] == 0.053


def test_evaluate(model):
    outside = model.parent
    run(outside, "dped-jax", "evaluate", "--workdir=model", "--json=scores.json")
    scores = json.loads((outside / "scores.json").read_text())
    assert scores["images"] == 3
    assert np.isfinite(scores["enhanced"]["psnr"])


def test_the_library_in_three_lines_gives_what_the_command_writes(model):
    outside = model.parent
    run(outside, "dped-jax", "enhance", "--workdir=model", "--input=photos", "--output=enhanced")
    assert {f.name for f in (outside / "enhanced").iterdir()} == {f"{i}.png" for i in range(10)}
    run(outside, "python", "-c", LIBRARY)
    written = cv2.imread(str(outside / "enhanced" / "0.png"))
    assert (cv2.imread(str(outside / "by_library.png")) == written).all()
    assert written.std() > 0


def test_study(outside):
    study = {
        "title": "Which is better?",
        "groups": [{"name": "phone", "classes": {"phone": "pairs/phone", "DSLR": "pairs/dslr"}}],
    }
    (outside / "study.yaml").write_text(yaml.safe_dump(study))
    printed = run(outside, "dped-jax", "study", "check", "--study=study.yaml")
    assert "phone: 10 questions on DSLR, phone" in printed


@pytest.mark.parametrize("command", ["prepare", "simulate", "experiments table", "convert"])
def test_other_commands_start(outside, command):
    argv = [outside / "env" / "bin" / "dped-jax", *command.split(), "--help"]
    result = subprocess.run(argv, cwd=outside, capture_output=True, text=True, check=False)
    assert "flags:" in result.stdout, result.stderr  # absl ends --help with exit code 1
