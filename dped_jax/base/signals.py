"""How commands end on Ctrl-C and SIGTERM."""

import os
import signal
import sys
from collections.abc import Callable

MESSAGE = "interrupted: start the same command again\n"


def _handle(handler: Callable[[int, object], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it in the background
            signal.signal(number, handler)


def end_at_once() -> None:
    """Makes signals end this command in one line, where there is nothing to tidy up.

    That is at its end, and while it imports: an exception there might not come through.
    """

    def end(number: int, frame: object) -> None:
        del frame
        os.write(2, MESSAGE.encode())
        os._exit(128 + number)

    _handle(end)


def end_at_once_if_command(package: str) -> None:
    """Calls `end_at_once` where Python was started with `-m` and a module of this package.

    To be called where the package is first imported: `sys.argv` begins with "-m" until the module
    of that name runs. Programs that merely import the package keep their own handlers.
    """
    if sys.argv[:1] == ["-m"]:
        module = sys.orig_argv[-len(sys.argv)]
        if f"{module}.".startswith(f"{package}."):
            end_at_once()


def interrupt() -> None:
    """Makes signals raise KeyboardInterrupt: what is half-written is removed on the way out."""

    def raise_interrupt(number: int, frame: object) -> None:
        del frame
        raise KeyboardInterrupt(number)

    _handle(raise_interrupt)
