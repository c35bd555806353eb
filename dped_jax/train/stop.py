"""How a training ends on a signal: with a checkpoint of the step that it has reached.

SIGTERM and SIGINT (Ctrl-C) are notices: on one process or several, the next step boundary that all
reach is saved. A second signal ends the process at once, as if it had been killed.
"""

import datetime
import os
import signal
from types import FrameType
from typing import Any, Self

import jax
from jax._src import distributed
from jax.experimental import multihost_utils

# A notice under this key is what the runtime's own makes of a SIGTERM.
_NOTICE = "RECEIVED_PREEMPTION_NOTICE"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopNotice:
    """Listens to signals while it is entered."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._told = False

    def __enter__(self) -> Self:
        # The runtime of several processes has put its own handler of SIGTERM in place.
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"{self.name}: saving at the next step; again to end at once\n".encode())

    @property
    def name(self) -> str:
        """Of the signal, or what another process was told."""
        if self._number is None:
            return "preemption of another process"
        return signal.Signals(self._number).name

    @property
    def is_here(self) -> bool:
        """Whether this process was told, and is the only one: no other has to agree."""
        return self._number is not None and jax.process_count() == 1

    def reached(self, step: int) -> bool:
        """Whether to save now; all processes ask at the same steps and get the same answer."""
        if jax.process_count() == 1:
            return self._number is not None
        if self._number is not None and not self._told:
            now = datetime.datetime.now(datetime.UTC).isoformat()
            client: Any = distributed.global_state.client
            client.key_value_set(_NOTICE, now, allow_overwrite=True)
            self._told = True
        return multihost_utils.reached_preemption_sync_point(step)
