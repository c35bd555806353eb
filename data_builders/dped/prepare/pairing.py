"""Which photos of a phone and a DSLR camera are pairs: by their names, or by a table.

The table is CSV in UTF-8 with a header; `by_time` writes it, and a person may correct it, in a
spreadsheet too, which may save it with other separators or as UTF-16. Each row is a pair, or, with
one of the two files left empty, a photo without a partner.
"""

import codecs
import csv
import dataclasses
import importlib.util
import io
import os
from collections.abc import Iterable, Mapping, Sequence

from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.folders import HEIF_SUFFIXES, RAW_SUFFIXES, names_by_stem, natural_key

from . import splits
from .photo_pairs import PhotoPair

COLUMNS = ("camera", "phone_photo", "dslr_photo", "scene", "seconds", "inliers", "note")
_NEEDED = ("phone_photo", "dslr_photo")
_LIBRARIES = ((RAW_SUFFIXES, "camera raw", "rawpy"), (HEIF_SUFFIXES, "HEIC", "pillow-heif"))


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


@dataclasses.dataclass(frozen=True)
class Cameras:
    """The photos of all cameras.

    Attributes:
      phone_dirs: folder of each phone's photos.
      dslr_dir: folder of the DSLR camera's.
      phone: names of each phone's photos, by stem.
      dslr: names of the DSLR camera's, by stem.
    """

    phone_dirs: Mapping[str, str]
    dslr_dir: str
    phone: Mapping[str, Mapping[str, str]]
    dslr: Mapping[str, str]


def list_cameras(
    phone_dirs: Mapping[str, str], dslr_dir: str, raw_and_jpeg: str = "jpeg"
) -> Cameras:
    """Lists the photos of all folders; see `folders.names_by_stem`.

    Raises:
      InputError: as there, or a library that one of them needs is not installed.
    """
    phone = {camera: _list_photos(folder, raw_and_jpeg) for camera, folder in phone_dirs.items()}
    return Cameras(phone_dirs, dslr_dir, phone, _list_photos(dslr_dir, raw_and_jpeg))


def _list_photos(folder: str, raw_and_jpeg: str) -> dict[str, str]:
    names = names_by_stem(epath.Path(folder), folder, raw_and_jpeg)
    for suffixes, what, package in _LIBRARIES:
        needing = [name for name in names.values() if name.lower().endswith(suffixes)]
        if needing and not importlib.util.find_spec(package.replace("-", "_")):
            raise InputError(
                f"{folder}/{needing[0]}: {what} needs another library: pip install {package}"
            )
    return names


def by_name(cameras: Cameras, camera: str, separator: str = "") -> Pairing:
    """Pairs photos of the same stem.

    Args:
      cameras: all photos.
      camera: the phone.
      separator: see `splits.scene_of`.

    Raises:
      InputError: no photo has a partner.
    """
    phone, dslr = cameras.phone[camera], cameras.dslr
    phone_dir, dslr_dir = cameras.phone_dirs[camera], cameras.dslr_dir
    common = sorted(phone.keys() & dslr.keys(), key=natural_key)
    if not common:
        raise InputError(f"{phone_dir}: no photo has a partner of the same name in {dslr_dir}")
    unmatched = dict.fromkeys(phone.keys() - dslr.keys(), "no DSLR photo of this name")
    unmatched |= dict.fromkeys(dslr.keys() - phone.keys(), "no phone photo of this name")
    files = {name: (phone[name], dslr[name]) for name in common}
    scenes = {name: splits.scene_of(name, separator) for name in dslr}
    return Pairing(phone_dir, dslr_dir, files, unmatched, scenes)


def from_rows(rows: Sequence[Row], cameras: Cameras, separator: str = "") -> dict[str, Pairing]:
    """The pairs of a table, by phone.

    Args:
      rows: of the table, which names only files that are there, none twice.
      cameras: all photos.
      separator: see `splits.scene_of`; of DSLR photos whose scene the table does not say.

    Raises:
      InputError: a phone has no pair.
    """
    dslr, dslr_dir = cameras.dslr, cameras.dslr_dir
    scenes = {name: splits.scene_of(name, separator) for name in dslr}
    scenes |= {_stem(row.dslr_photo): row.scene for row in rows if row.dslr_photo and row.scene}
    pairings = {}
    for camera, phone_dir in cameras.phone_dirs.items():
        listed = [row for row in rows if row.camera == camera]
        pairs = [row for row in listed if row.phone_photo and row.dslr_photo]
        if not pairs:
            raise InputError(f"{phone_dir}: no photo has a partner in {dslr_dir}")
        files = {_stem(row.dslr_photo): (row.phone_photo, row.dslr_photo) for row in pairs}
        notes = {(r.phone_photo, r.dslr_photo): r.note for r in listed if r not in pairs}
        unmatched = {}
        for which, names in (("phone", cameras.phone[camera]), ("dslr", dslr)):
            taken = {row.phone_photo if which == "phone" else row.dslr_photo for row in pairs}
            for name in names.values():
                if name not in taken:
                    alone = (name, "") if which == "phone" else ("", name)
                    note = notes.get(alone) or "no partner in the table of pairs"
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


def read_table(file: epath.Path, cameras: Cameras) -> list[Row]:
    """Reads a table that a person may have corrected.

    Args:
      file: its columns `phone_photo` and `dslr_photo` are needed, `camera` where there are several
        phones; `scene` and `note` are read where they are there, others are passed over. Separated
        by commas, semicolons or tabs.
      cameras: all photos.

    Raises:
      InputError: it is no such table, names a file that is not there, or one twice.
      OSError: it cannot be read.
    """
    phones = list(cameras.phone_dirs)
    needed = (*_NEEDED, *(["camera"] if len(phones) > 1 else []))
    seen: dict[tuple[str, str], int] = {}
    table = []
    for number, line in _lines(file, needed):
        row = Row(
            line.get("camera") or phones[0],
            (line["phone_photo"] or "").strip(),
            (line["dslr_photo"] or "").strip(),
            scene=(line.get("scene") or "").strip(),
            note=line.get("note") or "",
        )
        problem = _problem(row, cameras)
        for photo in filter(None, (row.phone_photo, row.dslr_photo and f"{row.dslr_photo} (dslr)")):
            before = seen.setdefault((row.camera, photo), number)
            if before != number:
                problem = problem or f"{photo} is in line {before} already"
        if problem:
            raise InputError(f"{file}: line {number}: {problem}")
        table.append(row)
    return table


def _lines(file: epath.Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Number and values of each row, by the names in the header."""
    data = file.read_bytes()
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf_16 else "utf-8-sig")
        first, _, rest = text.partition("\n")
        hint = first.strip().strip('"').startswith("sep=")  # what Excel reads and others keep
        text = rest if hint else text
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names = reader.fieldnames or ()
        lines = [(reader.line_num + hint, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a table in UTF-8 or UTF-16 ({error})") from error
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(f"{file}: has no column {missing[0]}")
    return lines


def _problem(row: Row, cameras: Cameras) -> str | None:
    """What is wrong with a row by itself."""
    if row.camera not in cameras.phone:
        return f"camera {row.camera!r}: not among --phone_dir ({', '.join(cameras.phone)})"
    for photo, names, folder in (
        (row.phone_photo, cameras.phone[row.camera], cameras.phone_dirs[row.camera]),
        (row.dslr_photo, cameras.dslr, cameras.dslr_dir),
    ):
        if photo and names.get(_stem(photo)) != photo:
            return f"{photo}: no such photo in {folder}"
    return None
