"""Files that appear whole or not at all, and folders that one process at a time writes to.

Paths are of `pathlib`, or of `etils.epath` where they may lie in an object store.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import filelock

from dped_jax.base.errors import InputError

if TYPE_CHECKING:
    from etils import epath


def write_atomically(path: "str | pathlib.Path | epath.Path", content: str | bytes) -> None:
    """Writes a file whole or not at all: under a temporary name, then renamed.

    Raises:
      OSError: it cannot be written.
    """
    path = pathlib.Path(path) if isinstance(path, str) else path
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)  # a link is not followed
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk names no file
            error.filename = os.fspath(path)
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


@contextlib.contextmanager
def locked(file: pathlib.Path, what: str) -> Iterator[None]:
    """Holds a lock file, which is gone afterwards.

    The lock is the kernel's (flock) where the file system has it: it ends with its process, however
    that ends. A folder that cannot be written goes without.

    Args:
      file: of the lock, in an existing folder; it says who holds it.
      what: what is locked, for the message.

    Raises:
      InputError: another process holds it; says which.
      OSError: there is no room for the file, or no such folder.
    """

    def say_who(descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(filelock.FileLock(file, timeout=0, on_acquired=say_who))
        except filelock.Timeout:
            try:
                holder = file.read_text().strip()
            except OSError:
                holder = ""
            raise InputError(
                f"{what}: in use by {holder or 'another process'}: wait for its end, or end it"
            ) from None
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        else:
            stack.callback(file.unlink, missing_ok=True)
        yield


@contextlib.contextmanager
def scratch_folder(parent: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
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
