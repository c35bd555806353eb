"""Directories of tags in TIFF, and in EXIF, which is a TIFF without picture.

Nothing is trusted: counts and offsets that lead out of the data are passed over.
"""

import struct
from typing import Any

MAX_DIRECTORIES, MAX_VALUES = 256, 4_000_000
ORIENTATION, SUB_DIRECTORIES, EXIF, XMP, IPTC, ICC = 274, 330, 34665, 700, 33723, 34675
_INTEROPERABILITY = 40965
_NUMBERS = {3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTES = (1, 2, 6, 7)  # of these types values are bytes objects

Directory = dict[int, Any]  # bytes, or a tuple of numbers, by tag


class Tiff:
    """The structure of a TIFF or BigTIFF.

    Args:
      data: the file, or a block of EXIF without "Exif\\0\\0" before it.

    Raises:
      ValueError: it does not begin as a TIFF does. Makers of raw files write another number than
        42, which is not minded.
    """

    def __init__(self, data: bytes):
        if data[:2] not in (b"II", b"MM") or len(data) < 8:
            raise ValueError("no TIFF")
        self.data, self.order = data, "<" if data[:1] == b"I" else ">"
        self.is_big = struct.unpack_from(self.order + "H", data, 2)[0] == 43
        self._start = (self._number("Q", 8) if self.is_big else self._number("I", 4)) or 0

    def _number(self, kind: str, position: int) -> int | None:
        size = struct.calcsize(kind)
        if not 0 <= position <= len(self.data) - size:
            return None
        return struct.unpack_from(self.order + kind, self.data, position)[0]

    def directory(self, offset: int) -> tuple[Directory, int]:
        """The tags at an offset, and the offset of the directory behind them; 0 for none."""
        count_kind, kind, entry = ("Q", "Q", 20) if self.is_big else ("H", "I", 12)
        first = offset + struct.calcsize(count_kind)
        tags: Directory = {}
        count = min(self._number(count_kind, offset) or 0, (len(self.data) - first) // entry)
        for position in range(first, first + entry * count, entry):
            tag, type_ = self._number("H", position), self._number("H", position + 2)
            number = self._number(kind, position + 4)
            if tag is not None and type_ is not None and number is not None:
                value = self._value(type_, number, position + 4 + struct.calcsize(kind))
                if value is not None:
                    tags.setdefault(tag, value)
        return tags, self._number(kind, first + entry * count) or 0

    def _value(self, type_: int, count: int, position: int) -> Any:
        letter = "s" if type_ in _BYTES else _NUMBERS.get(type_)
        if letter is None or (letter != "s" and count > MAX_VALUES):
            return None
        size = count * struct.calcsize(letter)
        inline, kind = (8, "Q") if self.is_big else (4, "I")
        start = position if size <= inline else self._number(kind, position)
        if start is None or start + size > len(self.data):
            return None
        if letter == "s":
            return bytes(self.data[start : start + size])
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data, start)

    def directories(self) -> list[Directory]:
        """The directories of the pages, in order."""
        pages, seen, offset = [], set(), self._start
        while offset and offset not in seen and len(pages) < MAX_DIRECTORIES:
            seen.add(offset)
            tags, offset = self.directory(offset)
            pages.append(tags)
        return pages

    def below(self, tags: Directory, tag: int) -> list[Directory]:
        """The directories that a tag points to."""
        offsets = [offset for offset in tags.get(tag, ()) if isinstance(offset, int)]
        return [self.directory(offset)[0] for offset in offsets[:MAX_DIRECTORIES]]


def first_number(tags: Directory, tag: int, default: int = 0) -> int:
    """The first value of a tag that holds integers."""
    values = tags.get(tag)
    return values[0] if values and isinstance(values[0], int) else default


def orientation_of(tags: Directory) -> int:
    """The orientation that a directory states; 1, upright, where it states none."""
    orientation = first_number(tags, ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def orientation_and_adobe_rgb(exif: bytes | None) -> tuple[int, bool]:
    """What EXIF says of how to show a picture.

    Args:
      exif: a block without "Exif\\0\\0" before it, or a TIFF.

    Returns:
      The orientation, 1 to 8, and whether InteroperabilityIndex is R03, by which DCF 2.0 marks
      pictures in Adobe RGB that have no colour profile.
    """
    try:
        tiff = Tiff(exif or b"")
    except ValueError:
        return 1, False
    for main in tiff.directories()[:1]:
        adobe_rgb = any(
            interoperability.get(1, b"")[:3] == b"R03"
            for details in tiff.below(main, EXIF)
            for interoperability in tiff.below(details, _INTEROPERABILITY)
        )
        return orientation_of(main), adobe_rgb
    return 1, False
