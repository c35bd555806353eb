"""What the commands of this folder share: how bad input ends, and that files appear whole.

A command that fails says why in one line on stderr: exit code 1 on bad input, 130 on Ctrl-C, 143 on
SIGTERM. A traceback means a defect of this program.
"""

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from etils import epath

from . import signals

_SHOWN = 20  # problems listed on screen; all are in a file
_STORES = ("aiohttp", "botocore", "gcsfs")  # packages whose exceptions tell why a store fails


class InputError(Exception):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def refuse_empty(*folders: flags.FlagHolder) -> None:
    """Makes an empty value of flags that name folders a wrong one: it would be this folder."""
    for folder in folders:
        flags.register_validator(folder, lambda path: path != "", "must name a folder")


def refuse_stores(*folders: flags.FlagHolder) -> None:
    """Makes an object store a wrong value of flags that name folders."""
    for folder in folders:
        flags.register_validator(
            folder,
            lambda path: path is None or "://" not in path,
            "must name a folder of this machine: copy what is in the store first",
        )


def command(name: str) -> str:
    """How another command is called: `data_builders` may lie inside another package."""
    return f"python -m {__package__}.{name}"


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
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _STORES:
                raise
            sys.exit("error: object store: " + " ".join(str(error).split()))
        except KeyboardInterrupt as error:
            sys.stderr.write(signals.MESSAGE)
            sys.exit(128 + (error.args or (signal.SIGINT,))[0])
        finally:
            signals.end_at_once()

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
        partial.unlink(missing_ok=True)  # a link is not followed
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk names no file
            error.filename = os.fspath(path)
        raise


def print_problems(problems: Sequence[tuple[object, str]]) -> None:
    """Prints the first of (what, what is wrong with it), a line each."""
    for what, problem in problems[:_SHOWN]:
        print(f"  {what}: {problem}")
    if len(problems) > _SHOWN:
        print("  …")
