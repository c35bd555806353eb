"""How commands start and end.

A command that fails says why in one line on stderr: exit code 1 on bad input, 130 on Ctrl-C, 143 on
SIGTERM; 75 where nothing is wrong and the same command goes on. A traceback means a defect of this
program.
"""

import errno
import io
import logging as std_logging
import os
import pathlib
import re
import signal
import sys
from collections.abc import Callable, Sequence

from dped_jax.base import signals
from dped_jax.base.errors import InputError, StoppedError

AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on
MOST_PROBLEMS = 20  # listed on screen; all are in a file
STORES = ("aiohttp", "botocore", "gcsfs")  # packages whose exceptions tell why a store fails


def _is_shown(record: std_logging.LogRecord) -> bool:
    file = pathlib.Path(record.pathname)
    is_raised_too = "orbax" in file.parts  # what it cannot write it logs with tracebacks
    is_error = record.levelno >= std_logging.ERROR and not is_raised_too
    return is_error or pathlib.Path(__file__).parents[1] in file.parents


def expand_home(word: str) -> str:
    """A word of the command line, with the home folder for the ~ at the start of its values.

    Shells do that for `--flag ~/x`, but not for `--flag=~/x` or `--flag=a=~/x,b=~/y`.
    """
    flag, equals, value = word.partition("=")
    if not equals or not flag.startswith("-"):
        return word
    home = re.sub(r"(?:^|(?<=[=,]))~[^/,]*", lambda m: os.path.expanduser(m[0]), value)
    return f"{flag}={home}"


def run(main: Callable[[list[str]], None], *, pass_unknown_flags: bool = False) -> None:
    """Runs `main` under absl; `InputError` and `OSError` become one line and exit code 1.

    Of what libraries log, only errors are shown; `--verbosity=1` shows all.

    Args:
      main: the command.
      pass_unknown_flags: give `main` the flags that are not defined, after the program's name,
        instead of refusing them.
    """
    from absl import app, flags, logging  # after `signals.end_at_once`

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1 and not pass_unknown_flags:
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
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in STORES:
                raise
            sys.exit("error: object store: " + " ".join(str(error).split()))
        finally:
            signals.end_at_once()

    def parse(argv: list[str]) -> list[str]:
        argv = [argv[0], *map(expand_home, argv[1:])]
        try:
            remaining = flags.FLAGS(argv, known_only=pass_unknown_flags)
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


def print_problems(problems: Sequence[tuple[object, str]]) -> None:
    """Prints the first of (what, what is wrong with it), a line each."""
    for what, problem in problems[:MOST_PROBLEMS]:
        print(f"  {what}: {problem}")
    if len(problems) > MOST_PROBLEMS:
        print("  ...")
