"""The table of patches beside them, manifest.csv, as it is written and as it is read.

It has a row for each patch, of status `kept`, and one for each photo that gave none, of status
`rejected`.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from etils import epath

from .cli import InputError
from .layout import SPLIT_FOLDERS
from .picture_files import natural_key, some

COLUMNS = (
    "photo", "scene", "split", "status", "patch", "x", "y", "correlation", "shift_x", "shift_y",
    "angle", "turned", "reason",
)  # fmt: skip
_COLUMNS_READ = ("photo", "split", "status", "patch", "correlation")
_DECIMAL = r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?"


def write(file: epath.Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Writes the manifest, row by row: CSV with a header; of each row, the values of `COLUMNS`."""
    with file.open("w") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_patches(
    file: Path, on_disk: Mapping[str, Set[str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Reads the photo and the correlation of each patch.

    Args:
      file: table in UTF-8 with a header. Its rows of status `kept` describe one patch each, by
        `split` and `patch` (the stem); those of status `rejected` are passed over.
      on_disk: stems of the patches of each split.

    Returns:
      `photo` and `correlation` by (split, stem); an empty correlation is NaN.

    Raises:
      InputError: the manifest cannot be read, lacks a patch, or has one that is not there.
      OSError: there is none.
    """
    listed = _read_kept(file)
    for split in SPLIT_FOLDERS:
        stems = on_disk.get(split, set())
        in_manifest = {stem for listed_split, stem in listed if listed_split == split}
        for differing, what in (
            (stems - in_manifest, f"lacks {split} patches that are on disk"),
            (in_manifest - stems, f"lists {split} patches that are not on disk"),
        ):
            if differing:
                raise _error(file, f"{what}: {some(sorted(differing, key=natural_key))}")
    return listed


def _read_kept(file: Path) -> dict[tuple[str, str], dict[str, str | float]]:
    """Reads the rows of status `kept`, by (split, stem)."""
    listed = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, strict=True)
            missing = [name for name in _COLUMNS_READ if name not in (rows.fieldnames or ())]
            if missing:
                raise _error(file, f"has no column {missing[0]}")
            for row in rows:
                patch = row["split"], row["patch"]
                problem = "listed twice" if patch in listed else _row_problem(row)
                if problem:
                    where = f"line {rows.line_num} (patch {row['patch']!r})"
                    raise _error(file, f"{where}: {problem}")
                if row["status"] == "kept":
                    correlation = float(row["correlation"] or math.nan)
                    listed[patch] = {"photo": row["photo"], "correlation": correlation}
    except (UnicodeDecodeError, csv.Error) as error:
        raise _error(file, f"is not a table in UTF-8 ({error})") from error
    return listed


def _row_problem(row: dict[str | None, str | None]) -> str | None:
    if None in row or None in row.values():
        return "not as many fields as in the header"
    if row["status"] not in ("kept", "rejected"):
        return f"no such status: {row['status']!r}"
    if row["status"] == "kept":
        if row["split"] not in SPLIT_FOLDERS:
            return f"no such split: {row['split']!r}"
        if row["correlation"] and not re.fullmatch(_DECIMAL, row["correlation"]):
            return f"correlation {row['correlation']!r} is not a decimal number"
    return None


def _error(file: Path, problem: str) -> InputError:
    return InputError(
        f"{file}: {problem}: run data_builders.dped.prepare again, or remove the manifest to leave"
        " photos and correlations unknown"
    )
