"""EXIF blocks of pictures that are written anew: a TIFF structure, from its "II" or "MM" on.

A block is edited where it lies, so that maker notes, whose offsets only their makers know, and tags
that no library knows stay as they were, byte for byte. Directories that cannot be followed are left
alone; `struct.error` says that the first one cannot.
"""

import contextlib
import mmap
import struct
from collections.abc import Iterable

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
ORIENTATION, MAKER_NOTE = 0x112, 0x927C
FIRST = -1  # stands for the tag of the first directory, to which none points
WIDTHS, HEIGHTS = (0x100, 0xA002, 0x1001), (0x101, 0xA003, 0x1002)
# What says how a TIFF keeps pixels; previews; XMP, IPTC, Photoshop's and ICC blocks, kept apart.
STRUCTURE = {
    *(0xFE, 0xFF, 0x102, 0x103, 0x106, 0x10A, 0x111, 0x115, 0x116, 0x117, 0x11C, 0x120, 0x121),
    *(0x13D, 0x140, 0x141, 0x142, 0x143, 0x144, 0x145, 0x14A, 0x152, 0x153, 0x15B),
    *(*range(0x200, 0x20A), 0x211, 0x212, 0x214, 0x501B, 0x2BC, 0x83BB, 0x8649, 0x8773),
    *(0x828D, 0x828E, *range(0xC612, 0xC800), *range(0xCD2D, 0xCD50)),  # of raw data in DNG
}
PREVIEW = {0x201, 0x202}
COLORIMETRY = {0x12D, 0x13E, 0x13F, 0xA500}  # transfer function, white point, primaries, gamma
SIZES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True))
Block = bytes | bytearray | mmap.mmap
Entry = tuple[int, int, int, bytes]  # tag, type, count, and the value or where it lies


def directory(block: Block, order: str, offset: int) -> tuple[list[Entry], int]:
    """The entries of the directory at an offset, and the offset of the next one or 0.

    Raises:
      struct.error: it does not lie in the block.
    """
    (count,) = struct.unpack_from(order + "H", block, offset)
    end = offset + 2 + 12 * count
    entries = [struct.unpack_from(order + "HHI4s", block, at) for at in range(offset + 2, end, 12)]
    return entries, *struct.unpack(order + "I", bytes(block[end : end + 4]).ljust(4, b"\0"))


def directories(block: Block) -> tuple[str, dict[int, tuple[int, list[Entry]]], int]:
    """What the directories hold that describe a picture.

    Returns:
      `struct`'s sign of the byte order; offset and entries of each directory by the tag that points
      to it; the offset of the one that describes the thumbnail, or 0.

    Raises:
      struct.error: it is no EXIF block, or the first directory is damaged.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise struct.error("not a TIFF structure")
    (offset,) = struct.unpack_from(order + "I", block, 4)
    entries, thumbnail = directory(block, order, offset)
    every = {FIRST: (offset, entries)}
    for above, tag in ((FIRST, EXIF), (FIRST, GPS), (EXIF, INTEROPERABILITY)):
        for entry in every.get(above, (0, []))[1]:
            if entry[0] == tag:
                (offset,) = struct.unpack(order + "I", entry[3])
                with contextlib.suppress(struct.error):
                    every[tag] = offset, directory(block, order, offset)[0]
    return order, every, thumbnail


def value_range(order: str, entry: Entry) -> range:
    """Where a value of more than 4 bytes lies; empty for others, which lie in the entry."""
    size = SIZES.get(entry[1], 1) * entry[2]
    (offset,) = struct.unpack(order + "I", entry[3])
    return range(offset, offset + size) if size > 4 else range(0)


def _numbers(block: Block, order: str, entry: Entry) -> tuple[int, ...]:
    lies = value_range(order, entry)
    letter = {3: "H", 4: "I", 13: "I"}.get(entry[1], "B")
    data, offset = (block, lies.start) if lies else (entry[3], 0)
    return struct.unpack_from(f"{order}{entry[2]}{letter}", data, offset)


def _erase_previews(block: bytearray, order: str, entries: list[Entry], depth: int = 0) -> None:
    """Sets the bytes of a directory's pictures to zero, and of those of the directories below."""
    tags = {entry[0]: entry for entry in entries}
    with contextlib.suppress(struct.error):
        for starts, lengths in ((0x111, 0x117), (0x144, 0x145), (0x201, 0x202)):
            if starts in tags and lengths in tags:
                values = (_numbers(block, order, tags[tag]) for tag in (starts, lengths))
                for start, length in zip(*values, strict=False):
                    stop = min(start + length, len(block))
                    block[start:stop] = bytes(max(0, stop - start))
        for offset in _numbers(block, order, tags[0x14A]) if 0x14A in tags and depth < 4 else ():
            _erase_previews(block, order, directory(block, order, offset)[0], depth + 1)


def pack(order: str, entries: Iterable[Entry]) -> bytes:
    """A directory that is the last one."""
    packed = [struct.pack(order + "HHI4s", *entry) for entry in entries]
    return struct.pack(order + "H", len(packed)) + b"".join(packed) + bytes(4)


def _corrected(
    entries: list[Entry], order: str, of: int, size: tuple[int, int], has_profile: bool
) -> list[Entry]:
    """The entries of the directory `of` as they are true of the new picture."""
    height, width = size
    numbers = dict.fromkeys(WIDTHS, width) | dict.fromkeys(HEIGHTS, height)
    if of == FIRST:
        numbers[ORIENTATION] = 1
    if of == EXIF and not has_profile:
        numbers[0xA001] = 1  # ColorSpace: sRGB
    corrected = []
    for tag, kind, count, value in entries:
        if tag in numbers:
            short = kind == 3 and numbers[tag] < 1 << 16
            number = struct.pack(order + ("HH" if short else "I"), numbers[tag], *[0] * short)
            corrected.append((tag, 3 if short else 4, 1, number))
        elif (of, tag, value[:3], has_profile) == (INTEROPERABILITY, 1, b"R03", False):
            corrected.append((tag, kind, count, b"R98\0"))  # no longer Adobe RGB
        else:
            corrected.append((tag, kind, count, value))
    return corrected


def clean(
    block: Block, height: int, width: int, has_profile: bool, without: Iterable[int] = ()
) -> bytes:
    """What a block may say of an upright picture that was made of the one that it came with.

    Sizes and Orientation are set where the block has them. Thumbnails and previews that it declares
    are taken out; what a maker note has of its own stays.

    Args:
      block: TIFF structure.
      height: of the new picture.
      width: of the new picture.
      has_profile: whether that has a colour profile; without one it is sRGB, and said to be.
      without: further tags to leave out.

    Raises:
      struct.error: it is no EXIF block, or its first directory is damaged.
    """
    order, every, thumbnail = directories(block)
    data = bytearray(block)
    left_out = {*PREVIEW, *without} | (set() if has_profile else COLORIMETRY)
    for _, entries in every.values():
        _erase_previews(data, order, entries)
    with contextlib.suppress(struct.error):
        if thumbnail:
            _erase_previews(data, order, directory(block, order, thumbnail)[0])
    end = 0
    for of, (offset, entries) in every.items():  # after that: none of them may be erased
        unfit = left_out | STRUCTURE if of == FIRST else left_out
        fit = [entry for entry in entries if entry[0] not in unfit]
        corrected = _corrected(fit, order, of, (height, width), has_profile)
        packed = pack(order, corrected)
        data[offset : offset + len(packed)] = packed
        ends = [value_range(order, entry).stop for entry in corrected]
        end = max(end, offset + len(packed), *ends, 0)
    data[:8] = block[:8]
    return bytes(data.rstrip(b"\0").ljust(min(end, len(data)), b"\0"))


def gather(block: Block, without: Iterable[int] = ()) -> bytes:
    """The directories of a TIFF file, or of a block with gaps, and their values, close together.

    Offsets within maker notes are then wrong where they count from the block's beginning.

    Args:
      block: Block, or a mapped file.
      without: tags to leave out, besides those of the pixels.

    Raises:
      struct.error: it is no TIFF, its first directory is damaged, or it grows in the course.
    """
    order, every, _ = directories(block)
    data = bytearray(block[:4]) + struct.pack(order + "I", 8)
    without = set(without)
    left_out = STRUCTURE | {0x100, 0x101} | without
    pointers = {}  # where the entry lies that points to a directory
    for of, (_, entries) in every.items():
        kept = [
            entry
            for entry in entries
            if entry[0] not in (left_out if of == FIRST else without)
            and (entry[0] in every or entry[0] not in (EXIF, GPS, INTEROPERABILITY))
        ]
        offset = len(data)
        if of != FIRST:
            struct.pack_into(order + "I", data, pointers[of], offset)
        data += pack(order, kept)
        for i, entry in enumerate(kept):
            at = offset + 2 + 12 * i + 8
            lies = value_range(order, entry)
            if entry[0] in every:
                pointers[entry[0]] = at
            elif lies:
                value = block[lies.start : lies.stop]
                if len(data) + len(value) > 2 * len(block):
                    raise struct.error("values that overlap")
                struct.pack_into(order + "I", data, at, len(data))
                data += value + bytes(len(value) % 2)
    return bytes(data)
