"""Boxes of HEIF and AVIF (ISO/IEC 14496-12, 23008-12): what the primary picture is and shows.

Decoders apply crop, rotation and mirror of the file themselves. What colours mean they do not tell.
"""

import dataclasses
import struct
from collections.abc import Iterable, Iterator


@dataclasses.dataclass
class Heif:
    """The primary picture.

    Attributes:
      brand: the major brand of the file.
      codec: type of its coded items, such as b"hvc1", b"av01", b"jpeg", b"unci"; b"" for none.
      size: height and width as shown, after crop and rotation; (0, 0) where the file says none.
      stored_pixels: of the largest picture that is decoded for it.
      cicp: the numbers of primaries and transfer (ITU-T H.273), or None.
      has_icc: whether it has a colour profile.
      premultiplied: whether colours are multiplied by alpha.
      pictures: the number of pictures that are shown on their own.
    """

    brand: bytes = b""
    codec: bytes = b""
    size: tuple[int, int] = (0, 0)
    stored_pixels: int = 0
    cicp: tuple[int, int] | None = None
    has_icc: bool = False
    premultiplied: bool = False
    pictures: int = 0


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a stretch of data: type, and where the content begins and ends.

    Raises:
      ValueError: a box is longer than what holds it.
    """
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= end:
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        size = size or end - start
        if size < header or start + size > end:
            raise ValueError("a box is longer than what holds it")
        yield kind, start + header, start + size
        start += size


def is_heif(data: bytes) -> bool:
    """Whether a file is of the family: still pictures, and sequences of them."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4]), len(data))
    brands = {data[8:12]} | {data[at : at + 4] for at in range(16, end, 4)}
    known = {b"mif1", b"mif2", b"mif3", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc"}
    return bool(brands & (known | {b"hevx", b"avif", b"avis", b"miaf", b"unif", b"j2ki"}))


def primary(data: bytes) -> Heif:
    """Reads what a file says of its primary picture.

    Raises:
      ValueError: the boxes are damaged or cut short.
    """
    heif = Heif(brand=bytes(data[8:12]))
    try:
        for kind, start, end in boxes(data):
            if kind == b"meta":  # whatever lies behind it, such as a maker's trailer, is not minded
                _read_meta(data, start, end, heif)
                break
    except (struct.error, IndexError) as error:
        raise ValueError("damaged boxes") from error
    return heif


def _read_meta(data: bytes, start: int, end: int, heif: Heif) -> None:
    inside = {kind: (first, last) for kind, first, last in boxes(data, start + 4, end)}
    if not {b"pitm", b"iinf", b"iprp"} <= inside.keys():
        return
    at = inside[b"pitm"][0]
    main = struct.unpack_from(">I" if data[at] else ">H", data, at + 4)[0]
    types = dict(_items(data, *inside[b"iinf"]))
    references = list(_references(data, *inside[b"iref"])) if b"iref" in inside else []
    properties = _properties(data, *inside[b"iprp"])
    parts = _with_parts([main], references)
    if b"iloc" in inside:  # decoders leave out the tiles that are not there
        of_alpha = {
            item
            for kind, item, to in references
            if kind == b"auxl" and to == main and _is_alpha(properties.get(item, ()))
        }
        needed = {*parts, *_with_parts(sorted(of_alpha), references)}
        for item, end_of_item in _ends(data, *inside[b"iloc"]):
            if item in needed and end_of_item > len(data):
                raise ValueError("coded data lie behind the end of the file")
    codecs = [types.get(item, b"") for item in parts]
    heif.codec = next((kind for kind in codecs if kind not in (b"grid", b"iovl", b"iden")), b"")
    heif.premultiplied = any(kind == b"prem" and item == main for kind, item, _ in references)
    hidden = {item for kind, item, _ in references if kind in (b"auxl", b"thmb")}
    hidden |= {to for kind, _, to in references if kind in (b"dimg", b"base")}
    pictures = {
        item for item in types if item not in hidden and b"ispe" in dict(properties.get(item, ()))
    }
    heif.pictures = len(pictures)
    for item in parts:
        for kind, body in properties.get(item, ()):
            if kind == b"ispe":
                width, height = struct.unpack_from(">II", body, 4)
                heif.stored_pixels = max(heif.stored_pixels, height * width)
    _read_properties(properties.get(main, []), heif)


def _with_parts(items: list[int], references: list[tuple[bytes, int, int]]) -> list[int]:
    """Items, and those that they are put together of."""
    for _ in range(3):  # an overlay of grids of tiles is as deep as it gets
        last = set(items)
        items = items + [
            to
            for kind, item, to in references
            if kind == b"dimg" and item in last and to not in last
        ]
    return items


def _is_alpha(properties: Iterable[tuple[bytes, bytes]]) -> bool:
    kinds = (b":alpha", b"hevc:2015:auxid:1\0")
    return any(name == b"auxC" and any(kind in body for kind in kinds) for name, body in properties)


def _ends(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Items, and where in the file each part of their data ends."""
    version = data[start]
    sizes = [half for byte in data[start + 4 : start + 6] for half in (byte >> 4, byte & 15)]
    offset_size, length_size, base_size, index_size = sizes
    index_size = index_size if version else 0
    at = start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > end:
            raise ValueError("a table of places is cut short")
        return int.from_bytes(data[at - size : at])

    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        in_file = not version or number(2) & 15 == 0
        number(2)  # the file that holds it: this one
        base = number(base_size)
        for _ in range(number(2)):
            number(index_size)
            offset, length = number(offset_size), number(length_size)
            if in_file:
                yield item, base + offset + max(length, 1)


def _read_properties(properties: list[tuple[bytes, bytes]], heif: Heif) -> None:
    height, width = 0, 0
    for kind, body in properties:
        if kind == b"ispe":
            width, height = struct.unpack_from(">II", body, 4)
        elif kind == b"clap":
            across, across_divisor, down, down_divisor = struct.unpack_from(">4I", body)
            width, height = across // max(across_divisor, 1), down // max(down_divisor, 1)
        elif kind == b"irot" and body[0] & 1:
            height, width = width, height
        elif kind == b"colr" and body[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            heif.cicp = (primaries, transfer)
        elif kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            heif.has_icc = True
    heif.size = (height, width)


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Numbers and types of the items."""
    first = start + (6 if data[start] == 0 else 8)
    for kind, at, _ in boxes(data, first, end):
        if kind == b"infe" and data[at] >= 2:
            number, type_ = struct.unpack_from(
                ">H2x4s" if data[at] == 2 else ">I2x4s", data, at + 4
            )
            yield number, type_


def _references(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, from which item, to which."""
    letter, size = ("I", 4) if data[start] else ("H", 2)
    for kind, at, last in boxes(data, start + 4, end):
        item, count = struct.unpack_from(f">{letter}H", data, at)
        if at + size + 2 + size * count <= last:
            for other in struct.unpack_from(f">{count}{letter}", data, at + size + 2):
                yield kind, item, other


def _properties(data: bytes, start: int, end: int) -> dict[int, list[tuple[bytes, bytes]]]:
    """Kinds and contents of the properties of each item, in the order in which they apply."""
    every: list[tuple[bytes, bytes]] = []
    of_item: dict[int, list[tuple[bytes, bytes]]] = {}
    for kind, first, last in boxes(data, start, end):
        if kind == b"ipco":
            every = [(name, bytes(data[a:b])) for name, a, b in boxes(data, first, last)]
    for kind, first, last in boxes(data, start, end):
        if kind != b"ipma":
            continue
        version, wide = data[first], data[first + 3] & 1
        (count,), at = struct.unpack_from(">I", data, first + 4), first + 8
        for _ in range(min(count, (last - at) // 3)):
            item = struct.unpack_from(">I" if version else ">H", data, at)[0]
            at += 4 if version else 2
            number, at = data[at], at + 1
            for _ in range(number):
                index = struct.unpack_from(">H" if wide else ">B", data, at)[0]
                at += 2 if wide else 1
                index &= 0x7FFF if wide else 0x7F
                if 0 < index <= len(every):
                    of_item.setdefault(item, []).append(every[index - 1])
    return of_item
