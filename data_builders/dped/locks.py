"""One process at a time to a folder that is written, and a scratch folder for what it writes."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from .cli import InputError


@contextlib.contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Holds a lock file, which is gone afterwards.

    The lock is the kernel's (flock): it ends with its process, however that ends, so that a file
    left by a killed one does no harm. File systems without locks, or that cannot be written, go
    without.

    Args:
      file: of the lock, in an existing folder; it says who holds it.
      what: what is locked, for the message.

    Raises:
      InputError: another process holds it; says which.
      OSError: there is no room for the file, or no such folder.
    """
    with contextlib.ExitStack() as stack:
        while True:
            try:
                opened = stack.enter_context(file.open("a+"))
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.EACCES):
                    raise
                break
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                opened.seek(0)
                holder = opened.read().strip() or "another process"
                raise InputError(
                    f"{what}: in use by {holder}: wait for its end, or end it"
                ) from None
            except OSError:
                print(f"warning: {file}: no locks on this file system", file=sys.stderr)
            with contextlib.suppress(FileNotFoundError):  # the holder before has removed it
                if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                    stack.callback(file.unlink, missing_ok=True)
                    opened.truncate(0)
                    opened.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                    opened.flush()
                    break
        yield


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Makes a folder that is removed at the end, with what is still in it.

    What is to appear whole or not at all is written there and then renamed.

    Args:
      parent: where to make it; made if missing, and removed too if it stays empty then.
      name: of what is written: one process at a time; what a killed one has left is removed.

    Yields:
      The folder.

    Raises:
      InputError: another process writes it.
    """
    existed = parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    scratch = parent / f".dped_incomplete_{name}"
    try:
        with locked(parent / f".dped_{name}.lock", f"{parent}/{name}"):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch)
    finally:
        if not existed and not any(parent.iterdir()):
            parent.rmdir()
