"""What the commands share: how bad input ends.

A command ends on bad input with one line on stderr and exit code 1; a traceback means a defect of
this program.
"""

import logging as std_logging
import os
import pathlib
import sys
from collections.abc import Callable

from absl import app, flags, logging


class InputError(Exception):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def _own_or_error(record: std_logging.LogRecord) -> bool:
    own = pathlib.Path(__file__).parents[1] in pathlib.Path(record.pathname).parents
    return own or record.levelno >= std_logging.ERROR


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main` under absl; `InputError` and `OSError` become one line and exit code 1.

    Of what libraries log, only errors are shown; `--verbosity=1` shows all.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}: flags are written --name=value")
        if logging.get_verbosity() <= logging.INFO:
            logging.get_absl_handler().addFilter(_own_or_error)
        try:
            main(argv)
        except (InputError, OSError) as error:
            sys.exit("error: " + " ".join(str(error).split()))

    def parse(argv: list[str]) -> list[str]:
        try:
            remaining = flags.FLAGS(argv)
            for flag in map(flags.FLAGS.__getitem__, flags.FLAGS):
                if flag.present and flag.value == "" and flag.default is None:
                    sys.exit(f"error: --{flag.name}=: empty; give it a value or leave it out")
            return remaining
        except flags.Error as error:
            sys.exit(f"error: {' '.join(str(error).split())}: --help lists the flags")
        except (AttributeError, KeyError) as error:  # ml_collections: no such field
            message = error.args[0]
            while isinstance(message, Exception):
                message = message.args[0]
            sys.exit(f"error: --config: no such field: {' '.join(message.split())}")

    app.run(guarded, flags_parser=parse)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file whole or not at all: under a temporary name, then renamed.

    Raises:
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
