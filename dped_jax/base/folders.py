"""Which files of a folder are pictures, and which pictures of several folders belong together.

A picture is a file with one of `SUFFIXES`, in lower or upper case, that is not hidden and not one
that a system leaves behind (`SYSTEM_NAMES`). What is in a file is for `pictures.read` to say.
Folders are of `pathlib`, or of `etils.epath` where they may lie in an object store.
"""

import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from absl import logging

from dped_jax.base.errors import InputError

if TYPE_CHECKING:
    from etils import epath

    Folder: TypeAlias = pathlib.Path | epath.Path

# What LibRaw develops.
_RAW = """
    3fr ari arw bay cap cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf
    ori pef ptx pxn raf raw rw2 rwl rwz sr2 srf srw x3f
"""
RAW_SUFFIXES = tuple(f".{name}" for name in _RAW.split())
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
SUFFIXES = (
    *JPEG_SUFFIXES, ".png", ".tif", ".tiff", ".webp", *HEIF_SUFFIXES, ".avif", ".bmp", *RAW_SUFFIXES
)  # fmt: skip
SYSTEM_NAMES = {"thumbs.db", "desktop.ini", "@eadir", "__macosx"}  # of Windows, a NAS, macOS
MOST_NAMES = 20  # in a message about many


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Orders runs of digits by their number, 2 before 10; the name itself tells "1" from "01"."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def some(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """The first names in natural order, at most so many, for a message."""
    names = sorted(names, key=natural_key)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def is_utf8(name: str | os.PathLike[str]) -> bool:
    """Whether tables and other files in UTF-8 can hold a name."""
    try:
        return bool(os.fspath(name).encode())
    except UnicodeEncodeError:
        return False


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system leaves behind."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_picture(name: str) -> bool:
    """Whether a file of this name counts as a picture."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _names_below(folder: pathlib.Path) -> Iterator[str]:
    """Paths of all files below a folder, relative to it; hidden folders are not entered."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (os.path.relpath(os.path.join(path, name), folder) for name in files)


def pictures_of(folder: "Folder", where: str, *, below: bool = False) -> list[str]:
    """Lists the pictures of a folder; how many other entries it has is logged in one line.

    Args:
      folder: where to look.
      where: how messages name the folder, as "--dslr_dir=photos".
      below: look in its sub-folders, too.

    Returns:
      Their names, or paths relative to the folder, in no order; at least one.

    Raises:
      InputError: there is no such folder, or it has no pictures.
    """
    if not folder.is_dir():
        raise InputError(f"{where}: no such folder")
    entries = _names_below(pathlib.Path(folder)) if below else (f.name for f in folder.iterdir())
    names, others = [], 0
    for name in entries:
        if is_picture(os.path.basename(name)):
            names.append(name)
        else:
            others += 1
    if not names:
        raise InputError(f"{where}: holds no pictures (.jpg .png .tif .webp .heic .dng ...)")
    if others:
        logging.warning("%s: %d entries are no pictures and are passed over", where, others)
    return names


def names_by_stem(folder: "Folder", where: str, raw_and_jpeg: str = "jpeg") -> dict[str, str]:
    """Lists the pictures of a folder by their names without suffix.

    Args:
      folder: where to look, not below it.
      where: how messages name the folder.
      raw_and_jpeg: which is taken of a photograph that is there as camera raw and as another
        picture: "raw" or "jpeg", the other one.

    Returns:
      Names of files by stem, in no order; at least one.

    Raises:
      InputError: as `pictures_of`; two pictures share a stem, or a name is not UTF-8.
    """
    names: dict[str, str] = {}
    twice = 0
    for name in pictures_of(folder, where):
        if not is_utf8(name):
            raise InputError(f"{where}: {name!r}: its name is not UTF-8; rename it")
        stem = os.path.splitext(name)[0]
        other = names.setdefault(stem, name)
        if other is name:
            continue
        raw = {os.path.splitext(n)[1].lower() in RAW_SUFFIXES: n for n in (other, name)}
        if len(raw) < 2:
            raise InputError(f"{where}: {other} and {name} share a name; rename or remove one")
        names[stem], twice = raw[raw_and_jpeg == "raw"], twice + 1
    if twice:
        taken = "camera raw" if raw_and_jpeg == "raw" else "JPEG or the like"
        logging.warning("%s: %d with camera raw and JPEG; %s is taken", where, twice, taken)
    return names


def pictures_by_stem(folder: pathlib.Path, flag: str) -> dict[str, pathlib.Path]:
    """Lists the pictures of the folder that a flag names; see `names_by_stem`."""
    names = names_by_stem(folder, f"--{flag}={folder}")
    return {stem: folder / name for stem, name in names.items()}


class MissingPicturesError(InputError):
    """Pictures of the same names are not in all of the places that are compared.

    Attributes:
      missing: all names that lack a partner, or that a split has and the folder lacks.
    """

    def __init__(self, problems: list[str], missing: Iterable[str]):
        super().__init__("; ".join(problems))
        self.missing = sorted(missing, key=natural_key)


def matching_pictures(folders: Mapping[str, pathlib.Path]) -> list[dict[str, pathlib.Path]]:
    """Pictures that folders hold under the same stem.

    Args:
      folders: by flag name.

    Returns:
      For each stem, in natural order, the path by flag name.

    Raises:
      MissingPicturesError: a folder lacks pictures that another one has.
      InputError: a folder is missing or empty.
    """
    listings = {flag: pictures_by_stem(folder, flag) for flag, folder in folders.items()}
    stems = set().union(*listings.values())
    lacking = {flag: stems - pictures.keys() for flag, pictures in listings.items()}
    if any(lacking.values()):
        problems = [
            f"--{flag}={folders[flag]}: {len(missing)} pictures of the other folders are missing "
            f"here ({some(missing)})"
            for flag, missing in lacking.items()
            if missing
        ]
        raise MissingPicturesError(problems, set().union(*lacking.values()))
    ordered = sorted(stems, key=natural_key)
    return [{flag: pictures[stem] for flag, pictures in listings.items()} for stem in ordered]
