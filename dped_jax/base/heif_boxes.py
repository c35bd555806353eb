"""Boxes of HEIF and AVIF (ISO/IEC 14496-12, 23008-12): what the primary picture is.

Decoders apply crop, rotation and mirror of the file themselves. What colours mean they do not tell,
and they leave out tiles whose data are not there.
"""

import dataclasses
import io
import struct
from collections.abc import Iterator

_BRANDS = b"mif1 mif2 mif3 msf1 heic heix heim heis hevc hevx avif avis miaf unif j2ki".split()
# Put together of other pictures; metadata.
_NOT_CODED = (b"grid", b"iovl", b"iden", b"tmap", b"Exif", b"mime", b"uri ", b"")


@dataclasses.dataclass
class Heif:
    """The primary picture.

    `codec` is the type of its coded items, such as "hvc1", "av01", "jpeg", "unci", "" for none;
    `stored_pixels` those of the largest picture in the file; `cicp` primaries and transfer of
    ITU-T H.273.
    """

    codec: str = ""
    stored_pixels: int = 0
    cicp: tuple[int, int] | None = None
    premultiplied: bool = False


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
    brands = data[8 : min(int.from_bytes(data[:4]), 1024)]
    return data[4:8] == b"ftyp" and any(brands[at : at + 4] in _BRANDS for at in range(0, 1024, 4))


def primary(data: bytes) -> Heif:
    """Reads what a file says of its primary picture.

    Raises:
      ValueError: the boxes are damaged or cut short, or coded data are missing.
    """
    try:
        for kind, start, end in boxes(data):
            if kind == b"meta":  # whatever lies behind it, such as a maker's trailer, is not minded
                return _primary(data, start, end)
    except (struct.error, IndexError) as error:
        raise ValueError("damaged boxes") from error
    return Heif()


def _primary(data: bytes, start: int, end: int) -> Heif:
    heif, inside = Heif(), {kind: data[a:b] for kind, a, b in boxes(data, start + 4, end)}
    if not {b"pitm", b"iinf", b"iprp"} <= inside.keys():
        return heif
    main = _number(io.BytesIO(inside[b"pitm"][4:]), 4 if inside[b"pitm"][0] else 2)
    types = dict(_items(inside[b"iinf"]))
    coded = [kind for kind in (types.get(main, b""), *types.values()) if kind not in _NOT_CODED]
    heif.codec = coded[0].decode("latin-1") if main in types and coded else ""
    heif.premultiplied = any(kind == b"prem" for kind, *_ in boxes(inside.get(b"iref", b""), 4))
    if any(end > len(data) for end in _ends(inside.get(b"iloc", b""))):
        raise ValueError("coded data lie behind the end of the file")
    for item, kind, body in _properties(inside[b"iprp"]):
        if kind == b"ispe":
            width, height = struct.unpack_from(">II", body, 4)
            heif.stored_pixels = max(heif.stored_pixels, height * width)
        elif kind == b"colr" and body[:4] == b"nclx" and item == main:
            heif.cicp = struct.unpack_from(">HH", body, 4)
    return heif


def _number(stream: io.BytesIO, size: int) -> int:
    digits = stream.read(size)
    if len(digits) < size:
        raise ValueError("a table is cut short")
    return int.from_bytes(digits)


def _items(infos: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and types of the items."""
    for kind, start, _ in boxes(infos, 6 if infos[0] == 0 else 8):
        if kind == b"infe" and infos[start] >= 2:
            layout = ">H2x4s" if infos[start] == 2 else ">I2x4s"
            yield struct.unpack_from(layout, infos, start + 4)


def _ends(places: bytes) -> Iterator[int]:
    """Where in the file each part of the items' data ends."""
    if not places:
        return
    stream, version = io.BytesIO(places[6:]), places[0]
    offset_size, length_size, base_size, index_size = (
        half for byte in places[4:6] for half in (byte >> 4, byte & 15)
    )
    for _ in range(_number(stream, 4 if version == 2 else 2)):
        _number(stream, 4 if version == 2 else 2)
        in_file = not version or _number(stream, 2) & 15 == 0
        _number(stream, 2)  # the file that holds it: this one
        base = _number(stream, base_size)
        parts = _number(stream, 2)
        for _ in range(parts if offset_size or length_size else min(parts, 1)):
            _number(stream, index_size if version else 0)
            offset, length = _number(stream, offset_size), _number(stream, length_size)
            if in_file:
                yield base + offset + max(length, 1)


def _properties(box: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Numbers of items, and kinds and contents of the properties that they have."""
    every: list[tuple[bytes, bytes]] = []
    for kind, start, end in boxes(box):
        if kind == b"ipco":
            every = [(name, box[a:b]) for name, a, b in boxes(box, start, end)]
        elif kind == b"ipma":
            stream, wide = io.BytesIO(box[start + 4 : end]), box[start + 3] & 1
            for _ in range(_number(stream, 4)):
                item = _number(stream, 4 if box[start] else 2)
                for _ in range(_number(stream, 1)):
                    index = _number(stream, 1 + wide) & (0x7FFF if wide else 0x7F)
                    if 0 < index <= len(every):
                        yield item, *every[index - 1]
