"""Pairs of patch files, held as names alone: a `Pair` is made when it is looked at.

So a few hundred bytes a pair bound the memory that a build of millions of pairs takes.
"""

import array
import bisect
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from dped_jax.base.folders import natural_key


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair of patch files.

    Attributes:
      name: their common stem.
      phone: the phone's file.
      dslr: the DSLR camera's file.
      photo: the photograph they were cut from; "" where unknown.
      correlation: their normalised cross-correlation; NaN where unknown or undefined.
    """

    name: str
    phone: Path
    dslr: Path
    photo: str = ""
    correlation: float = math.nan


@dataclasses.dataclass
class _Columns:
    """What is known of all pairs of two folders, in natural order of their names."""

    phone_dir: Path
    dslr_dir: Path
    names: list[str]
    phone_suffixes: list[str]  # each is one of few strings
    dslr_suffixes: list[str]
    photos: list[str]
    correlations: array.array  # float64


class PairList(Sequence[Pair]):
    """Pairs of two folders in natural order of their names; a slice is a view of the same."""

    def __init__(self, columns: _Columns, indices: range):
        self._columns, self._indices = columns, indices

    @classmethod
    def of_files(
        cls, phone_dir: Path, dslr_dir: Path, phone: Mapping[str, str], dslr: Mapping[str, str]
    ) -> "PairList":
        """Makes the pairs of two folders.

        Args:
          phone_dir: folder of the phone's patches.
          dslr_dir: folder of the DSLR camera's patches.
          phone: names of the phone's files by stem.
          dslr: of the DSLR camera's, the same stems.
        """
        names = natural_order(phone)
        columns = _Columns(
            phone_dir,
            dslr_dir,
            names,
            phone_suffixes=[sys.intern(phone[name][len(name) :]) for name in names],
            dslr_suffixes=[sys.intern(dslr[name][len(name) :]) for name in names],
            photos=[""] * len(names),
            correlations=array.array("d", [math.nan]) * len(names),
        )
        return cls(columns, range(len(names)))

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> "PairList": ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return PairList(self._columns, self._indices[index])
        i, columns = self._indices[index], self._columns
        name = columns.names[i]
        return Pair(
            name,
            columns.phone_dir / (name + columns.phone_suffixes[i]),
            columns.dslr_dir / (name + columns.dslr_suffixes[i]),
            columns.photos[i],
            columns.correlations[i],
        )

    def name(self, index: int) -> str:
        """The name of a pair."""
        return self._columns.names[self._indices[index]]

    def find(self, name: str, guess: int) -> int | None:
        """The index of a name, which may well be `guess`; None if it is not there."""
        if not (guess < len(self) and self.name(guess) == name):
            guess = bisect.bisect_left(
                range(len(self)), natural_key(name), key=lambda i: natural_key(self.name(i))
            )
        return guess if guess < len(self) and self.name(guess) == name else None

    def tell(self, index: int, photo: str, correlation: float) -> None:
        """Fills in what a manifest knows of a pair."""
        i = self._indices[index]
        self._columns.photos[i] = sys.intern(photo)
        self._columns.correlations[i] = correlation


def natural_order(stems: Mapping[str, Any]) -> list[str]:
    """Stems in the order of `natural_key`; for those that are numbers without its memory."""
    if all(stem.isascii() and stem.isdigit() for stem in stems):
        return sorted(sorted(stems), key=int)
    return sorted(stems, key=natural_key)
