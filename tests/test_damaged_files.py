"""Damaged camera files through the reader, a few; `make stress` reads thousands."""

import collections
import importlib

import pytest
import tiny

FAULTY = """
import os
import numpy as np
from dped_jax.base.errors import InputError

class Picture:
    pixels = np.zeros((8, 9, 3), np.uint8)

def read(data, name=""):
    if name != "damaged":
        raise InputError("a.jpg: not read")
    {fault}
    return Picture

def size(data, name=""):
    return 8, 9
"""


@pytest.fixture
def damage(monkeypatch):
    monkeypatch.syspath_prepend(str(tiny.ROOT / "benchmarks"))
    return importlib.import_module("damage")


def test_damaged_files_are_right_or_refused_in_a_line(damage):
    counts, problems = collections.Counter(), []
    for number, name, how, outcome in damage.results(1, range(150), damage.READER):
        counts[outcome.status] += 1
        wrong = damage.problem(name, how, outcome)
        problems += [f"{number}: {name}, {how}: {wrong}"] if wrong else []
    assert problems == []
    assert counts["refused"] > 50
    assert counts["right"] > 5


def test_files_are_damaged_the_same_again(damage):
    assert damage.damaged(0, 3) == damage.damaged(0, 3)
    some = [damage.damaged(0, number) for number in range(100)]
    assert {how for _, how, _ in some} >= set(damage.DAMAGES)
    assert sum(data == damage.sources()[name] for name, _, data in some) < 10


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("pass", "other pixels"),
        ("raise InputError('a.jpg: damaged; replace it')", "refused"),
        ("raise InputError('a.jpg: damaged\\nin line 3')", "traceback"),
        ("raise KeyError(5)", "traceback"),
        ("os.abort()", "crash"),
        ("os._exit(0)", "crash"),
        ("import time; time.sleep(99)", "no end"),
        ("read.big = np.ones(12 << 27, np.uint8)", "memory"),
        ("Picture.pixels = np.zeros((9, 8, 3), np.uint8)", "wrong size"),
    ],
)
def test_what_is_wrong_is_seen(fault, status, damage, monkeypatch, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY.format(fault=fault))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{tiny.ROOT}")
    monkeypatch.setattr(damage, "MOST_SECONDS", 3 if status == "no end" else 60)
    ((*_, outcome),) = damage.results(0, range(1), "faulty")
    assert outcome.status == status
    is_wrong = bool(damage.problem("jpeg_plain.jpg", "flipped", outcome))
    assert is_wrong == (status not in ("refused", "other pixels"))
    if status == "other pixels":
        assert damage.problem("png_plain.png", "flipped", outcome)
        assert damage.problem("jpeg_plain.jpg", "cut", outcome)
