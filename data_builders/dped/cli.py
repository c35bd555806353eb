"""What the commands of this folder share: how bad input ends.

A command ends on bad input with one line on stderr and exit code 1; a traceback means a defect of
this program.
"""

import sys
from collections.abc import Callable

from absl import app


class InputError(ValueError):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main` under absl; `InputError` and `OSError` become one line and exit code 1."""

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}: flags are written --name=value")
        try:
            main(argv)
        except (InputError, OSError) as error:
            sys.exit("error: " + " ".join(str(error).split()))

    app.run(guarded)
