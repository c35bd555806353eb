"""What the commands of this folder share: how bad input ends.

A command ends on bad input with one line on stderr and exit code 1; a traceback means a defect of
this program.
"""

import sys
from collections.abc import Callable

from absl import app, flags
from etils import epath


class InputError(ValueError):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def run(main: Callable[[list[str]], None], *, pass_unknown_flags: bool = False) -> None:
    """Runs `main` under absl; `InputError` and `OSError` become one line and exit code 1.

    Args:
      main: the command.
      pass_unknown_flags: give `main` the flags that are not defined, after the program's name,
        instead of refusing them.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1 and not pass_unknown_flags:
            sys.exit(f"error: unexpected argument {argv[1]!r}: flags are written --name=value")
        try:
            main(argv)
        except (InputError, OSError) as error:
            sys.exit("error: " + " ".join(str(error).split()))

    def parse(argv: list[str]) -> list[str]:
        try:
            return flags.FLAGS(argv, known_only=pass_unknown_flags)
        except flags.Error as error:
            sys.exit(f"error: {error}: --help lists the flags")

    app.run(guarded, flags_parser=parse)


def write_atomically(path: epath.Path, data: bytes) -> None:
    """Writes a file whole or not at all: under a temporary name, then renamed.

    Raises:
      OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
