"""Bars overwrite themselves on a terminal; log files get a line now and then."""

import io
import re
import time

import pytest

from dped_jax.base import progress


class Stream(io.StringIO):
    """A stderr that is, or is not, a terminal."""

    def __init__(self, terminal: bool):
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def shown(monkeypatch):
    """What work of 10 tasks of 0.02 s each shows on stderr."""

    def work(terminal: bool) -> str:
        stream = Stream(terminal)
        monkeypatch.setattr("sys.stderr", stream)
        for _ in progress.progress_bar(range(10), desc="work", unit=" tasks", mininterval=0):
            time.sleep(0.02)
        return stream.getvalue()

    return work


def test_a_terminal_gets_a_bar(shown):
    assert shown(terminal=True).count("\r") > 5


def test_a_log_file_gets_lines_at_intervals(shown, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.05)
    text = shown(terminal=False)
    assert "\r" not in text
    lines = text.splitlines()
    assert 2 <= len(lines) <= 6
    assert all(re.match(r"work: +\d+%.* \d+/10 .* tasks/s", line) for line in lines)


def test_short_work_leaves_no_line_in_a_log_file(shown):
    assert shown(terminal=False) == ""
