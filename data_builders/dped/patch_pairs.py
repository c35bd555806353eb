"""Finds pairs of patches on disk and splits them. Opens no image, writes nothing.

A pair is two files of the same stem, one in the phone's folder and one in the DSLR camera's. Files
are .jpg, .jpeg or .png; other files in the folders are ignored. Pairs are in natural order of
their stems (2 before 10) everywhere.

Imports here are relative because `tfds build` imports this folder as the package `dped`.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from .cli import InputError

PATCH_SIZE = 100  # section 3.2.1
MAX_HELD_OUT = 2000  # section 3.2.1: 2K validation patches
HELD_OUT_DIVISOR = 20  # a small set gives 5 % instead

PATCH_SUFFIXES = (".jpg", ".jpeg", ".png")
# Of each phone, which is a config of the builder: folders of the phone's and the DSLR's patches.
CAMERA_FOLDERS: dict[str, tuple[str, str]] = {
    "iphone": ("iphone", "canon"),
    "blackberry": ("blackberry", "canon"),
    "sony": ("sony", "canon"),
    "custom": ("phone", "dslr"),
}
SPLIT_FOLDERS = {  # of the published layout, in the phone's folder
    "train": "training_data",
    "validation": "validation_data/patches",
    "test": "test_data/patches",
}

_SHOWN = 3  # files named in a message about many


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair of patch files; `name` is their common stem."""

    name: str
    phone: Path
    dslr: Path


def find_pairs(phone_dir: Path, dslr_dir: Path) -> list[Pair]:
    """Lists the pairs of two folders in natural order of their stems.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.

    Returns:
      The pairs; at least one.

    Raises:
      InputError: a folder is missing or empty, a stem occurs twice, or a file has no partner.
    """
    phone, dslr = images_by_stem(phone_dir), images_by_stem(dslr_dir)
    for images, other, other_dir in ((phone, dslr, dslr_dir), (dslr, phone, phone_dir)):
        alone = sorted(images.keys() - other.keys(), key=natural_key)
        if alone:
            raise InputError(
                f"{_some([str(images[stem]) for stem in alone])}: no partner of the same name in"
                f" {other_dir} for {len(alone)} file(s): add the partners or remove the files"
            )
    names = sorted(phone, key=natural_key)
    return [Pair(name, phone[name], dslr[name]) for name in names]


def find_published(root: Path, phone_folder: str, dslr_folder: str) -> dict[str, list[Pair]]:
    """Lists the pairs of each split in the layout of the published archive.

    The archive has no validation split and no photo ids: unless `validation_data/patches` exists,
    validation is the last block of training patches by number (see `hold_out_last`).

    Args:
      root: the phone's folder, with `training_data` and `test_data/patches` in it.
      phone_folder: name of the folder of phone patches, e.g. "iphone".
      dslr_folder: name of the folder of DSLR patches, e.g. "canon".

    Returns:
      Pairs by split: train, validation, test.

    Raises:
      InputError: a folder is missing or empty, a file has no partner, or there are too few pairs.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder: --manual_dir must be the folder that holds {root.name}/,"
            " with training_data and test_data in it"
        )

    def find(split: str) -> list[Pair]:
        folder = root / SPLIT_FOLDERS[split]
        return find_pairs(folder / phone_folder, folder / dslr_folder)

    train, test = find("train"), find("test")
    if (root / "validation_data").is_dir():
        validation = find("validation")
    else:
        train, validation = hold_out_last(train, -1, f"{root}/training_data")
    return {"train": train, "validation": validation, "test": test}


def find_flat(
    phone_dir: Path, dslr_dir: Path, test_pairs: int, validation_pairs: int
) -> dict[str, list[Pair]]:
    """Splits the pairs of two flat folders: the last are test, those before them validation.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.
      test_pairs: pairs to hold out for test, at least 1; -1 is the rule of `hold_out_last`.
      validation_pairs: pairs to hold out for validation; 0 leaves that split out; -1 likewise.

    Returns:
      Pairs by split: train, validation (unless 0 were asked for), test.

    Raises:
      InputError: as `find_pairs`; a count is out of range or leaves nothing to train on.
    """
    if test_pairs < 1 and test_pairs != -1:
        raise InputError(f"--test_pairs={test_pairs}: must be 1 or more, or -1 for 5 %")
    if validation_pairs < -1:
        raise InputError(f"--validation_pairs={validation_pairs}: must be 0 or more, or -1 for 5 %")
    train, test = hold_out_last(find_pairs(phone_dir, dslr_dir), test_pairs, str(phone_dir))
    if not validation_pairs:
        return {"train": train, "test": test}
    train, validation = hold_out_last(train, validation_pairs, str(phone_dir))
    return {"train": train, "validation": validation, "test": test}


def hold_out_last(pairs: list[Pair], count: int, where: str) -> tuple[list[Pair], list[Pair]]:
    """Splits off one contiguous block, the last `count` pairs.

    Neighbouring numbers are patches of the same photo, so a block shares at most one photo with
    what stays, where a random choice would share nearly all of them.

    Args:
      pairs: in natural order.
      count: how many; -1 is the last 2,000, or 5 % (at least 1) of a set smaller than 40,000.
      where: what to name in the error.

    Returns:
      (pairs that stay, pairs held out), neither empty.

    Raises:
      InputError: nothing would stay.
    """
    if count == -1:
        count = max(1, min(MAX_HELD_OUT, round(len(pairs) / HELD_OUT_DIVISOR)))
    if count >= len(pairs):
        raise InputError(
            f"{where}: {len(pairs)} pair(s) are too few to hold out {count}:"
            " add pairs or hold out fewer"
        )
    return pairs[:-count], pairs[-count:]


def images_by_stem(folder: Path, suffixes: Sequence[str] = PATCH_SUFFIXES) -> dict[str, Path]:
    """Lists the images of a folder; hidden files, folders and other suffixes are passed over.

    Args:
      folder: where to look, not below it.
      suffixes: of the images, in lower case; files may have them in upper case.

    Returns:
      Files by stem, in no order; at least one.

    Raises:
      InputError: there is no such folder, it has no images, or a stem occurs twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    images = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in suffixes or stem.startswith(".") or not entry.is_file():
                continue
            if stem in images:
                raise InputError(
                    f"{entry.path}: same name as {images[stem].name}: rename or remove one"
                )
            images[stem] = folder / entry.name
    if not images:
        shown = [suffix for suffix in suffixes if suffix not in (".jpeg", ".tiff")]  # synonyms
        raise InputError(f"{folder}: no {' or '.join(shown)} files in this folder")
    return images


def natural_key(stem: str) -> tuple[list[str | int], str]:
    """Orders runs of digits by their number; the stem itself tells "1" from "01"."""
    parts = re.split(r"([0-9]+)", stem)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], stem


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", …" if len(items) > _SHOWN else "")
