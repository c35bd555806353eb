"""From records of photo pairs to patches, whole photos, manifest and pictures in their places."""

import collections
import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from .. import manifest
from ..layout import (
    ALIGNED_PHOTOS,
    CAMERA_FOLDERS,
    INCOMPLETE_FILE,
    MANIFEST_FILE,
    RAW_DEVELOPMENT_FILE,
    SPLIT_FOLDERS,
    WHOLE_PHOTOS,
)
from . import overview
from .parallel import Run
from .photo_pairs import ALIGNED_FILES, OVERVIEW_FILE, Settings, encoded_patches


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the patches of one photo go.

    Attributes:
      record: path of its record without suffix.
      whole_photo: path of the phone's photo, if that is to be copied too, by the name of the pair;
        otherwise "".
      split: "train", "validation" or "test".
      patches: (name in the record, number in the split's folder) of each.
      aligned: whether the whole aligned photos are to be written, too.
    """

    record: str
    whole_photo: str
    split: str
    patches: tuple[tuple[str, int], ...]
    aligned: bool


def place(
    rows: Sequence[Mapping[str, Any]],
    phone_photos: Mapping[str, str],
    work_dir: str,
    keep_aligned: bool,
) -> list[Placement]:
    """Says for each photo with patches where they go.

    Args:
      rows: of the manifest.
      phone_photos: path of the phone's photo of each name.
      work_dir: folder of the records.
      keep_aligned: see `photo_pairs.Settings`.
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
            aligned=keep_aligned,
        )
        for name, kept in by_photo.items()
    ]


def patch_files(placement: Placement, camera_folders: tuple[str, str]) -> dict[str, str]:
    """Paths below the phone's folder by name in the record, of what one photo has given."""
    files = {}
    for camera, folder in zip(("phone", "dslr"), camera_folders, strict=True):
        for name, number in placement.patches:
            file = f"{SPLIT_FOLDERS[placement.split]}/{folder}/{number}{name[-4:]}"
            files[f"{camera}/{name}"] = file
        if placement.aligned:
            stem = epath.Path(placement.record).name
            files[ALIGNED_FILES[camera]] = f"{ALIGNED_PHOTOS}/{placement.split}/{folder}/{stem}.png"
    return files


def whole_photo_name(placement: Placement) -> str:
    """What the copy of the phone's photo is called."""
    return epath.Path(placement.record).name + epath.Path(placement.whole_photo).suffix


def is_whole(target: epath.Path, placements: Sequence[Placement]) -> bool:
    """Whether the patches and whole photos are there, those and no others."""
    camera_folders = CAMERA_FOLDERS[target.name]
    wanted: dict[str, set[str]] = {
        f"{folder}/{camera}": set()
        for folder in SPLIT_FOLDERS.values()
        for camera in camera_folders
    }
    wanted[WHOLE_PHOTOS] = {whole_photo_name(each) for each in placements if each.whole_photo}
    for placement in placements:
        for file in patch_files(placement, camera_folders).values():
            folder, _, name = file.rpartition("/")
            wanted.setdefault(folder, set()).add(name)
    try:
        return all(
            {file.name for file in (target / folder).iterdir()} == names
            for folder, names in wanted.items()
            if names
        )
    except OSError:
        return False


def write_patches(placement: Placement, root: str, camera_folders: tuple[str, str]) -> None:
    """Copies the patches of one photo from its record to where they belong.

    Args:
      placement: which, and where.
      root: the phone's folder in the published layout, with its folders made.
      camera_folders: folders of the phone's and the DSLR's patches in each split.

    Raises:
      InputError: the record is damaged.
      OSError: something cannot be read or written.
    """
    with encoded_patches(placement.record) as patches:
        encoded = {
            file: patches.read(name)
            for name, file in patch_files(placement, camera_folders).items()
        }
    for file, data in encoded.items():
        (epath.Path(root) / file).write_bytes(data)
    if placement.whole_photo:
        copy = epath.Path(root) / WHOLE_PHOTOS / whole_photo_name(placement)
        copy.write_bytes(epath.Path(placement.whole_photo).read_bytes())


def publish(
    target: epath.Path,
    work: epath.Path,
    *,
    rows: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    phone_photos: Mapping[str, str],
    settings: Settings,
    run: Run,
) -> bool:
    """Writes patches, whole test photos, manifest and pictures, all of them or nothing.

    An object store gets them one by one, with `INCOMPLETE_FILE` beside them until all are there.

    Args:
      target: the phone's folder in the published layout; its name is a key of `CAMERA_FOLDERS`.
      work: folder of this run, with the records in `pairs`; on the same file system.
      rows: of the manifest, see `splits.make_rows`.
      records: of all pairs.
      phone_photos: path of the phone's photo of each name.
      settings: those that the records were made with.
      run: calls a function for all tasks.

    Returns:
      False if `target` was up to date, and nothing was done.

    Raises:
      OSError: something cannot be written.
    """
    table = manifest.as_text(rows).encode()
    placements = place(rows, phone_photos, os.fspath(work / "pairs"), settings.keep_aligned)
    there = (target / MANIFEST_FILE).exists() and not (target / INCOMPLETE_FILE).exists()
    if there and (target / MANIFEST_FILE).read_bytes() == table and is_whole(target, placements):
        return False
    # A folder of an object store cannot be renamed: there it is marked until it is complete.
    renames = "://" not in os.fspath(target)
    staged, replaced = (work / "staged", work / "replaced") if renames else (target, target)
    for leftover in (staged, replaced):
        if leftover.exists():
            leftover.rmtree()
    staged.mkdir(parents=True)
    (staged / INCOMPLETE_FILE).write_text("data_builders.dped.prepare has not finished\n")
    _write_placements(placements, os.fspath(staged), CAMERA_FOLDERS[target.name], run)
    _write_pictures(staged, placements, records, settings.min_correlation)
    (staged / MANIFEST_FILE).write_bytes(table)
    (staged / INCOMPLETE_FILE).unlink()
    if renames:
        if target.exists():
            target.rename(replaced)
        staged.rename(target)
        if replaced.exists():
            replaced.rmtree()
    return True


def _write_placements(
    placements: Sequence[Placement], root: str, camera_folders: tuple[str, str], run: Run
) -> None:
    """Makes the folders of the published layout and writes all patches there."""
    aligned = any(placement.aligned for placement in placements)
    wanted = [*SPLIT_FOLDERS.values(), *(f"{ALIGNED_PHOTOS}/{s}" for s in SPLIT_FOLDERS if aligned)]
    for folder in wanted:
        for camera in camera_folders:
            (epath.Path(root) / folder / camera).mkdir(parents=True, exist_ok=True)
    (epath.Path(root) / WHOLE_PHOTOS).mkdir(parents=True, exist_ok=True)
    if placements:
        write = functools.partial(write_patches, root=root, camera_folders=camera_folders)
        run(write, placements, "writing")


def _write_pictures(
    folder: epath.Path,
    placements: Sequence[Placement],
    records: Sequence[Mapping[str, Any]],
    min_correlation: float,
) -> None:
    """Writes the contact sheet, the histogram, and how raw photos were developed."""
    developed = collections.Counter(filter(None, (each.get("developed") for each in records)))
    if developed:
        lines = [f"{count} pair(s) with raw photos: {how}\n" for how, count in developed.items()]
        (folder / RAW_DEVELOPMENT_FILE).write_text("".join(lines))
    if placements:
        sheet = overview.contact_sheet(_pictures(placements, records))
        (folder / "contact_sheet.png").write_bytes(sheet)
    correlations = [
        window["correlation"]
        for record in records
        for window in record["windows"]
        if window["correlation"] is not None
    ]
    histogram = overview.correlation_histogram(correlations, min_correlation)
    (folder / "correlations.png").write_bytes(histogram)


def _pictures(
    placements: Sequence[Placement], records: Sequence[Mapping[str, Any]]
) -> list[tuple[str, bytes]]:
    """(caption, PNG) of aligned pairs, evenly chosen."""
    by_name = {record["name"]: record for record in records}
    chosen = placements[:: -(-len(placements) // overview.SHEET_PAIRS)]
    pictures = []
    for placement in chosen:
        record = by_name[epath.Path(placement.record).name]
        with encoded_patches(placement.record) as files:
            picture = files.read(OVERVIEW_FILE)
        caption = (
            f"{record['name']} ({placement.split}): {len(placement.patches)} of"
            f" {len(record['windows'])} kept, {record['inliers']} inliers"
        )
        pictures.append((caption, picture))
    return pictures
