"""One process at a time to a folder that is written."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
import sys
from collections.abc import Iterator

from dped_jax.cli import InputError


@contextlib.contextmanager
def locked(file: pathlib.Path, what: str) -> Iterator[None]:
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
