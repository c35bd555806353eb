"""Which photos of a phone and a DSLR camera are pairs: by their names, or by a table.

The table is CSV in UTF-8 with a header; `by_time` writes it, and a person may correct it. Each row
is a pair, or, with one of the two files left empty, a photo without a partner.
"""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Mapping, Sequence, Set

from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.folders import names_by_stem, natural_key

from . import photo_files, splits
from .photo_pairs import PhotoPair

COLUMNS = ("camera", "phone_photo", "dslr_photo", "scene", "seconds", "inliers", "note")
_NEEDED = ("phone_photo", "dslr_photo")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      camera: name of the phone, a key of `CAMERA_FOLDERS`.
      phone_photo: file name; "" if the DSLR photo has no partner.
      dslr_photo: likewise.
      scene: of the DSLR photo; pairs of one scene go to one split.
      seconds: the DSLR's time minus the phone's, by one clock; None where unknown.
      inliers: keypoints that agree on a homography; None where unknown.
      note: why there is no partner.
    """

    camera: str
    phone_photo: str
    dslr_photo: str
    scene: str = ""
    seconds: float | None = None
    inliers: int | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The pairs of one phone. A pair has the name of its DSLR photo, without suffix.

    Attributes:
      phone_dir: folder of the phone's photos.
      dslr_dir: folder of the DSLR camera's.
      files: names of the two files of each pair, by its name, in natural order.
      unmatched: what is wrong with each photo that has no partner.
      scenes: of all DSLR photos, by their names.
    """

    phone_dir: str
    dslr_dir: str
    files: Mapping[str, tuple[str, str]]
    unmatched: Mapping[str, str]
    scenes: Mapping[str, str]

    def pair(self, name: str) -> PhotoPair:
        """The pair of a name."""
        phone, dslr = self.files[name]
        return PhotoPair(name, f"{self.phone_dir}/{phone}", f"{self.dslr_dir}/{dslr}")


def list_photos(folder: str) -> dict[str, str]:
    """Names of a folder's photos by stem; see `folders.names_by_stem`.

    Raises:
      InputError: as there, or a library that one of them needs is not installed.
    """
    names = names_by_stem(epath.Path(folder), folder)
    for suffix in {os.path.splitext(name)[1] for name in names.values()}:
        photo_files.library(suffix)
    return names


def by_name(phone_dir: str, dslr_dir: str, separator: str = "") -> Pairing:
    """Pairs photos of the same stem.

    Args:
      phone_dir: folder of the phone's photos.
      dslr_dir: folder of the DSLR camera's.
      separator: see `splits.scene_of`.

    Raises:
      InputError: as `list_photos`, or no photo has a partner.
    """
    phone, dslr = list_photos(phone_dir), list_photos(dslr_dir)
    common = sorted(phone.keys() & dslr.keys(), key=natural_key)
    if not common:
        raise InputError(f"{phone_dir}: no photo has a partner of the same name in {dslr_dir}")
    unmatched = dict.fromkeys(phone.keys() - dslr.keys(), "no DSLR photo of this name")
    unmatched |= dict.fromkeys(dslr.keys() - phone.keys(), "no phone photo of this name")
    files = {name: (phone[name], dslr[name]) for name in common}
    scenes = {name: splits.scene_of(name, separator) for name in dslr}
    return Pairing(phone_dir, dslr_dir, files, unmatched, scenes)


def from_rows(
    rows: Sequence[Row], phone_dirs: Mapping[str, str], dslr_dir: str, separator: str = ""
) -> dict[str, Pairing]:
    """The pairs of a table, by phone.

    Args:
      rows: of the table, which names only files that are there, none twice.
      phone_dirs: folder of each phone's photos.
      dslr_dir: folder of the DSLR camera's.
      separator: see `splits.scene_of`; of DSLR photos whose scene the table does not say.

    Raises:
      InputError: as `list_photos`, or a phone has no pair.
    """
    dslr = list_photos(dslr_dir)
    scenes = {name: splits.scene_of(name, separator) for name in dslr}
    scenes |= {_stem(row.dslr_photo): row.scene for row in rows if row.dslr_photo and row.scene}
    pairings = {}
    for camera, phone_dir in phone_dirs.items():
        listed = [row for row in rows if row.camera == camera]
        pairs = [row for row in listed if row.phone_photo and row.dslr_photo]
        if not pairs:
            raise InputError(f"{phone_dir}: no photo has a partner in {dslr_dir}")
        files = {_stem(row.dslr_photo): (row.phone_photo, row.dslr_photo) for row in pairs}
        notes = {row.phone_photo or row.dslr_photo: row.note for row in listed if row not in pairs}
        unmatched = {}
        for which, names in (("phone", list_photos(phone_dir)), ("dslr", dslr)):
            taken = {row.phone_photo if which == "phone" else row.dslr_photo for row in pairs}
            for name in names.values():
                if name not in taken:
                    note = notes.get(name) or "no partner in the table of pairs"
                    unmatched[f"{name} ({which})"] = note
        in_order = {name: files[name] for name in sorted(files, key=natural_key)}
        pairings[camera] = Pairing(phone_dir, dslr_dir, in_order, unmatched, scenes)
    return pairings


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def as_text(rows: Iterable[Row]) -> str:
    """The table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = dataclasses.asdict(row)
        if row.seconds is not None:
            values["seconds"] = f"{row.seconds:.2f}"
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
    return text.getvalue()


def read_table(file: epath.Path, phone_dirs: Mapping[str, str], dslr_dir: str) -> list[Row]:
    """Reads a table that a person may have corrected.

    Args:
      file: its columns `phone_photo` and `dslr_photo` are needed, `camera` where there are several
        phones; `scene` and `note` are read where they are there, others are passed over.
      phone_dirs: folder of each phone's photos.
      dslr_dir: folder of the DSLR camera's.

    Raises:
      InputError: it is no such table, names a file that is not there, or one twice.
      OSError: it cannot be read.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = lines.fieldnames or ()
        rows = [(lines.line_num, line) for line in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a table in UTF-8 ({error})") from error
    needed = (*_NEEDED, *(["camera"] if len(phone_dirs) > 1 else []))
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{file}: has no column {missing[0]}")
    known = {camera: set(list_photos(folder).values()) for camera, folder in phone_dirs.items()}
    dslr = set(list_photos(dslr_dir).values())
    seen: dict[tuple[str, str], int] = {}
    table = []
    for number, line in rows:
        row = Row(
            line.get("camera") or next(iter(phone_dirs)),
            (line["phone_photo"] or "").strip(),
            (line["dslr_photo"] or "").strip(),
            scene=(line.get("scene") or "").strip(),
            note=line.get("note") or "",
        )
        problem = _problem(row, phone_dirs, dslr_dir, known, dslr)
        for photo in filter(None, (row.phone_photo, row.dslr_photo and f"{row.dslr_photo} (dslr)")):
            before = seen.setdefault((row.camera, photo), number)
            if before != number:
                problem = problem or f"{photo} is in line {before} already"
        if problem:
            raise InputError(f"{file}: line {number}: {problem}")
        table.append(row)
    return table


def _problem(
    row: Row,
    phone_dirs: Mapping[str, str],
    dslr_dir: str,
    phone: Mapping[str, Set[str]],
    dslr: Set[str],
) -> str | None:
    """What is wrong with a row by itself."""
    if row.camera not in phone_dirs:
        return f"camera {row.camera!r}: not among --phone_dir ({', '.join(phone_dirs)})"
    for photo, there, folder in (
        (row.phone_photo, phone[row.camera], phone_dirs[row.camera]),
        (row.dslr_photo, dslr, dslr_dir),
    ):
        if photo and photo not in there:
            return f"{photo}: no such photo in {folder}"
    return None
