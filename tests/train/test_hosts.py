"""Several processes: started with different things, not found, lost. Each ends with a line.

What is lost is mostly a process that does nothing but meet the other again and again; the waiting
of all cases is done at the same time.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from fake_devices import xla_flags
from flax.traverse_util import flatten_dict

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.train import hosts
from dped_jax.train.loop import train

MEETING_SECONDS, TRAINING_SECONDS = 10, 20  # of --peer_seconds, for who has little and much to do
SLACK = 120  # for starting and ending processes on a machine that others use too
MEETING = """
import jax
import numpy as np
from dped_jax.base import command
from dped_jax.train import hosts

def main(argv):
    seconds = {{"connect_seconds": 300, "peer_seconds": {seconds}}}
    with hosts.joined("localhost:{port}", 2, {index}, **seconds):
        meet = jax.pmap(lambda x: jax.lax.psum(x @ x, "all"), axis_name="all")
        for count in range(10**9):
            jax.block_until_ready(meet(np.ones((1, 300, 300))))
            if count == 0:
                print("met", flush=True)

command.run(main)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def launch(argv, **environment):
    return subprocess.Popen(
        [sys.executable, *argv],
        cwd=tiny.ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(config, workdir, port, index, *flags, devices=2):
    fields = flatten_dict(config.to_dict(), sep=".")
    argv = [
        *("-m", "dped_jax.train", "--config=configs/paper.py"),
        *(f"--config.{name}={value}" for name, value in fields.items()),
        *(f"--workdir={workdir}", f"--coordinator=localhost:{port}"),
        *("--num_processes=2", f"--process_id={index}", *flags),
    ]
    return launch(argv, XLA_FLAGS=xla_flags(devices))


def ended(process, seconds=300) -> tuple[int, str]:
    """The exit code, and the line that tells of an error."""
    errors = process.communicate(timeout=seconds)[1]
    told = ("error: ", "stopped: ", "interrupted: ")
    lines = [line for line in errors.splitlines() if line.startswith(told)]
    assert len(lines) == 1, errors
    return process.returncode, lines[0]


def end(*processes) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=600):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


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


def test_processes_that_find_nobody(tiny_config, tmp_path):
    begun = time.monotonic()
    processes = [
        start(tiny_config, tmp_path / str(index), free_port(), index, "--connect_seconds=3")
        for index in (0, 1)
    ]
    for index, process in enumerate(processes):
        code, line = ended(process)
        assert code == 75
        assert f"process {index} of 2 has not found the others within --connect_seconds=3;" in line
        assert not (tmp_path / str(index)).exists()
    assert time.monotonic() - begun < 3 + SLACK


def test_processes_that_were_started_with_other_things(tiny_config, tmp_path):
    port = free_port()
    first = start(tiny_config, tmp_path / "w", port, 0)
    tiny_config.train.learning_rate = 5e-3
    second = start(tiny_config, tmp_path / "w", port, 1, devices=4)
    for process in (first, second):
        code, line = ended(process)
        assert code in (1, 75)
        assert "config.train.learning_rate (0.0005 on process 0, 0.005 on process 1)" in line
        assert "devices ('2 x cpu' on process 0, '4 x cpu' on process 1)" in line
    assert not (tmp_path / "w").exists()


LOST = [(signal.SIGKILL, 0), (signal.SIGKILL, 1), (signal.SIGSTOP, 0), (signal.SIGSTOP, 1)]


@pytest.fixture(scope="module")
def meeting():
    """By signal and process that got it: both processes, and when. All pairs wait together."""
    pairs = {}
    for case in LOST:
        port = free_port()
        pairs[case] = [
            launch(
                ["-c", MEETING.format(port=port, index=i, seconds=MEETING_SECONDS)],
                XLA_FLAGS=xla_flags(1),
            )
            for i in (0, 1)
        ]
    for (number, index), processes in pairs.items():
        for process in processes:
            assert "met\n" in iter(process.stdout.readline, "")  # after lines of gloo
        processes[index].send_signal(number)
    yield pairs, time.monotonic()
    end(*(process for processes in pairs.values() for process in processes))


@pytest.mark.parametrize(("number", "index"), LOST)
def test_a_process_that_is_lost(meeting, number, index):
    pairs, begun = meeting
    other = pairs[number, index][1 - index]
    if (number, index) == (signal.SIGKILL, 0):  # the runtime's service went with it
        errors = other.communicate(timeout=2 * MEETING_SECONDS + SLACK)[1]
        assert other.returncode != 0
        assert "another task died" in errors or "process 0 has " in errors
    else:
        code, line = ended(other)
        assert code == 75
        assert f"process {index} has " in line
        assert f"--peer_seconds={MEETING_SECONDS}; start all processes again" in line
    assert time.monotonic() - begun < 2 * MEETING_SECONDS + SLACK


@pytest.fixture
def pair(tiny_config, tmp_path):
    """Starts two processes of a run that does not end by itself; waits for its next checkpoint."""
    tiny_config.train.update({"num_steps": 100_000, "eval_every_steps": 100_000})
    tiny_config.train.update({"checkpoint_every_steps": 5, "keep_checkpoints": 2})
    tiny_config.loss.texture = 0.0  # without a discriminator, programs compile in a third of it
    started = []

    def newest():
        return max(checkpoint.list_steps(tmp_path / "w"), default=0)

    def running(*flags):
        port, before = free_port(), newest()
        processes = [start(tiny_config, tmp_path / "w", port, i, *flags) for i in (0, 1)]
        started.extend(processes)
        wait_for(lambda: newest() > before or None not in [p.poll() for p in processes])
        assert newest() > before, processes[0].communicate()[1]
        return processes

    yield running
    end(*started)


# From one state, other devices sum up other parts of the batch first. The longest sums, of the
# statistics that norms take and of the losses, are over its 4 * 100 * 100 * 3 values; each addition
# rounds up or down at random by at most half an epsilon: three standard deviations of that walk.
# Losses of squares have twice the relative error. Of the first step only: after it, Adam makes a
# whole step of a gradient that is next to nothing, whichever sign rounding has given to it.
ROUNDING = 2 * 3 * np.sqrt(4 * 100 * 100 * 3) * np.finfo(np.float32).eps / 2


def position(workdir, step) -> dict:
    """Where in the data a checkpoint is."""
    return checkpoint.restore(workdir, step, [])["meta"]["data_state"]["batches"]


def losses(workdir, step) -> dict[str, float]:
    """What was logged of a step."""
    (line,) = (
        line for line in tiny.logged(workdir) if (line["step"], line["group"]) == (step, "train")
    )
    return {name: line[name] for name in ("total", "color", "tv")}


def test_what_a_signal_and_a_stall_leave_goes_on(pair, tiny_config, tmp_path):
    """With two processes of two devices, as before; with one of four; with one of one."""
    workdir = tmp_path / "w"
    processes = pair()
    processes[1].send_signal(signal.SIGTERM)
    codes, lines = zip(*map(ended, processes), strict=True)
    assert codes == (75, 75)
    before, step = checkpoint.list_steps(workdir)
    assert all(f": step {step} of 100000 is saved in" in line for line in lines), lines

    copies = {num: shutil.copytree(workdir, tmp_path / str(num)) for num in (4, 1)}
    processes = pair(f"--peer_seconds={TRAINING_SECONDS}")
    processes[1].send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    code, line = ended(processes[0])
    assert time.monotonic() - begun < 2 * TRAINING_SECONDS + SLACK
    assert code == 75
    assert f"process 1 has given no sign of life for --peer_seconds={TRAINING_SECONDS};" in line
    left = checkpoint.list_steps(workdir)[-1]
    checkpoint.restore(workdir, left, ["generator", "training"])
    assert left > step

    tiny_config.train.num_steps = step
    for num_devices, again in copies.items():
        expected = position(again, step), losses(again, before + 1)
        shutil.rmtree(again / "checkpoints" / str(step))
        train(tiny_config, again, num_devices)
        assert position(again, step) == expected[0]
        assert losses(again, before + 1) == pytest.approx(expected[1], rel=ROUNDING)
