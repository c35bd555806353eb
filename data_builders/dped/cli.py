"""What the commands of this folder share: how bad input ends, and that files appear whole.

A command ends on bad input with one line on stderr and exit code 1; a traceback means a defect of
this program.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from absl import app, flags
from etils import epath

_SHOWN = 20  # problems listed on screen; all are in a file


class InputError(Exception):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


def refuse_empty(*folders: flags.FlagHolder) -> None:
    """Makes an empty value of flags that name folders a wrong one: it would be this folder."""
    for folder in folders:
        flags.register_validator(folder, lambda path: path != "", "must name a folder")


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


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Makes a folder that is removed at the end, with what is still in it.

    What is to appear whole or not at all is written there and then renamed.

    Args:
      parent: where to make it; made if missing, and removed too if it stays empty then.

    Yields:
      The folder.
    """
    existed = parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".dped_incomplete_", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)
        if not existed and not any(parent.iterdir()):
            parent.rmdir()


def print_problems(problems: Sequence[tuple[object, str]]) -> None:
    """Prints the first of (what, what is wrong with it), a line each."""
    for what, problem in problems[:_SHOWN]:
        print(f"  {what}: {problem}")
    if len(problems) > _SHOWN:
        print("  …")
