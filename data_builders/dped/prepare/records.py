"""Records of photo pairs: what is kept of a pair when it is finished.

`NAME.json` describes the pair; it is written last, so a pair is finished when it is there. Its
second line is the CRC-32 of the first. The patches and pictures are files in the folder
`NAME.patches`, from where they are linked to their places, so that they are on the disk once. An
object store knows no links: there they are in one file, `NAME.zip`. Paths may be of any file system
that `etils.epath` knows; `record` below is a path without suffix.
"""

import contextlib
import errno
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically

_FOLDER = ".patches"
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def write(record: str, description: dict[str, Any], files: Mapping[str, bytes]) -> None:
    """Writes a record, in place of the one before.

    Args:
      record: where.
      description: of the pair, without `contents`, which are added.
      files: patches and pictures, by name: "FOLDER/FILE" or "FILE".

    Raises:
      OSError: it cannot be written.
    """
    epath.Path(f"{record}.json").unlink(missing_ok=True)
    if "://" in record:
        write_atomically(epath.Path(f"{record}.zip"), _zip(files))
    else:
        _write_folder(Path(record + _FOLDER), files)
        Path(f"{record}.zip").unlink(missing_ok=True)  # of earlier versions
    contents = {name: zlib.crc32(data) for name, data in files.items()}
    text = json.dumps(description | {"contents": contents}, sort_keys=True)
    write_atomically(epath.Path(f"{record}.json"), f"{text}\n{_checksum(text)}\n".encode())


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes a folder whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(old)
    try:
        for name, data in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(data)
        if files:
            partial.rename(folder)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):  # a full disk names no file
            error.filename = os.fspath(folder)
        raise


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode())


def read(record: str) -> dict[str, Any] | None:
    """Reads the description of a pair; None if it is not finished, or the file damaged."""
    try:
        if "://" in record:
            data = epath.Path(f"{record}.json").read_bytes()
        else:
            with open(f"{record}.json", "rb") as file:  # many times faster than epath
                data = file.read()
        text, checksum, _ = data.decode().split("\n")
        return json.loads(text) if int(checksum) == _checksum(text) else None
    except (FileNotFoundError, ValueError):
        return None


def has_files(record: str) -> bool:
    """Whether the patches of a record are there, not whether they are sound."""
    if "://" in record:
        return epath.Path(f"{record}.zip").exists()
    return os.path.isdir(record + _FOLDER)


def place(record: str, targets: Mapping[str, str]) -> None:
    """Brings files of a record to their places: links where there are links, copies otherwise.

    Args:
      record: which; damage makes it an unfinished one.
      targets: full paths by name in the record; what is there is replaced.

    Raises:
      InputError: a file is damaged or not there.
      OSError: something cannot be read or written.
    """
    for name, data in _read_checked(record, list(targets)).items():
        target, source = targets[name], Path(record + _FOLDER) / name
        if "://" in record or not _link(source, Path(target)):
            epath.Path(target).write_bytes(data)


def _link(source: Path, target: Path) -> bool:
    """Makes a second name of a file; False where the file system cannot."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def read_file(record: str, name: str) -> bytes:
    """Reads one file of a record; raises as `place`."""
    return _read_checked(record, [name])[name]


def _read_checked(record: str, names: list[str]) -> dict[str, bytes]:
    """Files of a record that are as they were written."""
    description = read(record) or {"contents": {}}
    where = f"{record}.zip" if "://" in record else record + _FOLDER
    try:
        if "://" in record:
            with zipfile.ZipFile(io.BytesIO(epath.Path(where).read_bytes())) as files:
                found = {name: files.read(name) for name in names}
        else:
            found = {name: (Path(where) / name).read_bytes() for name in names}
        for name, data in found.items():
            if zlib.crc32(data) != description["contents"][name]:
                raise KeyError(f"{name}: checksum")
    except (zipfile.BadZipFile, FileNotFoundError, KeyError) as error:
        epath.Path(f"{record}.json").unlink(missing_ok=True)
        raise InputError(
            f"{where}: damaged or removed ({error}): the same command makes it again"
        ) from error
    return found


def _zip(files: Mapping[str, bytes]) -> bytes:
    """A zip of the files as they are, without dates, so that equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
