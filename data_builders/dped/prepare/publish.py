"""From records of photo pairs to the layout of the published archive, and its manifest.

Which split a scene belongs to follows from its name and the names of all DSLR photos, so it is the
same for every phone that was used beside one DSLR camera, and no scene is in two splits.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from ..cli import InputError
from ..patch_pairs import (
    CAMERA_FOLDERS,
    INCOMPLETE_FILE,
    MANIFEST_FILE,
    SPLIT_FOLDERS,
    natural_key,
)
from . import overview
from .parallel import Run
from .photo_pairs import OVERVIEW_FILE

MANIFEST_COLUMNS = (
    "photo", "scene", "split", "status", "patch", "x", "y", "correlation", "shift_x", "shift_y",
    "angle", "reason",
)  # fmt: skip
HELD_OUT_SCENES = 100  # section 3.2.1: original images for test, and as many for validation
HELD_OUT_DIVISOR = 10  # of sets with fewer than 1000 scenes
WHOLE_PHOTOS = "test_data/full_size_test_images"


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the patches of one photo go.

    Attributes:
      record: path of its record without suffix.
      whole_photo: path of the phone's photo, if that is to be copied too; otherwise "".
      split: "train", "validation" or "test".
      patches: (name in the record, number in the split's folder) of each.
    """

    record: str
    whole_photo: str
    split: str
    patches: tuple[tuple[str, int], ...]


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
    records: Sequence[Mapping[str, Any]],
    unmatched: Mapping[str, str],
    splits: Mapping[str, str],
    separator: str,
) -> list[dict[str, object]]:
    """Makes the rows of the manifest: one a patch, one a photo that gives none.

    Patches are numbered in each split, photos in natural order, windows row by row. Of photos with
    the same content all but the first are rejected: they could be in two splits.

    Args:
      records: of all pairs.
      unmatched: what is wrong with the photos that have no partner, by name.
      splits: of all scenes.
      separator: see `scene_of`.

    Returns:
      One dict a row, with `MANIFEST_COLUMNS` and, for patches, `source`: the name in the record.
    """
    problems = {record["name"]: record["problem"] for record in records} | dict(unmatched)
    windows = {record["name"]: record["windows"] for record in records}
    digests = {record["name"]: record.get("sha256", []) for record in records}
    counts = dict.fromkeys(SPLIT_FOLDERS, 0)
    seen: dict[str, str] = {}
    rows = []
    for name in sorted(problems, key=natural_key):
        scene = scene_of(name, separator)
        split = splits.get(scene, "")
        row = dict.fromkeys(MANIFEST_COLUMNS, "") | {"photo": name, "scene": scene, "split": split}
        problem = problems[name]
        twins = [seen[digest] for digest in digests.get(name, []) if digest in seen]
        if twins and not problem:
            problem = f"one of its files is the same as that of {twins[0]}: remove one pair"
        if problem:
            rows.append(row | {"status": "rejected", "reason": problem})
            continue
        seen |= dict.fromkeys(digests[name], name)
        for window in windows[name]:
            if window["patch"]:
                rows.append(row | _patch_columns(window) | {"patch": counts[split]})
                counts[split] += 1
    return rows


def manifest_text(rows: Sequence[Mapping[str, object]]) -> str:
    """The manifest as CSV with a header; numbers are rounded to 4 decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, MANIFEST_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def place(
    rows: Sequence[Mapping[str, Any]], phone_photos: Mapping[str, str], work_dir: str
) -> list[Placement]:
    """Says for each photo with patches where they go.

    Args:
      rows: of the manifest.
      phone_photos: path of the phone's photo of each name.
      work_dir: folder of the records.
    """
    by_photo: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["status"] == "kept":
            by_photo.setdefault(row["photo"], []).append(row)
    return [
        Placement(
            record=f"{work_dir}/{name}",
            whole_photo=phone_photos[name] if kept[0]["split"] == "test" else "",
            split=kept[0]["split"],
            patches=tuple((row["source"], row["patch"]) for row in kept),
        )
        for name, kept in by_photo.items()
    ]


def make_folders(root: str, camera_folders: tuple[str, str]) -> None:
    """Makes the folders of the published layout."""
    for folder in SPLIT_FOLDERS.values():
        for camera in camera_folders:
            (epath.Path(root) / folder / camera).mkdir(parents=True, exist_ok=True)
    (epath.Path(root) / WHOLE_PHOTOS).mkdir(parents=True, exist_ok=True)


def write_patches(placement: Placement, root: str, camera_folders: tuple[str, str]) -> None:
    """Copies the patches of one photo from its record to where they belong.

    Args:
      placement: which, and where.
      root: the phone's folder in the published layout, with its folders made.
      camera_folders: folders of the phone's and the DSLR's patches in each split.

    Raises:
      OSError: something cannot be read or written.
    """
    folder = epath.Path(root) / SPLIT_FOLDERS[placement.split]
    with zipfile.ZipFile(io.BytesIO(epath.Path(f"{placement.record}.zip").read_bytes())) as patches:
        for name, number in placement.patches:
            for camera, camera_folder in zip(("phone", "dslr"), camera_folders, strict=True):
                file = f"{number}.{name.rsplit('.', 1)[1]}"
                (folder / camera_folder / file).write_bytes(patches.read(f"{camera}/{name}"))
    if placement.whole_photo:
        photo = epath.Path(placement.whole_photo)
        (epath.Path(root) / WHOLE_PHOTOS / photo.name).write_bytes(photo.read_bytes())


def publish(
    target: epath.Path,
    work: epath.Path,
    *,
    rows: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    phone_photos: Mapping[str, epath.Path],
    min_correlation: float,
    run: Run,
) -> bool:
    """Writes patches, whole test photos, manifest and pictures, all of them or nothing.

    An object store gets them one by one, with `INCOMPLETE_FILE` beside them until all are there.

    Args:
      target: the phone's folder in the published layout; its name is a key of `CAMERA_FOLDERS`.
      work: folder of this run, with the records in `pairs`; on the same file system.
      rows: of the manifest, see `make_rows`.
      records: of all pairs.
      phone_photos: the phone's photo of each name.
      min_correlation: patches above it were kept.
      run: calls a function for all tasks.

    Returns:
      False if `target` was up to date, and nothing was done.

    Raises:
      OSError: something cannot be written.
    """
    manifest = manifest_text(rows)
    there = (target / MANIFEST_FILE).exists() and not (target / INCOMPLETE_FILE).exists()
    if there and (target / MANIFEST_FILE).read_text() == manifest:
        return False
    # A folder of an object store cannot be renamed: there it is marked until it is complete.
    renames = "://" not in os.fspath(target)
    staged, replaced = (work / "staged", work / "replaced") if renames else (target, target)
    for leftover in (staged, replaced):
        if leftover.exists():
            leftover.rmtree()
    staged.mkdir(parents=True)
    (staged / INCOMPLETE_FILE).write_text("data_builders.dped.prepare has not finished\n")
    folders = CAMERA_FOLDERS[target.name]
    make_folders(os.fspath(staged), folders)
    sources = {name: os.fspath(photo) for name, photo in phone_photos.items()}
    placements = place(rows, sources, os.fspath(work / "pairs"))
    write = functools.partial(write_patches, root=os.fspath(staged), camera_folders=folders)
    if placements:
        run(write, placements, "writing")
        sheet = overview.contact_sheet(_pictures(placements, records))
        (staged / "contact_sheet.png").write_bytes(sheet)
    correlations = [
        window["correlation"]
        for record in records
        for window in record["windows"]
        if window["correlation"] is not None
    ]
    histogram = overview.correlation_histogram(correlations, min_correlation)
    (staged / "correlations.png").write_bytes(histogram)
    (staged / MANIFEST_FILE).write_text(manifest)
    (staged / INCOMPLETE_FILE).unlink()
    if renames:
        if target.exists():
            target.rename(replaced)
        staged.rename(target)
        if replaced.exists():
            replaced.rmtree()
    return True


def _pictures(
    placements: Sequence[Placement], records: Sequence[Mapping[str, Any]]
) -> list[tuple[str, bytes]]:
    """(caption, PNG) of aligned pairs, evenly chosen."""
    by_name = {record["name"]: record for record in records}
    chosen = placements[:: -(-len(placements) // overview.SHEET_PAIRS)]
    pictures = []
    for placement in chosen:
        record = by_name[epath.Path(placement.record).name]
        data = epath.Path(f"{placement.record}.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            picture = files.read(OVERVIEW_FILE)
        caption = (
            f"{record['name']} ({placement.split}): {len(placement.patches)} of"
            f" {len(record['windows'])} kept, {record['inliers']} inliers"
        )
        pictures.append((caption, picture))
    return pictures


def _patch_columns(window: Mapping[str, Any]) -> dict[str, object]:
    correlation = window["correlation"]
    return {
        "status": "kept",
        "source": window["patch"],
        "x": window["x"],
        "y": window["y"],
        "correlation": "" if correlation is None else f"{correlation:.4f}",
        "shift_x": f"{window['shift'][0]:.4f}",
        "shift_y": f"{window['shift'][1]:.4f}",
        "angle": f"{window['angle']:.4f}",
    }
