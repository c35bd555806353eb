"""How commands end on signals, and what they leave of files."""

import os
import signal
import subprocess
import sys

import pytest
import tiny

from dped_jax.base import command
from dped_jax.base.files import write_atomically

HANDLER = "import signal, dped_jax; " + (
    "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
)
FLAGS = {
    "train": ["--config.vgg.weights=~/none.mat"],
    "enhance": ["--input=~/a.jpg", "--output=~/b.jpg"],
    "export": ["--output=~/b.onnx", "--format=onnx"],
    "convert": ["--checkpoint=~/none"],
    "report": ["--before=~/a", "--after=~/b", "--scores=~/c", "--output=~/d"],
}
WAITS = """
import pathlib, time
from dped_jax.base import command, files
def main(argv):
    try:
        print("café \\udce9 started", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
command.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_one_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS],
        cwd=tiny.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "café \\udce9 started\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (out, err) == ("tidied up\n", "interrupted: start the same command again\n")
    assert process.returncode == 128 + number


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out.partial").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "out", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--input=~/x", "--input=/home/me/x"),
        ("--input=~", "--input=/home/me"),
        ("--phone_dir=iphone=~/a,sony=~/b", "--phone_dir=iphone=/home/me/a,sony=/home/me/b"),
        ("--config.data.data_dir=~/tfds", "--config.data.data_dir=/home/me/tfds"),
        ("--input=a~/x", "--input=a~/x"),
        ("--input=/tmp/~x", "--input=/tmp/~x"),
        ("~/x", "~/x"),
    ],
)
def test_the_home_folder_in_flags(monkeypatch, word, expected):
    monkeypatch.setenv("HOME", "/home/me")
    assert command.expand_home(word) == expected


@pytest.mark.parametrize("name", ["train", "enhance", "evaluate", "export", "convert", "report"])
def test_every_command_takes_the_home_folder(tmp_path, name):
    """It is looked for there, and nothing named ~ is made here."""
    done = subprocess.run(
        [sys.executable, "-m", f"dped_jax.{name}", "--workdir=~/none", *FLAGS.get(name, ())],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"HOME": "/home/me", "PYTHONPATH": str(tiny.ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "/home/me/" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_commands_define_flags_only_when_they_run():
    modules = "data_builders.dped.build, data_builders.dped.prepare.__main__"
    program = f"import {modules}, dped_jax.enhance.__main__, dped_jax.evaluate.__main__"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tiny.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "is_ours"), [("dped_jax_other", False), ("dped_jax.ours", True)])
def test_only_our_commands_get_signal_handlers(tmp_path, name, is_ours):
    """A program of another name, which imports the package, keeps Python's own."""
    (tmp_path / "dped_jax_other.py").write_text(HANDLER)
    (tmp_path / "dped_jax").mkdir()
    (tmp_path / "dped_jax/__init__.py").write_text((tiny.ROOT / "dped_jax/__init__.py").read_text())
    (tmp_path / "dped_jax/ours.py").write_text(HANDLER)
    (tmp_path / "dped_jax/base").symlink_to(tiny.ROOT / "dped_jax/base")
    done = subprocess.run(
        [sys.executable, "-m", name], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(not is_ours)
