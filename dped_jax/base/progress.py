"""How long work shows how far it is: a bar on a terminal, now and then a line in a log file."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

LOG_SECONDS = 30.0  # between the lines of a log file


class _Lines:
    """A stream on which each state of a bar becomes a line."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        state = text.strip()
        if state:
            self._stream.write(state + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(*args: Any, **options: Any) -> tqdm:
    """A tqdm of these arguments on stderr.

    Where stderr is no terminal, it prints a line every LOG_SECONDS, and none of work that is over
    before.
    """
    if sys.stderr.isatty():
        return tqdm(*args, **options)
    every = {"mininterval": LOG_SECONDS, "delay": LOG_SECONDS, "miniters": 0}
    return tqdm(*args, **options | every | {"file": _Lines(sys.stderr)})
