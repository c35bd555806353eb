"""Connections that cost a server little: what is not sent in time, or is too much, is cut off."""

import asyncio
import resource

from absl import logging
from uvicorn.protocols.http.h11_impl import H11Protocol

READ_SECONDS = 10  # for a whole request; a vote has a few hundred bytes
RESERVED_FILES = 200  # of the limit of open files: for the database and all else
LOG_SECONDS = 60  # between two lines on refusals of the same kind


def raise_file_limit() -> int:
    """Takes as many open files as this process may have; returns how many connections that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return max(1, most - RESERVED_FILES)


class Connection(H11Protocol):
    """A connection that must send each request within READ_SECONDS.

    Where there are more than `most` connections, the one that has been sending longest is cut off.
    """

    most = 1000
    _sending: dict["Connection", asyncio.TimerHandle] = {}  # noqa: RUF012 (of all; the oldest first)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request."""
        super().connection_made(transport)
        self._start_clock()
        if len(self.connections) > self.most and self._sending:
            next(iter(self._sending)).cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stops the clock where a request is whole."""
        self._start_clock()
        super().data_received(data)
        if self.cycle and not self.cycle.more_body:
            self._stop_clock()

    def _start_clock(self) -> None:
        if self not in self._sending:
            self._sending[self] = self.loop.call_later(READ_SECONDS, self.cut_off)

    def _stop_clock(self) -> None:
        clock = self._sending.pop(self, None)
        if clock:
            clock.cancel()

    def cut_off(self) -> None:
        """Ends a connection that is too slow."""
        self._stop_clock()
        refusals.log("a connection", "sends too slowly, or there are too many")
        self.transport.abort()


class RefusalLog:
    """Logs refusals, of each kind the first and then one in LOG_SECONDS with their number."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}

    def log(self, kind: str, reason: str) -> None:
        """Logs, or counts.

        Args:
          kind: one of few.
          reason: of this refusal.
        """
        now = asyncio.get_running_loop().time()
        last, count = self._kinds.get(kind, (-LOG_SECONDS, 0))
        if now - last < LOG_SECONDS:
            self._kinds[kind] = last, count + 1
            return
        self._kinds[kind] = now, 0
        logging.warning("refused %s: %s%s", kind, reason, f" (and {count} others)" if count else "")


refusals = RefusalLog()
