"""What is counted while records and rows of the manifest pass by, so that none need be held."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..layout import SPLIT_FOLDERS

BINS = 50  # of correlations, in [0, 1]; as many below


class Kept(NamedTuple):
    """A photo with patches: name and split, number of its first patch there, how many it has."""

    name: str
    split: str
    first: int
    patches: int


@dataclasses.dataclass
class Summary:
    """Counts of a run.

    Attributes:
      min_correlation: of the settings.
      patches: of each split.
      kept: photos with patches, in order.
      rejected: (photo, reason) of those without.
      windows: examined.
      blank: of these, blank.
      correlations: (2 BINS,) int64, windows in each 50th part of [-1, 1].
      above: windows above `min_correlation`.
      developed: pairs with raw photos, by how these were developed.
    """

    min_correlation: float
    patches: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(SPLIT_FOLDERS, 0)
    )
    kept: list[Kept] = dataclasses.field(default_factory=list)
    rejected: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    windows: int = 0
    blank: int = 0
    correlations: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(2 * BINS, np.int64)
    )
    above: int = 0
    developed: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def of_records(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Counts the records that pass."""
        for record in records:
            found = [window["correlation"] for window in record["windows"]]
            values = [correlation for correlation in found if correlation is not None]
            self.windows += len(found)
            self.blank += len(found) - len(values)
            self.above += sum(correlation > self.min_correlation for correlation in values)
            for correlation in values:
                self.correlations[min(int(BINS * (correlation + 1)), 2 * BINS - 1)] += 1
            if record.get("developed"):
                self.developed[record["developed"]] += 1
            yield record

    def of_rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Counts the rows of the manifest that pass."""
        for row in rows:
            if row["status"] == "rejected":
                self.rejected.append((row["photo"], row["reason"]))
            else:
                split = row["split"]
                if self.kept and self.kept[-1].name == row["photo"]:
                    last = self.kept[-1]
                    self.kept[-1] = last._replace(patches=last.patches + 1)
                else:
                    self.kept.append(Kept(row["photo"], split, row["patch"], 1))
                self.patches[split] += 1
            yield row
