"""`make stress` sees what it is there to see."""

import importlib
import types

import numpy as np
import pytest
import tiny

from dped_jax import checkpoint

# orbax leaves coroutines behind where restoring fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def stress(monkeypatch):
    monkeypatch.syspath_prepend(str(tiny.ROOT / "benchmarks"))
    return importlib.import_module("stress")


STOPPED = "stopped: SIGTERM: step {} of 32 is saved in w; the same command goes on"
INTERRUPTED = "interrupted: start the same command again"


@pytest.mark.parametrize(
    ("how", "is_right"),
    [
        ((75, STOPPED.format(5), 5, 1), True),
        ((75, STOPPED.format(5), 4, 1), True),
        ((75, STOPPED.format(5), 6, 1), False),
        ((75, STOPPED.format(4), 4, 1), False),
        ((75, "", 4, 1), False),
        ((75, "Traceback\n" + STOPPED.format(5), 5, 1), False),
        ((75, STOPPED.format(5), 5, 31), False),
        ((143, INTERRUPTED, 5, 1), True),
        ((143, "", 5, 1), False),
        ((1, "error: no", 5, 1), False),
        ((-15, "", 5, 1), False),
        ((0, "", 5, 1), False),
    ],
)
def test_how_a_training_may_end(stress, monkeypatch, how, is_right):
    code, err, reached, seconds = how
    monkeypatch.setattr(stress, "newest", lambda workdir: 5)
    training = types.SimpleNamespace(err=err, workdir=None)
    ended = stress.Ended("stepping", code, seconds, seconds)
    assert (not list(stress.term_problems(training, ended, reached))) == is_right


def test_the_signal_may_come_when_all_is_done(stress, monkeypatch):
    monkeypatch.setattr(stress, "newest", lambda workdir: stress.STEPS)
    training = types.SimpleNamespace(err="", workdir=None)
    ended = stress.Ended("stepping", -15, 1, 1)
    assert list(stress.term_problems(training, ended, stress.STEPS)) == []


def write(workdir, value: float, line: str):
    (workdir / "checkpoints").mkdir(parents=True)
    (workdir / "metrics.jsonl").write_text(line)
    with checkpoint.open_manager(workdir) as manager:
        kernel = {"kernel": np.full(9, value, np.float32)}
        checkpoint.save(manager, 32, generator={"params": kernel}, training={"step": np.int32(32)})
        checkpoint.finish(manager)
    return workdir


def test_what_differs_and_what_cannot_be_read(stress, tmp_path):
    whole = write(tmp_path / "whole", 1.0, '{"time": 1, "loss": 2}\n')
    same = write(tmp_path / "same", 1.0, '{"time": 3, "loss": 2}\n')
    other = write(tmp_path / "other", np.nextafter(np.float32(1), 2), '{"time": 1, "loss": 3}\n')
    assert [*stress.differences(whole, same), *stress.unreadable(whole)] == []
    assert list(stress.differences(whole, other)) == [
        "generator/params/kernel differs",
        f"{whole}/metrics.jsonl differs from {other}/metrics.jsonl",
    ]
    (whole / "unreadable/4").mkdir(parents=True)
    (whole / "checkpoints/32/_CHECKPOINT_METADATA").write_bytes(b"")
    (whole / "checkpoints/32/meta/metadata").write_bytes(b"")
    put_aside, damaged = stress.unreadable(whole)
    assert put_aside == "put aside: ['4']"
    assert damaged.startswith("checkpoint 32: ")
