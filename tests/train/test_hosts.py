"""Several processes: started with different things, not found, lost. Each ends with a line."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import tiny
from fake_devices import xla_flags
from flax.traverse_util import flatten_dict

from dped_jax import checkpoint
from dped_jax.cli import InputError
from dped_jax.train import hosts

SECONDS = 60  # of --peer_seconds and --connect_seconds
SLACK = 60  # for starting and ending a process on a machine that others use too


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(config, workdir, port, index, devices=2):
    fields = flatten_dict(config.to_dict(), sep=".")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "dped_jax.train", "--config=configs/paper.py"),
            *(f"--config.{name}={value}" for name, value in fields.items()),
            *(f"--workdir={workdir}", f"--coordinator=localhost:{port}"),
            *("--num_processes=2", f"--process_id={index}"),
            *(f"--peer_seconds={SECONDS}", f"--connect_seconds={SECONDS}"),
        ],
        cwd=tiny.ROOT,
        env=os.environ | {"XLA_FLAGS": xla_flags(devices)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, seconds=300) -> tuple[int, str]:
    """The exit code, and the lines that tell of an error."""
    errors = process.communicate(timeout=seconds)[1]
    told = ("error: ", "stopped: ", "interrupted: ")
    lines = [line for line in errors.splitlines() if line.startswith(told)]
    assert len(lines) == 1, errors
    return process.returncode, lines[0]


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def long_config(tiny_config):
    """Of a run that does not end by itself."""
    tiny_config.train.num_steps = 100_000
    tiny_config.train.eval_every_steps = 100_000
    tiny_config.train.checkpoint_every_steps = 5
    tiny_config.train.log_every_steps = 5
    return tiny_config


@pytest.fixture
def running(long_config, tmp_path):
    """Two processes that have saved a checkpoint."""
    port = free_port()
    processes = [start(long_config, tmp_path / "w", port, i) for i in range(2)]
    wait_for(lambda: checkpoint.list_steps(tmp_path / "w") or processes[0].poll() is not None)
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_flags_that_do_not_fit():
    for flags, match in (
        ((None, 2, 0), "need --coordinator=HOST:PORT"),
        (("localhost", 2, 0), "--coordinator=localhost: write HOST:PORT of process 0"),
        (("localhost:1", None, 0), "needs --num_processes and --process_id"),
        (("localhost:1", 2, 2), "--process_id=2: use 0 to 1"),
    ):
        with (
            pytest.raises(InputError, match=match),
            hosts.joined(*flags, connect_seconds=5, peer_seconds=5),
        ):
            pass


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_finds_nobody(tiny_config, tmp_path, index):
    begun = time.monotonic()
    code, line = ended(start(tiny_config, tmp_path / "w", free_port(), index))
    assert code == 75
    assert (
        f"process {index} of 2 has not found the others within --connect_seconds={SECONDS}" in line
    )
    assert time.monotonic() - begun < SECONDS + SLACK
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("difference", ["config", "devices"])
def test_processes_that_were_started_with_other_things(tiny_config, tmp_path, difference):
    port = free_port()
    first = start(tiny_config, tmp_path / "w", port, 0)
    if difference == "config":
        tiny_config.train.learning_rate = 5e-3
    second = start(
        tiny_config, tmp_path / "w", port, 1, devices=4 if difference == "devices" else 2
    )
    words = {
        "config": "config.train.learning_rate (0.0005 on process 0, 0.005 on process 1)",
        "devices": "devices ('2 x cpu' on process 0, '4 x cpu' on process 1)",
    }[difference]
    for process in (first, second):
        code, line = ended(process)
        assert code in (1, 75)
        assert words in line
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("number", "index"), [(signal.SIGKILL, 1), (signal.SIGSTOP, 0), (signal.SIGSTOP, 1)]
)
def test_a_process_that_is_lost(running, long_config, tmp_path, number, index):
    running[index].send_signal(number)
    begun = time.monotonic()
    code, line = ended(running[1 - index])
    assert time.monotonic() - begun < 2 * SECONDS + SLACK
    assert code in (1, 75)
    assert f"process {index} has " in line
    step = checkpoint.list_steps(tmp_path / "w")[-1]
    checkpoint.restore(tmp_path / "w", step, ["generator", "training"])


def test_process_0_is_killed(running, tmp_path):
    """The runtime, whose service went with it, ends the other with a message of its own."""
    running[0].kill()
    errors = running[1].communicate(timeout=2 * SECONDS + SLACK)[1]
    assert running[1].returncode != 0
    assert "another task died" in errors or "process 0 has " in errors
    step = checkpoint.list_steps(tmp_path / "w")[-1]
    checkpoint.restore(tmp_path / "w", step, ["generator", "training"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_both_at_the_same_step(running, tmp_path, number):
    running[1].send_signal(number)
    codes, lines = zip(*map(ended, running), strict=True)
    assert codes == (75, 75)
    step = checkpoint.list_steps(tmp_path / "w")[-1]
    assert all(f": step {step} of 100000 is saved in" in line for line in lines), lines
