"""Which split a photo's patches go to, and their numbers there: the rows of the manifest.

Which split a scene belongs to follows from its name and the names of all DSLR photos, so it is the
same for every phone that was used beside one DSLR camera, and no scene is in two splits.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dped_jax.base.errors import InputError
from dped_jax.base.folders import natural_key

from .. import manifest
from ..layout import SPLIT_FOLDERS

HELD_OUT_SCENES = 100  # section 3.2.1: original images for test, and as many for validation
HELD_OUT_DIVISOR = 10  # of sets with fewer than 1000 scenes
_DIGEST = 24  # hex digits of SHA-256 that are compared: 96 bits


def scene_of(name: str, separator: str) -> str:
    """The scene of a photo: its name up to the last `separator`, or all of it if that is ""."""
    return name.rsplit(separator, 1)[0] if separator and separator in name else name


def assign_splits(
    scenes: Iterable[str], test_scenes: int, validation_scenes: int
) -> dict[str, str]:
    """Assigns whole scenes to splits, in an order that looks random and is always the same.

    Args:
      scenes: names of all scenes.
      test_scenes: how many for test; -1 is 100, or a tenth (at least 1) of fewer than 1000.
      validation_scenes: how many for validation; likewise.

    Returns:
      Split of each scene.

    Raises:
      InputError: a count is out of range, or leaves nothing to train on.
    """
    order = sorted(set(scenes), key=lambda scene: hashlib.sha256(scene.encode()).digest())
    default = min(HELD_OUT_SCENES, max(1, round(len(order) / HELD_OUT_DIVISOR)))
    counts = []
    for flag, count in (("test", test_scenes), ("validation", validation_scenes)):
        if count < 1 and count != -1:
            raise InputError(f"--{flag}_scenes={count}: must be 1 or more, or -1 for a tenth")
        counts.append(default if count == -1 else count)
    test, held_out = counts[0], sum(counts)
    if held_out >= len(order):
        raise InputError(
            f"{len(order)} scene(s) are too few to hold out {test} for test and"
            f" {counts[1]} for validation: add photos, or lower --test_scenes"
        )
    return {
        scene: "test" if rank < test else "validation" if rank < held_out else "train"
        for rank, scene in enumerate(order)
    }


def make_rows(
    records: Iterable[Mapping[str, Any]],
    unmatched: Mapping[str, str],
    splits: Mapping[str, str],
    scenes: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Makes the rows of the manifest: one a patch, one a photo that gives none.

    Patches are numbered in each split, photos in natural order, windows row by row. Of photos with
    the same content all but the first are rejected: they could be in two splits.

    Args:
      records: of all pairs, in natural order of their names.
      unmatched: what is wrong with the photos that have no partner, by name.
      splits: of all scenes.
      scenes: of the DSLR photos, by their names; that of a phone photo without partner is its name.

    Yields:
      One dict a row, with `manifest.COLUMNS`.
    """
    counts = dict.fromkeys(SPLIT_FOLDERS, 0)
    seen: dict[str, str] = {}
    alone = (
        {"name": name, "problem": unmatched[name]} for name in sorted(unmatched, key=natural_key)
    )
    for record in heapq.merge(records, alone, key=lambda each: natural_key(each["name"])):
        name = record["name"]
        scene = scenes.get(name, name)
        split = splits.get(scene, "")
        row = dict.fromkeys(manifest.COLUMNS, "") | {"photo": name, "scene": scene, "split": split}
        problem = record["problem"]
        digests = [digest[:_DIGEST] for digest in record.get("sha256", [])]
        twins = [seen[digest] for digest in digests if digest in seen]
        if twins and not problem:
            problem = f"one of its files is the same as that of {twins[0]}: remove one pair"
        if problem:
            yield row | {"status": "rejected", "reason": problem}
            continue
        seen |= dict.fromkeys(digests, name)
        for window in record["windows"]:
            if window["patch"]:
                kept = {name: record.get(name, "") for name in ("turned", "libraries")}
                yield row | _patch_columns(window) | kept | {"patch": counts[split]}
                counts[split] += 1


def _patch_columns(window: Mapping[str, Any]) -> dict[str, object]:
    correlation = window["correlation"]
    return {
        "status": "kept",
        "x": window["x"],
        "y": window["y"],
        "correlation": "" if correlation is None else f"{correlation:.4f}",
        "shift_x": f"{window['shift'][0]:.4f}",
        "shift_y": f"{window['shift'][1]:.4f}",
        "angle": f"{window['angle']:.4f}",
    }
