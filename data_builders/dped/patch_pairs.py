"""Finds pairs of patches on disk and splits them. Opens no image, writes nothing.

A pair is two files of the same stem, one in the phone's folder and one in the DSLR camera's. Files
are .jpg, .jpeg or .png; other files in the folders are ignored. Pairs are in natural order of
their stems (2 before 10) everywhere. A manifest.csv in the phone's folder says which photograph
each patch was cut from, and how well the pair correlates.
"""

from pathlib import Path
from typing import TypeVar

from dped_jax.base.errors import InputError
from dped_jax.base.folders import names_by_stem, some

from . import manifest
from .layout import INCOMPLETE_FILE, MANIFEST_FILE, SPLIT_FOLDERS
from .pair_list import Pair, PairList, natural_order

__all__ = ["Pair", "find_flat", "find_pairs", "find_published", "hold_out_last"]

Pairs = TypeVar("Pairs", PairList, list)

MAX_HELD_OUT = 2000  # section 3.2.1: 2K validation patches
HELD_OUT_DIVISOR = 20  # a small set gives 5 % instead


def find_pairs(phone_dir: Path, dslr_dir: Path) -> PairList:
    """Lists the pairs of two folders in natural order of their stems.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.

    Returns:
      The pairs; at least one.

    Raises:
      InputError: a folder is missing or empty, a stem occurs twice, or a file has no partner.
    """
    phone, dslr = (names_by_stem(folder, str(folder)) for folder in (phone_dir, dslr_dir))
    for folder, files, other, other_dir in (
        (phone_dir, phone, dslr, dslr_dir),
        (dslr_dir, dslr, phone, phone_dir),
    ):
        alone = natural_order({stem: "" for stem in files if stem not in other})
        if alone:
            shown = some([str(folder / files[stem]) for stem in alone], 3)
            raise InputError(
                f"{shown}: no partner of the same name in"
                f" {other_dir} for {len(alone)} file(s): add the partners or remove the files"
            )
    return PairList.of_files(phone_dir, dslr_dir, phone, dslr)


def find_published(root: Path, phone_folder: str, dslr_folder: str) -> dict[str, PairList]:
    """Lists the pairs of each split in the layout of the published archive.

    The archive has no validation split and no photo ids: unless `validation_data/patches` exists,
    validation is the last block of training patches by number (see `hold_out_last`), and without a
    manifest the photos and correlations of pairs are unknown.

    Args:
      root: the phone's folder, with `training_data` and `test_data/patches` in it.
      phone_folder: name of the folder of phone patches, e.g. "iphone".
      dslr_folder: name of the folder of DSLR patches, e.g. "canon".

    Returns:
      Pairs by split: train, validation, test.

    Raises:
      InputError: a folder is missing or empty, a file has no partner, there are too few pairs, or
        the manifest cannot be read or is not about these patches.
    """
    if not root.is_dir():
        raise InputError(
            f"{root}: no such folder: --manual_dir must be the folder that holds {root.name}/,"
            " with training_data and test_data in it"
        )
    if (root / INCOMPLETE_FILE).exists():
        raise InputError(
            f"{root}: was not written to its end: run data_builders.dped.prepare again"
        )

    splits: dict[str, PairList] = {}
    for split, folder in SPLIT_FOLDERS.items():
        if split != "validation" or (root / "validation_data").is_dir():
            splits[split] = find_pairs(root / folder / phone_folder, root / folder / dslr_folder)
    if (root / MANIFEST_FILE).exists():
        manifest.add_to(splits, root / MANIFEST_FILE)
    train, test = splits["train"], splits["test"]
    if "validation" in splits:
        validation = splits["validation"]
    else:
        train, validation = hold_out_last(train, -1, f"{root}/training_data")
    return {"train": train, "validation": validation, "test": test}


def find_flat(
    phone_dir: Path, dslr_dir: Path, test_pairs: int, validation_pairs: int
) -> dict[str, PairList]:
    """Splits the pairs of two flat folders: the last are test, those before them validation.

    Args:
      phone_dir: folder of the phone's patches.
      dslr_dir: folder of the DSLR camera's patches.
      test_pairs: pairs to hold out for test; 0 leaves that split out; -1 is the rule of
        `hold_out_last`.
      validation_pairs: pairs to hold out for validation; 0 and -1 likewise.

    Returns:
      Pairs by split: train, validation, test, without those of which 0 were asked for.

    Raises:
      InputError: as `find_pairs`; a count is out of range or leaves nothing to train on.
    """
    counts = {"test": test_pairs, "validation": validation_pairs}
    for split, count in counts.items():
        if count < -1:
            raise InputError(f"--{split}_pairs={count}: must be 0 or more, or -1 for 5 %")
    train, held_out = find_pairs(phone_dir, dslr_dir), {}
    for split, count in counts.items():
        if count:
            train, held_out[split] = hold_out_last(train, count, str(phone_dir))
    return {"train": train} | dict(reversed(held_out.items()))


def hold_out_last(pairs: Pairs, count: int, where: str) -> tuple[Pairs, Pairs]:
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
