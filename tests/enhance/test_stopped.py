"""Names, pages and signals: what a folder of photographs goes through."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import pyvips
import tiny
from PIL import Image

from dped_jax.base import pictures, writing
from dped_jax.base.pictures import Picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "w", *tiny.random_generator())


def picture(path, height=20, width=30):
    rng = np.random.default_rng(0)
    writing.write(path, Picture(rng.integers(0, 255, (height, width, 3), np.uint8)))


def flags(model, source, target) -> list[str]:
    return [f"--workdir={model}", f"--input={source}", f"--output={target}", "--skip_existing"]


def test_a_name_that_is_not_utf8(model, tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in/a.png")
    os.rename(tmp_path / "in/a.png", os.fsencode(tmp_path) + b"/in/caf\xe9.png")
    picture(tmp_path / "in/b.png")
    result = tiny.command("dped_jax.enhance", *flags(model, tmp_path / "in", tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"caf\udce9.png", "b.png"}


def test_pages_that_are_left_out_are_told(model, tmp_path):
    (tmp_path / "in").mkdir()
    frames = [Image.fromarray(np.full((20, 20, 3), level, np.uint8)) for level in (50, 150, 250)]
    for name in ("a.tif", "b.webp"):
        frames[0].save(tmp_path / "in" / name, save_all=True, append_images=frames[1:])
    result = tiny.command("dped_jax.enhance", *flags(model, tmp_path / "in", tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    for name, what in (("a.tif", "has 3 pages; the first"), ("b.webp", "is animated; its first")):
        assert f"in/{name}: {what}" in result.stderr
        assert pictures.size(tmp_path / "out" / name) == (20, 20)


def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(model, tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png", 4000, 4000)
    picture(tmp_path / "in/c.png")
    argv = flags(model, tmp_path / "in", tmp_path / "out")
    process = subprocess.Popen(
        [sys.executable, "-m", "dped_jax.enhance", *argv],
        cwd=tiny.ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not (tmp_path / "out/a.png").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].splitlines()[-1] == (
        "interrupted: start the same command again"
    )
    assert process.returncode == 130
    assert not (tmp_path / "out/b.png").exists()
    assert not list((tmp_path / "out").glob("*.partial"))
    pyvips.Image.black(30, 30, bands=3).write_to_file(str(tmp_path / "in/b.png"))
    result = tiny.command("dped_jax.enhance", *argv)
    assert result.returncode == 0, result.stderr
    assert "enhanced already" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png", "c.png"}
