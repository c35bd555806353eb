"""Bytes of the containers that pictures come in: EXIF, JPEG segments, PNG chunks, HEIF boxes."""

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

FORMATS = {2: "s", 3: "H", 4: "I", 5: "II", 7: "s"}  # ASCII, SHORT, LONG, RATIONAL, UNDEFINED
PNG_START = b"\x89PNG\r\n\x1a\n"


def ifd(entries: dict[int, tuple[int, list | bytes]], start: int, following: int = 0) -> bytes:
    """One directory of a TIFF in big endian, with the values that it points at.

    Args:
      entries: by tag the number of the type and the values; bytes for ASCII and UNDEFINED.
      start: where it is put, from the start of the TIFF.
      following: where the next directory is.
    """
    table, data = struct.pack(">H", len(entries)), b""
    data_start = start + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        packed = values
        if not isinstance(values, bytes):
            packed = b"".join(struct.pack(">" + FORMATS[kind][0], value) for value in values)
        count = len(values) // (2 if kind == 5 else 1)
        where = packed.ljust(4, b"\0")
        if len(packed) > 4:
            where = struct.pack(">I", data_start + len(data))
            data += packed + bytes(len(packed) % 2)
        table += struct.pack(">HHI", tag, kind, count) + where
    return table + struct.pack(">I", following) + data


def exif(
    orientation: int | None = None, *, adobe_rgb: bool = False, thumbnail: bytes = b""
) -> bytes:
    """A TIFF as EXIF has it: model, times, and what is asked for."""
    interop = ifd({1: (2, b"R03\0"), 2: (7, b"0100")}, 0)
    photo = {0x9000: (7, b"0231"), 0x9003: (2, b"2026:05:06 07:08:09\0")}
    photo |= {0xA001: (3, [65535 if adobe_rgb else 1])}
    main: dict = {0x110: (2, b"Made up\0"), 0x8769: (4, [0])}
    main |= {} if orientation is None else {0x112: (3, [orientation])}
    photo_start = 8 + len(ifd(main, 8))
    photo |= {0xA005: (4, [0])} if adobe_rgb else {}
    interop_start = photo_start + len(ifd(photo, photo_start))
    interop = ifd({1: (2, b"R03\0"), 2: (7, b"0100")}, interop_start) if adobe_rgb else b""
    photo |= {0xA005: (4, [interop_start])} if adobe_rgb else {}
    second_start = interop_start + len(interop)
    main[0x8769] = (4, [photo_start])
    second = b""
    if thumbnail:
        of_thumbnail = {0x103: (3, [6]), 0x201: (4, [0]), 0x202: (4, [len(thumbnail)])}
        of_thumbnail[0x201] = (4, [second_start + len(ifd(of_thumbnail, 0))])
        second = ifd(of_thumbnail, second_start) + thumbnail
    first = ifd(main, 8, second_start if thumbnail else 0)
    return b"MM\0*\0\0\0\x08" + first + ifd(photo, photo_start) + interop + second


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with APPn segments right behind its start."""
    added = b"".join(
        struct.pack(">BBH", 0xFF, 0xE0 + number, len(data) + 2) + data for number, data in segments
    )
    return jpeg[:2] + added + jpeg[2:]


def profile_segments(profile: bytes, size: int = 65_000) -> list[tuple[int, bytes]]:
    """APP2 segments of an ICC profile."""
    parts = [profile[i : i + size] for i in range(0, len(profile), size)]
    return [
        (2, b"ICC_PROFILE\0" + bytes([i + 1, len(parts)]) + part) for i, part in enumerate(parts)
    ]


def exif_segment(data: bytes) -> tuple[int, bytes]:
    """APP1 of EXIF."""
    return 1, b"Exif\0\0" + data


def xmp_segment(properties: str) -> tuple[int, bytes]:
    """APP1 of XMP, of attributes with their namespaces."""
    return 1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(properties)


def xmp(properties: str) -> bytes:
    """A packet of XMP."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        '"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f"{properties}/></rdf:RDF></x:xmpmeta>"
    ).encode()


def with_second(jpeg: bytes, second: bytes) -> bytes:
    """A JPEG with another one behind it, and an index of both (CIPA DC-007, Multi-Picture)."""

    def index(size: int) -> bytes:
        offset = max(size - 10, 0)  # from behind SOI, the marker and "MPF\0"
        entries = struct.pack(">IIIHH", 0x20030000, size, 0, 0, 0)
        entries += struct.pack(">IIIHH", 0, len(second), offset, 0, 0)
        tags = {0xB000: (7, b"0100"), 0xB001: (4, [2]), 0xB002: (7, entries)}
        return b"MPF\0MM\0*\0\0\0\x08" + ifd(tags, 8)

    size = len(with_segments(jpeg, (2, index(0))))
    return with_segments(jpeg, (2, index(size))) + second


def png(
    pixels: np.ndarray, *chunks: tuple[bytes, bytes], palette: np.ndarray | None = None
) -> bytes:
    """A PNG of (H, W) or (H, W, 1 to 4) uint8 or uint16, with more chunks behind its header."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = pixels.shape
    kind = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    listed = [(b"IHDR", head)]
    listed += [] if palette is None else [(b"PLTE", palette.astype(np.uint8).tobytes())]
    listed += [*chunks, (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return PNG_START + b"".join(png_chunk(*chunk) for chunk in listed)


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_profile(profile: bytes) -> tuple[bytes, bytes]:
    """The chunk of an ICC profile."""
    return b"iCCP", b"made up\0\0" + zlib.compress(profile)


def box(name: bytes, data: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    return struct.pack(">I", 8 + len(data)) + name + data


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the boxes in a row."""
    while data:
        (size,) = struct.unpack(">I", data[:4])
        yield data[4:8], data[8:size]
        data = data[size:]


def with_property(heif: bytes, name: bytes, data: bytes, essential: bool = False) -> bytes:
    """A HEIF or AVIF whose first association of properties gets one more, behind the others."""
    added = len(box(name, data)) + 1

    def changed(name_now: bytes, inner: bytes) -> bytes:
        if name_now == b"meta":
            inner = inner[:4] + b"".join(changed(*each) for each in boxes(inner[4:]))
        elif name_now == b"iprp":
            inner = b"".join(changed(*each) for each in boxes(inner))
        elif name_now == b"ipco":
            inner += box(name, data)
        elif name_now == b"ipma":  # version 0, associations of one byte
            assert inner[:4] == bytes(4)
            number = 128 * essential + len(list(boxes(container(heif, b"ipco")))) + 1
            count = inner[10]
            end = 11 + count
            inner = inner[:10] + bytes([count + 1]) + inner[11:end] + bytes([number]) + inner[end:]
        elif name_now == b"iloc":
            inner = _moved(inner, added)
        return box(name_now, inner)

    return b"".join(changed(*each) for each in boxes(heif))


def container(heif: bytes, name: bytes) -> bytes:
    """What a box within `meta` or `iprp` holds."""
    meta = dict(boxes(dict(boxes(heif))[b"meta"][4:]))
    return meta[name] if name in meta else dict(boxes(meta[b"iprp"]))[name]


def _moved(iloc: bytes, by: int) -> bytes:
    """`iloc` of version 0 where all that it points at lies further behind."""
    assert iloc[:5] == b"\0\0\0\0\x44"
    base_size, (items,) = iloc[5] >> 4, struct.unpack(">H", iloc[6:8])
    out, at = bytearray(iloc), 8
    for _ in range(items):
        at += 4
        base = int.from_bytes(out[at : at + base_size])
        if base_size and base:
            out[at : at + base_size] = (base + by).to_bytes(base_size)
        at += base_size
        (extents,) = struct.unpack(">H", out[at : at + 2])
        at += 2
        for _ in range(extents):
            if not base:
                offset = int.from_bytes(out[at : at + 4])
                out[at : at + 4] = (offset + by).to_bytes(4)
            at += 8
    return bytes(out)


def as_nclx(heif: bytes, primaries: int, transfer: int, matrix: int = 6) -> bytes:
    """A HEIF or AVIF whose `colr` of kind nclx says these numbers of ITU-T H.273."""
    at = heif.index(b"colrnclx") + 8
    return heif[:at] + struct.pack(">HHH", primaries, transfer, matrix) + heif[at + 6 :]


def replaced(data: bytes, old: bytes, new: bytes, most: int = 1) -> bytes:
    """Exchanges bytes that must be there."""
    assert old in data
    return data.replace(old, new, most)


def positions(data: bytes, needle: bytes) -> Sequence[int]:
    """Everywhere that bytes occur."""
    at, all_of_them = data.find(needle), []
    while at >= 0:
        all_of_them.append(at)
        at = data.find(needle, at + 1)
    return all_of_them
