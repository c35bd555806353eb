"""Signals: the step that was reached is saved, and the same command goes on, bitwise."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from dped_jax import checkpoint
from dped_jax.base.errors import InputError, StoppedError
from dped_jax.train import loop, resume, saved_state, stop
from dped_jax.train.loop import train


def arrays(workdir, step) -> dict:
    restored = checkpoint.restore(workdir, step, ["generator", "training"])
    parts = {item: restored[item] for item in ("generator", "training")}
    return flatten_dict(parts, sep="/")


def assert_same(one, other, step):
    expected, found = arrays(one, step), arrays(other, step)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert tiny.logged(one) == tiny.logged(other)


def six_steps(data_dir):
    """A configuration of the generator alone, which starts in a third of the time."""
    config = tiny.tiny_config(data_dir)
    config.loss.texture = 0.0
    config.train.update({"num_steps": 6, "log_every_steps": 3})
    config.train.update({"eval_every_steps": 3, "checkpoint_every_steps": 3})
    return config


@pytest.fixture
def config(tiny_data):
    return six_steps(tiny_data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_data):
    """An undisturbed run of the same configuration."""
    workdir = tmp_path_factory.mktemp("whole") / "w"
    train(six_steps(tiny_data), workdir)
    return workdir


def send_at(monkeypatch, module, name, call: int, number=signal.SIGTERM) -> None:
    """Sends this process a signal in a call of a function, after it."""
    original, calls = getattr(module, name), 0

    def sending(*args, **kwargs):
        nonlocal calls
        calls += 1
        result = original(*args, **kwargs)
        if calls == call:
            os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(module, name, sending)


@pytest.mark.parametrize("call", [1, 2, 4, 5])
def test_between_steps(config, whole, tmp_path, monkeypatch, call):
    number = signal.SIGTERM if call % 2 else signal.SIGINT
    with monkeypatch.context() as patch:
        send_at(patch, stop.StopNotice, "reached", call, number)
        match = rf"{signal.Signals(number).name}: step {call + 1} of 6 is saved in .*goes on"
        with pytest.raises(StoppedError, match=match):
            train(config, tmp_path / "w")
    assert checkpoint.list_steps(tmp_path / "w")[-1] == call + 1
    train(config, tmp_path / "w")
    assert_same(whole, tmp_path / "w", 6)


@pytest.mark.parametrize("step", [3, 6])
def test_in_validation(config, whole, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        send_at(patch, loop, "is_evaluated", step // 3)
        with pytest.raises(StoppedError, match=f"step {step} of 6 is saved"):
            train(config, tmp_path / "w")
    assert step not in checkpoint.read_scores(tmp_path / "w")[0]
    train(config, tmp_path / "w")
    assert_same(whole, tmp_path / "w", 6)
    assert checkpoint.read_scores(tmp_path / "w")[0] == checkpoint.read_scores(whole)[0]


def test_while_saving(config, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        send_at(patch, saved_state, "save_state", 1)
        with pytest.raises(StoppedError, match="step 3 of 6 is saved"):
            train(config, tmp_path / "w")
    train(config, tmp_path / "w")
    assert_same(whole, tmp_path / "w", 6)


def test_at_the_end_it_is_done(config, whole, tmp_path, monkeypatch):
    send_at(monkeypatch, saved_state, "save_state", 2)
    train(config, tmp_path / "w")
    assert_same(whole, tmp_path / "w", 6)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with stop.StopNotice() as notice:
        assert not notice.reached(1)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_signal_ends_at_once():
    program = (
        "import os, signal, time; from dped_jax.train.stop import StopNotice\n"
        "with StopNotice():\n"
        "    print('listening', flush=True)\n"
        "    while True: time.sleep(0.1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tiny.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "listening\n"
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == ("SIGTERM: saving at the next step; again to end at once\n")
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    process.stdout.close()
    process.stderr.close()


def test_a_second_training_in_a_workdir_is_refused(config, tmp_path, monkeypatch):
    with resume.alone(tmp_path / "w"):
        with pytest.raises(InputError, match=rf"--workdir=.*: in use by process {os.getpid()} on"):
            train(config, tmp_path / "w")
        assert [path.name for path in (tmp_path / "w").iterdir()] == ["lock"]
    assert not (tmp_path / "w").exists()


def test_what_is_not_finite_is_left_for_inspection(config, tmp_path):
    config.loss.texture = 1.0
    config.train.learning_rate = 1e25
    config.train.checkpoint_every_steps = 1
    with pytest.raises(InputError, match=r"step \d: .* not finite; .*w/not_finite.json") as error:
        train(config, tmp_path / "w")
    told = json.loads((tmp_path / "w/not_finite.json").read_text())
    assert str(error.value).startswith(f"step {told['step']}: {', '.join(told['not_finite'])} not")
    assert len(told["pairs"]) == 4
    assert all(0 <= int(name) < 14 for name in told["pairs"])
    assert told["checkpoint"] in (None, *checkpoint.list_steps(tmp_path / "w"))
