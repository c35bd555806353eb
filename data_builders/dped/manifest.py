"""The table of patches beside them, manifest.csv, as it is written and as it is read.

It has a row for each patch, of status `kept`, and one for each photo that gave none, of status
`rejected`.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.folders import natural_key, some

from .layout import SPLIT_FOLDERS
from .pair_list import PairList

COLUMNS = (
    "photo", "scene", "split", "status", "patch", "x", "y", "correlation", "shift_x", "shift_y",
    "angle", "turned", "libraries", "reason",
)  # fmt: skip
_COLUMNS_READ = ("photo", "split", "status", "patch", "correlation")
_DECIMAL = r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?"


def write(file: epath.Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Writes the manifest, row by row: CSV with a header; of each row, the values of `COLUMNS`."""
    with file.open("w") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def add_to(splits: Mapping[str, PairList], file: Path) -> None:
    """Fills in the photo and the correlation of each pair.

    Args:
      splits: pairs by split, as the folders have them.
      file: table in UTF-8 with a header. Its rows of status `kept` describe one patch each, by
        `split` and `patch` (the stem); those of status `rejected` are passed over. Rows in the
        order of the patches, as `prepare` writes them, are read fastest.

    Raises:
      InputError: the manifest cannot be read, lacks a patch, or has one that is not there.
      OSError: there is none.
    """
    seen = {split: bytearray(len(pairs)) for split, pairs in splits.items()}
    others: dict[str, set[str]] = {split: set() for split in SPLIT_FOLDERS}  # not on disk
    following = dict.fromkeys(splits, 0)
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, strict=True)
            missing = [name for name in _COLUMNS_READ if name not in (rows.fieldnames or ())]
            if missing:
                raise _error(file, f"has no column {missing[0]}")
            for row in rows:
                problem = _row_problem(row)
                split, patch = row["split"], row["patch"]
                if not problem and row["status"] == "kept":
                    index = splits[split].find(patch, following[split]) if split in splits else None
                    if index is None:
                        problem = "listed twice" if patch in others[split] else None
                        others[split].add(patch)
                    elif seen[split][index]:
                        problem = "listed twice"
                    else:
                        seen[split][index] = 1
                        correlation = float(row["correlation"] or math.nan)
                        splits[split].tell(index, row["photo"], correlation)
                        following[split] = index + 1
                if problem:
                    raise _error(file, f"line {rows.line_num} (patch {patch!r}): {problem}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise _error(file, f"is not a table in UTF-8 ({error})") from error
    for split in SPLIT_FOLDERS:
        there = seen.get(split, b"")
        lacking = [splits[split].name(i) for i, found in enumerate(there) if not found]
        for differing, what in (
            (lacking, f"lacks {split} patches that are on disk"),
            (sorted(others[split], key=natural_key), f"lists {split} patches that are not on disk"),
        ):
            if differing:
                raise _error(file, f"{what}: {some(differing)}")


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
