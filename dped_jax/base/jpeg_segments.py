"""JPEG by segments (ITU-T T.81, annex B): where the first picture of a file ends, what it is.

Behind it may lie anything: a video, a gain map, another picture, a maker's own data.
"""

import dataclasses
import struct

import numpy as np

START = b"\xff\xd8\xff"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _ARITHMETIC = {0xC2, 0xC6, 0xCA, 0xCE}, {*range(0xC9, 0xD0)}
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
_BLOCKS = (  # of metadata, by their markers and beginnings
    (0xE1, b"Exif\0\0", "exif"),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", "xmp"),
    (0xE1, b"http://ns.adobe.com/xmp/extension/\0", "xmp_extended"),
    (0xE2, b"ICC_PROFILE\0", "icc"),
    (0xED, b"Photoshop 3.0\0", "iptc"),
)


@dataclasses.dataclass
class Jpeg:
    """What the segments of a picture say.

    `height` is as stored, and written at `height_at` if all channels have as many rows; of the
    `arithmetic` coding nobody can see that data are missing; `end` is behind the end marker, or
    where coded data end; `is_complete`: the scans hold all bits of all coefficients. Of `metadata`
    there are "exif", "xmp", "xmp_extended", "iptc" and "icc".
    """

    height: int = 0
    bits: int = 8
    arithmetic: bool = False
    scans: int = 0
    height_at: int = 0
    end: int = 0
    has_end: bool = False
    is_complete: bool = False
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)


def walk(data: bytes) -> Jpeg:
    """Walks through the first picture of a JPEG file."""
    jpeg, progressive, position = Jpeg(end=len(data)), False, 2
    blocks: dict[str, dict[int, bytes]] = {}  # of metadata, by their order
    missing: dict[int, list[int]] = {}  # by component, the lowest bit that each coefficient lacks
    while (position := _next_marker(data, position)) < len(data):
        code, position = data[position], position + 1
        if code in (0xD8, 0xD9):
            jpeg.has_end = code == 0xD9
            jpeg.end = position if jpeg.has_end else position - 2
            break
        if code in _ALONE:
            continue
        body = data[position + 2 : position + int.from_bytes(data[position : position + 2])]
        position += 2 + len(body)
        if code in _FRAMES and len(body) >= 6 and not missing:  # the first counts
            jpeg.bits, jpeg.height = struct.unpack_from(">BH", body)
            progressive, jpeg.arithmetic = code in _PROGRESSIVE, code in _ARITHMETIC
            missing = {component: [14] * 64 for component in body[6::3]}
            rows_are_whole = all(sampling & 15 == 1 for sampling in body[7::3])
            jpeg.height_at = position - len(body) + 1 if rows_are_whole else 0
        elif code == 0xDA:
            jpeg.scans += 1
            _note_scan(body, progressive, missing)
        for marker, start, name in _BLOCKS:
            if code == marker and body.startswith(start):
                parts, content = blocks.setdefault(name, {}), body[len(start) :]
                order = len(parts)
                if name == "icc":
                    order, content = content[0] if content else 0, content[2:]
                elif name == "xmp_extended":
                    order, content = int.from_bytes(content[36:40]), content[40:]
                if name not in ("exif", "xmp") or not parts:  # of these the first counts
                    parts.setdefault(order, content)
    jpeg.is_complete = bool(missing) and not any(map(any, missing.values()))
    for name, parts in blocks.items():
        jpeg.metadata[name] = b"".join(parts[order] for order in sorted(parts))
    return jpeg


def _next_marker(data: bytes, position: int) -> int:
    """Where the code of the next marker is; the end where there is none.

    In coded data FF is followed by 00, by the number of a restart, or by another FF.
    """
    size = 64
    while position + 1 < len(data):
        block = np.frombuffer(data, np.uint8, min(size, len(data) - position), position)
        code = block[1:]
        is_marker = (block[:-1] == 0xFF) & (code != 0xFF) & (code != 0) & (code & 0xF8 != 0xD0)
        first = int(is_marker.argmax())
        if is_marker[first]:
            return position + 1 + first
        position, size = position + len(block) - 1, 1 << 20
    return len(data)


def _note_scan(header: bytes, progressive: bool, missing: dict[int, list[int]]) -> None:
    """Lowers what is missing by what a scan brings."""
    count = header[0] if header else 0
    if len(header) < 4 + 2 * count:
        return
    first, last, bits = header[-3], min(header[-2], 63), header[-1] & 15
    if not progressive:
        first, last, bits = 0, 63, 0
    for lacking in (missing.get(component, []) for component in header[1 : 1 + 2 * count : 2]):
        lacking[first : last + 1] = [min(bit, bits) for bit in lacking[first : last + 1]]


def with_more_rows(data: bytes, jpeg: Jpeg) -> bytes:
    """The picture as if a row of blocks more followed, for decoders that look back at warnings.

    libvips looks before each 8 rows whether there were warnings, so that it would never tell those
    of the last ones. Where one row of blocks needs no other, rows that are missing change nothing
    above them.
    """
    height = (jpeg.height + 7) // 8 * 8 + 8
    if not jpeg.height_at or jpeg.scans != 1 or jpeg.arithmetic or height > 65500:
        return data
    return data[: jpeg.height_at] + height.to_bytes(2) + data[jpeg.height_at + 2 :]


def without_padding(data: bytes) -> bytes:
    """Coded data that lack their end marker, with one, and without the zeros behind them."""
    coded = data.rstrip(b"\0")
    return coded + data[len(coded) : len(coded) + 2] + b"\xff\xd9"
