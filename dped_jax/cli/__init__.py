"""What the commands share: how bad input ends.

A command that fails says why in one line on stderr: exit code 1 on bad input, 130 on Ctrl-C, 143 on
SIGTERM; 75 where nothing is wrong and the same command goes on. A traceback means a defect of this
program.
"""

import errno
import io
import logging as std_logging
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Callable

from dped_jax.cli import signals

AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on


class StoppedError(Exception):
    """Stopped from outside, with all saved that is needed to go on. The message is one line."""


class InputError(Exception):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def _is_shown(record: std_logging.LogRecord) -> bool:
    file = pathlib.Path(record.pathname)
    is_raised_too = "orbax" in file.parts  # what it cannot write it logs with tracebacks
    is_error = record.levelno >= std_logging.ERROR and not is_raised_too
    return is_error or pathlib.Path(__file__).parents[1] in file.parents


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main` under absl; `InputError` and `OSError` become one line and exit code 1.

    Of what libraries log, only errors are shown; `--verbosity=1` shows all.
    """
    from absl import app, flags, logging  # after `signals.end_at_once`

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unexpected argument {argv[1]!r}: flags are written --name=value")
        if logging.get_verbosity() <= logging.INFO:
            logging.get_absl_handler().addFilter(_is_shown)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names of files may be anything
                stream.reconfigure(errors="backslashreplace")
        signals.interrupt()
        try:
            main(argv)
        except (InputError, OSError) as error:
            is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "; make room, and start the same command again" if is_full else ""
            sys.exit("error: " + " ".join(str(error).split()) + remedy)
        except StoppedError as stopped:
            print(f"stopped: {stopped}", file=sys.stderr)
            sys.exit(AGAIN)
        except KeyboardInterrupt as error:
            sys.stderr.write(signals.MESSAGE)
            sys.exit(128 + (error.args or (signal.SIGINT,))[0])
        finally:
            signals.end_at_once()

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
        partial.unlink(missing_ok=True)  # a link is not followed
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk names no file
            error.filename = str(path)
        raise


def check_space(folder: str | os.PathLike[str], num_bytes: int) -> None:
    """Raises OSError where so many bytes cannot be written: orbax would report that at length."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, num_bytes)
    except OSError as error:
        if not pathlib.Path(folder).is_dir():
            raise OSError(f"{folder}: was removed; nothing can be saved there") from error
        problem = f"no room for a checkpoint of {num_bytes:,} bytes ({error.strerror})"
        remedy = "free some space and start the same command again"
        raise OSError(f"{folder}: {problem}; {remedy}") from error
