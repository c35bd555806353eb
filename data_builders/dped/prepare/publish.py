"""From records of photo pairs to patches, whole photos, manifest and pictures in their places."""

import collections
import dataclasses
import functools
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence

from etils import epath

from dped_jax.base.errors import InputError

from ..layout import (
    ALIGNED_PHOTOS,
    CAMERA_FOLDERS,
    INCOMPLETE_FILE,
    MANIFEST_FILE,
    RAW_DEVELOPMENT_FILE,
    SPLIT_FOLDERS,
    WHOLE_PHOTOS,
)
from . import overview, records
from .pairing import Pairing
from .parallel import Run, Tasks
from .photo_pairs import ALIGNED_FILES, OVERVIEW_FILE, Settings
from .summary import Kept, Summary

_BLOCK = 1 << 20  # bytes read at once


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the patches of one photo go.

    Attributes:
      record: path of its record without suffix.
      whole_photo: path of the phone's photo, if that is to be copied too, by the name of the pair;
        otherwise "".
      split: "train", "validation" or "test".
      first: number of the first patch in the split's folder; the others follow.
      aligned: whether the whole aligned photos are to be written, too.
    """

    record: str
    whole_photo: str
    split: str
    first: int
    aligned: bool


def place(kept: Kept, pairing: Pairing, work_dir: str, keep_aligned: bool) -> Placement:
    """Says where the patches of a photo go.

    Args:
      kept: the photo.
      pairing: of all photos.
      work_dir: folder of the records.
      keep_aligned: see `photo_pairs.Settings`.
    """
    return Placement(
        record=f"{work_dir}/{kept.name}",
        whole_photo=pairing.pair(kept.name).phone if kept.split == "test" else "",
        split=kept.split,
        first=kept.first,
        aligned=keep_aligned,
    )


def whole_photo_name(placement: Placement) -> str:
    """What the copy of the phone's photo is called."""
    return epath.Path(placement.record).name + epath.Path(placement.whole_photo).suffix


def is_whole(target: epath.Path, placements: Tasks, patches: dict[str, int], suffix: str) -> bool:
    """Whether the patches and whole photos are there, those and no others.

    Args:
      target: the phone's folder.
      placements: of all photos with patches.
      patches: how many each split has.
      suffix: of their files.
    """
    wanted: dict[str, set[str]] = collections.defaultdict(set)
    camera_folders = CAMERA_FOLDERS[target.name]
    for placement in placements:
        if placement.whole_photo:
            wanted[WHOLE_PHOTOS].add(whole_photo_name(placement))
        if placement.aligned:
            file = f"{epath.Path(placement.record).name}.png"
            for camera in camera_folders:
                wanted[f"{ALIGNED_PHOTOS}/{placement.split}/{camera}"].add(file)
    try:
        for folder, names in wanted.items():
            if {file.name for file in (target / folder).iterdir()} != names:
                return False
        for split, camera in itertools.product(patches, camera_folders):
            folder, count = f"{SPLIT_FOLDERS[split]}/{camera}", 0
            for file in (target / folder).iterdir() if patches[split] else ():
                stem, _, end = file.name.rpartition(".")
                if f".{end}" != suffix or not stem.isdecimal() or int(stem) >= patches[split]:
                    return False
                count += 1
            if count != patches[split]:
                return False
    except OSError:
        return False
    return True


def write_patches(
    placements: Sequence[Placement], root: str, camera_folders: tuple[str, str]
) -> None:
    """Brings the patches of a few photos from their records to where they belong.

    Args:
      placements: which, and where.
      root: the phone's folder in the published layout, with its folders made.
      camera_folders: folders of the phone's and the DSLR's patches in each split.

    Raises:
      InputError: a record is damaged.
      OSError: something cannot be read or written.
    """
    for placement in placements:
        record = records.read(placement.record)
        if record is None:
            raise InputError(f"{placement.record}.json: damaged: the same command makes it again")
        names = [window["patch"] for window in record["windows"] if window["patch"]]
        targets = {}
        for camera, folder in zip(("phone", "dslr"), camera_folders, strict=True):
            for number, name in enumerate(names, placement.first):
                file = f"{SPLIT_FOLDERS[placement.split]}/{folder}/{number}{name[-4:]}"
                targets[f"{camera}/{name}"] = f"{root}/{file}"
            if placement.aligned:
                file = f"{ALIGNED_PHOTOS}/{placement.split}/{folder}/{record['name']}.png"
                targets[ALIGNED_FILES[camera]] = f"{root}/{file}"
        records.place(placement.record, targets)
        if placement.whole_photo:
            copy = epath.Path(root) / WHOLE_PHOTOS / whole_photo_name(placement)
            copy.write_bytes(epath.Path(placement.whole_photo).read_bytes())


def publish(
    target: epath.Path,
    work: epath.Path,
    *,
    summary: Summary,
    pairing: Pairing,
    settings: Settings,
    run: Run,
) -> bool:
    """Writes patches, whole test photos, manifest and pictures, all of them or nothing.

    An object store gets them one by one, with `INCOMPLETE_FILE` beside them until all are there.

    Args:
      target: the phone's folder in the published layout; its name is a key of `CAMERA_FOLDERS`.
      work: folder of this run, with the records in `pairs` and the manifest; on the same file
        system.
      summary: of all records and rows.
      pairing: of all photos.
      settings: those that the records were made with.
      run: calls a function for all tasks.

    Returns:
      False if `target` was up to date, and nothing was done.

    Raises:
      OSError: something cannot be written.
    """
    make = functools.partial(
        place,
        pairing=pairing,
        work_dir=os.fspath(work / "pairs"),
        keep_aligned=settings.keep_aligned,
    )
    placements = Tasks(summary.kept, make)
    there = (target / MANIFEST_FILE).exists() and not (target / INCOMPLETE_FILE).exists()
    suffix = f".{settings.patch_format}"
    if (
        there
        and _equal(target / MANIFEST_FILE, work / MANIFEST_FILE)
        and is_whole(target, placements, summary.patches, suffix)
    ):
        (work / MANIFEST_FILE).unlink()
        return False
    # A folder of an object store cannot be renamed: there it is marked until it is complete.
    renames = "://" not in os.fspath(target)
    staged, replaced = (work / "staged", work / "replaced") if renames else (target, target)
    for leftover in (staged, replaced):
        if leftover.exists():
            leftover.rmtree()
    staged.mkdir(parents=True)
    (staged / INCOMPLETE_FILE).write_text("data_builders.dped.prepare has not finished\n")
    _write_placements(
        placements, os.fspath(staged), CAMERA_FOLDERS[target.name], settings.keep_aligned, run
    )
    _write_pictures(staged, [make(kept) for kept in _chosen(summary.kept)], summary)
    with (work / MANIFEST_FILE).open("rb") as rows, (staged / MANIFEST_FILE).open("wb") as copy:
        shutil.copyfileobj(rows, copy, _BLOCK)
    (work / MANIFEST_FILE).unlink()
    (staged / INCOMPLETE_FILE).unlink()
    if renames:
        if target.exists():
            target.rename(replaced)
        staged.rename(target)
        if replaced.exists():
            replaced.rmtree()
    return True


def _equal(a: epath.Path, b: epath.Path) -> bool:
    """Whether two files hold the same."""
    with a.open("rb") as first, b.open("rb") as second:
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
        return not second.read(1)


def _write_placements(
    placements: Tasks, root: str, camera_folders: tuple[str, str], aligned: bool, run: Run
) -> None:
    """Makes the folders of the published layout and brings all patches there."""
    wanted = [*SPLIT_FOLDERS.values(), *(f"{ALIGNED_PHOTOS}/{s}" for s in SPLIT_FOLDERS if aligned)]
    for folder in wanted:
        for camera in camera_folders:
            (epath.Path(root) / folder / camera).mkdir(parents=True, exist_ok=True)
    (epath.Path(root) / WHOLE_PHOTOS).mkdir(parents=True, exist_ok=True)
    if len(placements):
        write = functools.partial(write_patches, root=root, camera_folders=camera_folders)
        run(write, _Groups(placements), "writing")


class _Groups(Tasks):
    """Placements a few at a time: handing them out one by one would take longer than the work."""

    def __init__(self, placements: Tasks, size: int = 8):
        super().__init__(range(0, len(placements), size), list)
        self._placements, self._size = placements, size

    def __iter__(self) -> Iterator[list[Placement]]:
        left = iter(self._placements)
        while group := list(itertools.islice(left, self._size)):
            yield group


def _write_pictures(folder: epath.Path, chosen: Sequence[Placement], summary: Summary) -> None:
    """Writes the contact sheet, the histogram, and how raw photos were developed."""
    if summary.developed:
        found = summary.developed.items()
        lines = [f"{count} pair(s) with raw photos: {how}\n" for how, count in found]
        (folder / RAW_DEVELOPMENT_FILE).write_text("".join(lines))
    if chosen:
        sheet = overview.contact_sheet(list(map(_picture, chosen)))
        (folder / "contact_sheet.png").write_bytes(sheet)
    (folder / "correlations.png").write_bytes(overview.correlation_histogram(summary))


def _chosen(kept: Sequence[Kept]) -> Sequence[Kept]:
    """Photos for the contact sheet, evenly chosen."""
    return kept[:: max(1, -(-len(kept) // overview.SHEET_PAIRS))]


def _picture(placement: Placement) -> tuple[str, bytes]:
    """Caption and picture of an aligned pair."""
    picture = records.read_file(placement.record, OVERVIEW_FILE)
    record = records.read(placement.record) or {"windows": []}
    kept = sum(window["patch"] is not None for window in record["windows"])
    caption = (
        f"{record['name']} ({placement.split}): {kept} of {len(record['windows'])} kept,"
        f" {record['inliers']} inliers"
    )
    return caption, picture
