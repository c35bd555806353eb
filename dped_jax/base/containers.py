"""Files of pictures: the pixels as libraries encode them, and metadata put around them unchanged.

Libraries that write pictures do not leave metadata alone: libvips drops EXIF tags that it does not
know, moves maker notes, and writes no EXIF into TIFF at all.
"""

import dataclasses
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyvips

from dped_jax.base import exif

IPTC = 0x404  # number of Photoshop's resource
_SEGMENT = 65_533  # bytes that a segment of JPEG holds
_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{}"/></rdf:RDF></x:xmpmeta>"""
_HEVC_PIXELS, _HEVC_SIDE = 35_651_584, 16_888  # of a picture in HEVC's highest level, 6.2


@dataclasses.dataclass
class Content:
    """What is to be written.

    Attributes:
      pixels: (H, W, 3) uint8 or uint16, contiguous, in the colours of the profile, or sRGB.
      alpha: (H, W) of the same type, or None.
      resolution: pixels per millimetre, horizontal and vertical.
      icc: the profile; this and the following are empty where there are none.
      exif: a TIFF structure.
      xmp: a packet.
      iptc: Photoshop's resources by number, each with its header.
      lost: what the format has no place for; the encoders add to it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    resolution: tuple[float, float]
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    iptc: dict[int, bytes] = dataclasses.field(default_factory=dict)
    lost: list[str] = dataclasses.field(default_factory=list)

    @property
    def planes(self) -> np.ndarray:
        """(H, W, 3 or 4): the pixels, with alpha where there is one."""
        return self.pixels if self.alpha is None else np.dstack((self.pixels, self.alpha))


def _image(content: Content) -> pyvips.Image:
    """As libvips has it. It does not keep the arrays: `content` must."""
    deep = content.pixels.dtype == np.uint16
    height, width = content.pixels.shape[:2]

    def wrap(plane: np.ndarray, bands: int) -> pyvips.Image:
        kind = "ushort" if deep else "uchar"
        return pyvips.Image.new_from_memory(plane, width, height, bands, kind)

    image = wrap(content.pixels, 3).copy(interpretation="rgb16" if deep else "srgb")
    if content.alpha is not None:
        image = image.bandjoin(wrap(content.alpha, 1))
    return image.copy(xres=content.resolution[0], yres=content.resolution[1])


def _no_iptc(content: Content) -> None:
    if IPTC in content.iptc:
        content.lost.append("its IPTC data, for which the format has no place")


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _segments(content: Content) -> Iterator[tuple[int, bytes]]:
    """Markers and payloads of a JPEG's metadata."""
    block, header = content.exif, b"Exif\0\0"
    if len(block) > _SEGMENT - len(header):
        block = exif.gather(block, {exif.MAKER_NOTE})
        content.lost.append("its maker note: the EXIF data are too long for a JPEG")
    if len(block) > _SEGMENT - len(header):
        content.lost[-1] = "its EXIF data, which are too long for a JPEG"
    elif block:
        yield 0xE1, header + block
    if len(content.xmp) > 65_502:
        digest = hashlib.md5(content.xmp, usedforsecurity=False).hexdigest().upper()
        yield 0xE1, _XMP + _EXTENDED.format(digest).encode()
        for i, part in enumerate(_parts(content.xmp, 65_400)):
            place = struct.pack(">II", len(content.xmp), 65_400 * i)
            yield 0xE1, _EXTENSION + digest.encode() + place + part
    elif content.xmp:
        yield 0xE1, _XMP + content.xmp
    parts = _parts(content.icc, _SEGMENT - 14)
    for i, part in enumerate(parts):
        yield 0xE2, b"ICC_PROFILE\0" + bytes([i + 1, len(parts)]) + part
    # A block of resources may go on in the next segment.
    for part in _parts(b"".join(content.iptc.values()), _SEGMENT - 14):
        yield 0xED, b"Photoshop 3.0\0" + part


def _jpeg(content: Content, quality: int) -> bytes:
    if content.alpha is not None:
        content.lost.append("its alpha channel, for which the format has no place")
        content.alpha = None
    # Optimal Huffman tables would save a tenth of the bytes and take three times as long.
    data = _image(content).jpegsave_buffer(Q=quality, keep="none")
    segments = [
        struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
        for marker, payload in _segments(content)
    ]
    start = 4 + int.from_bytes(data[4:6], "big")  # behind JFIF's segment
    return b"".join((data[:start], *segments, data[start:]))


def _png(content: Content, quality: int) -> bytes:
    _no_iptc(content)
    # "sub" saves a third of the bytes of photographs for no time.
    data = _image(content).pngsave_buffer(compression=6, filter="sub", keep="none")
    profile = b"ICC\0\0" + zlib.compress(content.icc)
    chunks = [(b"iCCP", profile) if content.icc else (b"sRGB", b"\1")]
    if content.exif:
        chunks.append((b"eXIf", content.exif))
    if content.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + content.xmp))
    packed = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return b"".join((data[:33], *packed, data[33:]))  # behind the signature and IHDR


def _webp(content: Content, quality: int) -> bytes:
    _no_iptc(content)
    data = _image(content).webpsave_buffer(Q=quality, keep="none")
    chunks, at = [], 12
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        chunks.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    bits = (content.icc, 32), (content.alpha is not None, 16), (content.exif, 8), (content.xmp, 4)
    flags = sum(bit for present, bit in bits if present)
    height, width = (side - 1 for side in content.pixels.shape[:2])
    head = struct.pack("<I", flags) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    chunks = [(b"VP8X", head), (b"ICCP", content.icc), *chunks, (b"EXIF", content.exif)]
    body = b"".join(
        struct.pack("<4sI", name, len(part)) + part + bytes(len(part) % 2)
        for i, (name, part) in enumerate([*chunks, (b"XMP ", content.xmp)])
        if part and (i == 0 or name != b"VP8X")
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _strips(planes: np.ndarray, order: str) -> tuple[int, list[bytes]]:
    """Rows of a strip, and the strips: differences of neighbours, deflated."""
    rows = max(1, (1 << 18) // planes[0].nbytes)
    strips = []
    for top in range(0, len(planes), rows):
        strip = planes[top : top + rows]
        differences = strip.copy()
        differences[:, 1:] -= strip[:, :-1]
        ordered = differences.astype(planes.dtype.newbyteorder(order), copy=False)
        strips.append(zlib.compress(ordered, 1))  # level 6: 3 % smaller, twice the time
    return rows, strips


def _tiff(content: Content, quality: int) -> bytes:
    """The EXIF block, whose offsets stay right; the pixels; one directory for both."""
    planes = content.planes
    height, width, bands = planes.shape
    block = content.exif or struct.pack("<2sHIHI", b"II", 42, 8, 0, 0)
    block += bytes(len(block) % 2)
    order, every, _ = exif.directories(block)
    rows, strips = _strips(planes, order)
    starts = np.cumsum([len(block), *map(len, strips)]).tolist()
    iptc = content.iptc.get(IPTC, bytes(12))
    fields: dict[int, tuple[int, Sequence[int]]] = {  # type and values by tag
        **{0x100: (4, [width]), 0x101: (4, [height]), 0x102: (3, [8 * planes.itemsize] * bands)},
        **{0x103: (3, [8]), 0x106: (3, [2]), 0x111: (4, starts[:-1]), 0x115: (3, [bands])},
        **{0x116: (4, [rows]), 0x117: (4, [*map(len, strips)]), 0x11C: (3, [1]), 0x13D: (3, [2])},
        0x152: (3, [2] * (bands - 3)),  # alpha, by which the colours are not multiplied
        **{0x2BC: (1, content.xmp), 0x8773: (7, content.icc)},
        0x83BB: (7, iptc[12 : 12 + int.from_bytes(iptc[8:12], "big")]),
        0x8649: (7, b"".join(r for number, r in content.iptc.items() if number != IPTC)),
    }
    entries = {entry[0]: entry for entry in every[exif.FIRST][1] if entry[0] != 0x213}
    if not {0x11A, 0x11B} <= entries.keys():  # then in pixels per centimetre
        x, y = ([round(1e4 * resolution), 1000] for resolution in content.resolution)
        fields |= {0x11A: (5, x), 0x11B: (5, y), 0x128: (3, [3])}
    values, offset = [bytes(starts[-1] % 2)], starts[-1] + starts[-1] % 2
    for tag, (kind, numbers) in fields.items():
        letter = {1: "B", 3: "H", 4: "I", 5: "I", 7: "B"}[kind]
        value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers).ljust(4, b"\0")
        if len(value) > 4:
            values.append(value + bytes(len(value) % 2))
            value = struct.pack(order + "I", offset)
            offset += len(values[-1])
        if numbers:
            entries[tag] = tag, kind, len(numbers) // (2 if kind == 5 else 1), value
    header = block[:4] + struct.pack(order + "I", offset)
    packed = exif.pack(order, [entries[tag] for tag in sorted(entries)])
    return b"".join((header, block[8:], *strips, *values, packed))


def _pillow_metadata(content: Content) -> dict[str, bytes]:
    _no_iptc(content)
    blocks = {"exif": content.exif, "xmp": content.xmp, "icc_profile": content.icc}
    return {name: block for name, block in blocks.items() if block}


def _heic(content: Content, quality: int) -> bytes:
    import pillow_heif

    planes, encoded = content.planes, io.BytesIO()
    height, width, bands = planes.shape
    options = {}
    if height * width > _HEVC_PIXELS or max(height, width) > _HEVC_SIDE:
        options["tile_size"] = 1024  # a grid of pictures, as cameras write them
    mode = "RGBA" if bands == 4 else "RGB"
    heif = pillow_heif.from_bytes(mode, (width, height), planes.reshape(-1).data)
    heif.save(encoded, quality=quality, **options, **_pillow_metadata(content))
    return encoded.getvalue()


def _avif(content: Content, quality: int) -> bytes:
    from PIL import Image

    encoded = io.BytesIO()
    picture = Image.fromarray(content.planes)
    picture.save(encoded, "AVIF", quality=quality, **_pillow_metadata(content))
    return encoded.getvalue()


ENCODERS = dict(JPEG=_jpeg, PNG=_png, TIFF=_tiff, WebP=_webp, HEIC=_heic, AVIF=_avif)  # noqa: C408
