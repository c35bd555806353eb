"""How commands end on signals, and what they leave of files."""

import signal
import subprocess
import sys

import pytest
import tiny

from dped_jax import cli

WAITS = """
import pathlib, time
from dped_jax import cli
def main(argv):
    try:
        print("café \\udce9 started", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
cli.run(main)
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
    cli.write_atomically(tmp_path / "out", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"
