"""Directories of tags in TIFF, and in EXIF, which is a TIFF without picture.

Nothing is trusted: counts and offsets that lead out of the data are passed over.
"""

import itertools
import struct
from collections.abc import Iterator
from typing import Any

MAX_DIRECTORIES = 256
MAX_BYTES = 1 << 25  # of all values that are taken out of one structure
ORIENTATION, SUB_DIRECTORIES, XMP, IPTC, ICC = 274, 330, 700, 33723, 34675
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
# What says how a TIFF keeps pixels, its resolution, previews, and blocks that are handed on apart.
STRUCTURE = {
    *(254, 255, 258, 259, 262, 266, 273, 277, 278, 279, 284, 288, 289, 317, 320, *range(321, 326)),
    *(SUB_DIRECTORIES, 338, 339, 347, *range(512, 522), 529, 530, 532, 20507, XMP, IPTC, ICC),
    *(34377, 37724, 33421, 33422, *range(50706, 51200), *range(52525, 52560)),  # Photoshop's, DNG's
}
_WIDTHS, _HEIGHTS = (256, 40962, 4097), (257, 40963, 4098)
_COLOR_SPACE = 40961
_COLORIMETRY = {301, 318, 319, 42240}  # transfer function, white point, primaries, gamma
_EXTENTS = ((273, 279), (324, 325), (513, 514))  # of strips, tiles and thumbnails
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTES = (1, 2, 6, 7)

Directory = dict[int, Any]  # bytes, or a tuple of integers, by tag
# Tag, type, count, where the entry lies, and where its value begins and ends.
Entry = tuple[int, int, int, int, int, int]


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
        self.is_big = self._number("H", 2) == 43
        self.start = self._number("Q", 8) if self.is_big else self._number("I", 4)
        self._bytes_left = MAX_BYTES

    def _number(self, kind: str, position: int) -> int:
        if not 0 <= position <= len(self.data) - struct.calcsize(kind):
            return 0
        return struct.unpack_from(self.order + kind, self.data, position)[0]

    def entries(self, offset: int) -> tuple[list[Entry], int]:
        """What a directory holds, and the offset of the one behind it; 0 for none."""
        kind, head, size, inline = ("Q", 8, 20, 8) if self.is_big else ("I", 2, 12, 4)
        first = offset + head
        count = self._number("Q" if self.is_big else "H", offset)
        end = first + size * max(0, min(count, (len(self.data) - first) // size))
        entries = []
        for position in range(first, end, size):
            tag, type_ = self._number("H", position), self._number("H", position + 2)
            count = self._number(kind, position + 4)
            start, length = position + size - inline, count * _SIZES.get(type_, 1)
            if length > inline:
                start = self._number(kind, start)
            entries.append((tag, type_, count, position, start, start + length))
        return entries, self._number(kind, end)

    def directory(self, offset: int) -> Directory:
        """The values of a directory that are bytes, text or integers."""
        tags: Directory = {}
        for tag, type_, count, _, start, stop in self.entries(offset)[0]:
            if stop > len(self.data) or stop - start > self._bytes_left or tag in tags:
                continue
            self._bytes_left -= stop - start
            if type_ in _BYTES:
                tags[tag] = self.data[start:stop]
            elif type_ in _INTEGERS:
                kind = f"{self.order}{count}{_INTEGERS[type_]}"
                tags[tag] = struct.unpack_from(kind, self.data, start)
        return tags

    def directories(self) -> list[Directory]:
        """The directories of the pages, in order."""
        offsets, offset = [], self.start
        while offset and offset not in offsets and len(offsets) < MAX_DIRECTORIES:
            offsets.append(offset)
            offset = self.entries(offset)[1]
        return [self.directory(offset) for offset in offsets]

    def below(self, tags: Directory, tag: int) -> list[Directory]:
        """The directories that a tag points to."""
        return [self.directory(offset) for offset in tags.get(tag, ())[:MAX_DIRECTORIES]]


def first_number(tags: Directory, tag: int, default: int = 0) -> int:
    """The first value of a tag that holds integers."""
    values = tags.get(tag)
    return values[0] if values else default


def extents(tags: Directory) -> Iterator[tuple[int, int]]:
    """Where each strip, tile or thumbnail of a directory begins and ends."""
    for starts, sizes in _EXTENTS:
        for start, size in zip(tags.get(starts, ()), tags.get(sizes, ()), strict=False):
            yield start, start + size


def orientation_of(tags: Directory) -> int:
    """The orientation that a directory states; 1, upright, where it states none."""
    orientation = first_number(tags, ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def orientation_and_adobe_rgb(exif: bytes | None) -> tuple[int, bool]:
    """How EXIF, or a TIFF, says to show a picture.

    Returns:
      The orientation, 1 to 8, and whether InteroperabilityIndex is R03, by which DCF 2.0 marks
      pictures in Adobe RGB that have no colour profile.
    """
    try:
        tiff = Tiff(exif or b"")
    except ValueError:
        return 1, False
    main = tiff.directory(tiff.start)
    indices = (
        interoperability.get(1, b"")
        for details in tiff.below(main, EXIF)
        for interoperability in tiff.below(details, INTEROPERABILITY)
    )
    return orientation_of(main), any(index[:3] == b"R03" for index in indices)


def clean(
    block: bytes, height: int, width: int, has_profile: bool, without: tuple[int, ...] = ()
) -> bytes:
    """What EXIF may say of an upright picture that was made of the one that it came with.

    Sizes and Orientation are set where the block has them, thumbnails and the tags `without` taken
    out; without a profile it is said to be sRGB. The block is edited where it lies, so that maker
    notes, whose offsets only their makers know, stay right.

    Raises:
      ValueError: it is no EXIF block, or its first directory is damaged.
    """
    tiff, data = Tiff(block), bytearray(block)
    if tiff.is_big:
        raise ValueError("EXIF is no BigTIFF")
    offsets, following = {0: tiff.start}, tiff.entries(tiff.start)[1]
    for above, tag in ((0, EXIF), (0, GPS), (EXIF, INTEROPERABILITY)):
        if offset := first_number(tiff.directory(offsets.get(above, len(block))), tag):
            offsets[tag] = offset
    for offset in (*offsets.values(), *([following] if following else [])):
        for start, stop in itertools.islice(extents(tiff.directory(offset)), 256):
            data[start:stop] = bytes(len(data[start:stop]))
    numbers = dict.fromkeys(_HEIGHTS, height) | dict.fromkeys(_WIDTHS, width) | {ORIENTATION: 1}
    unfit, end = STRUCTURE | set(without), 8
    if not has_profile:
        numbers, unfit = numbers | {_COLOR_SPACE: 1}, unfit | _COLORIMETRY
    if not tiff.entries(tiff.start)[0]:
        raise ValueError("damaged EXIF")
    for offset in offsets.values():  # after that: none of them may be erased
        packed, stop = _corrected(tiff, offset, numbers, unfit)
        data[offset : offset + len(packed)] = packed
        end = max(end, stop, offset + len(packed))
    data[:8] = block[:8]
    return bytes(data.rstrip(b"\0").ljust(min(end, len(data)), b"\0"))


def _corrected(
    tiff: Tiff, offset: int, numbers: dict[int, int], unfit: set[int]
) -> tuple[bytes, int]:
    """A directory, if there is one, as the last, with other numbers, and where its values end."""
    packed, end, entries = bytearray(), 0, tiff.entries(offset)[0]
    for tag, type_, _, position, _, stop in entries:
        entry = tiff.data[position : position + 12]
        if tag in numbers:
            fits = type_ == 3 and numbers[tag] < 1 << 16
            kind, layout = (3, "HHIH2x") if fits else (4, "HHII")
            entry = struct.pack(tiff.order + layout, tag, kind, 1, numbers[tag])
        elif tag == 1 and entry[8:11] == b"R03" and _COLOR_SPACE in numbers:
            entry = entry[:8] + b"R98\0"  # no longer Adobe RGB
        elif tag not in unfit:
            end = max(end, stop)
        packed += b"" if tag in unfit else entry
    head = struct.pack(tiff.order + "H", len(packed) // 12)
    return head + packed + bytes(4) if entries else b"", end
