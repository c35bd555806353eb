"""Signals while a command imports, before anything of it has begun."""

import signal
import subprocess
import sys

import pytest
import tiny

IMPORTS, MODULE = b"import time:", b"numpy"


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("dped_jax.train", signal.SIGINT),
        ("dped_jax.enhance", signal.SIGTERM),
        ("dped_jax.evaluate", signal.SIGINT),
        ("dped_jax.experiments.table", signal.SIGINT),
        ("dped_jax enhance", signal.SIGINT),
        ("dped_jax.study serve", signal.SIGINT),
        ("data_builders.dped.prepare", signal.SIGINT),
        ("data_builders.dped.build", signal.SIGTERM),
    ],
)
def test_a_signal_while_a_command_imports(command, number):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", *command.split()],
        cwd=tiny.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    lines = iter(process.stderr.readline, b"")
    assert any(line.split()[-1] == MODULE for line in lines)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    told = [line for line in err.splitlines() if not line.startswith(IMPORTS)]
    assert (out, told) == (b"", [b"interrupted: start the same command again"])
    assert process.returncode == 128 + number
