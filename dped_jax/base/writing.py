"""Writes pictures, whole or not at all, in the format of the suffix.

What is written is true of the new picture: it is upright, of its size, sRGB or of the profile that
it keeps, and holds no thumbnail, video, depth or gain map of the old one. Other metadata are handed
on byte for byte, which libraries that write pictures do not: libvips drops EXIF tags that it does
not know and moves maker notes. They encode pixels alone here; the metadata are put around them.
"""

import dataclasses
import hashlib
import io
import pathlib
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyvips
from absl import logging

from dped_jax.base import exif, xmp
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.cli import write_atomically
from dped_jax.images.color_profiles import from_srgb

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **{".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".avif": "AVIF"},
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
}
# Pixels a side: libjpeg's, libpng's, WebP's and libavif's (with which AVIF are read) limits; beyond
# HEIC's x265 fails. A TIFF counts bytes in 32 bits.
SIDES = {"JPEG": 65_500, "PNG": 1_000_000, "WebP": 16_383, "AVIF": 32_768, "HEIC": 16_384}
DEEP_FORMATS = ("PNG", "TIFF")
SEGMENT = 65_533  # bytes that a segment of a JPEG holds
XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_HEADER = b"http://ns.adobe.com/xmp/extension/\0"
EXTENDED = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{}"/></rdf:RDF></x:xmpmeta>"""


def check_suffix(path: pathlib.Path) -> None:
    """Raises InputError where the suffix is none that can be written, or its library is missing."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: cannot write {suffix or 'no suffix'}; use {' '.join(FORMATS)}")
    if FORMATS[suffix] == "HEIC":
        try:
            import pillow_heif  # noqa: F401
        except ImportError as error:
            problem = "HEIC needs another library: pip install pillow-heif"
            raise InputError(f"{path}: {problem}, or take another format") from error
    if FORMATS[suffix] == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise InputError(f"{path}: this Pillow writes no AVIF; take another format")


def check_writable(path: pathlib.Path, height: int, width: int) -> None:
    """Checks before computing what can be known of the writing.

    Raises:
      InputError: the suffix is none that can be written, or its format holds no such picture.
    """
    check_suffix(path)
    kind = FORMATS[path.suffix.lower()]
    side = SIDES.get(kind, 1 << 31)
    if max(height, width) > side or (kind == "TIFF" and height * width * 8 >= 1 << 32):
        limit = f"{side:,} pixels a side" if kind in SIDES else "4 GB"
        remedy = "PNG holds more" if kind != "PNG" else "make it smaller"
        raise InputError(f"{path}: {width} x {height} pixels: {kind} holds {limit}; {remedy}")


def is_deep(path: pathlib.Path) -> bool:
    """Whether the format of the suffix holds 16 bits."""
    return FORMATS.get(path.suffix.lower()) in DEEP_FORMATS


def to_8_bits(picture: Picture) -> Picture:
    """Rounds 16 bits to 8."""

    def rounded(plane: np.ndarray) -> np.ndarray:
        eight = np.empty(plane.shape, np.uint8)
        for top in range(0, len(plane), 64):  # a few rows at a time, for memory
            rows = slice(top, top + 64)
            eight[rows] = (plane[rows].astype(np.uint32) + 128) // 257
        return eight

    alpha = None if picture.alpha is None else rounded(picture.alpha)
    return dataclasses.replace(picture, pixels=rounded(picture.pixels), alpha=alpha)


@dataclasses.dataclass
class _Blocks:
    """Metadata as they are written, each empty where there are none."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    icc: bytes = b""


def _iptc(block: bytes) -> bytes:
    """IPTC alone: of Photoshop's resources others describe the old picture, one its thumbnail."""
    at = block.find(b"8BIM\x04\x04")
    if at < 0:
        return b"" if b"8BIM" in block else block
    at += 6 + (block[at + 6] + 2 & ~1)  # a name of even length, its count included
    (length,) = struct.unpack_from(">I", block, at)
    return block[at + 4 : at + 4 + length]


def _metadata(path: pathlib.Path, picture: Picture) -> _Blocks:
    """What is true of the picture; what is not readable is left out with a warning."""
    old, (height, width) = picture.metadata, picture.pixels.shape[:2]
    new = _Blocks(icc=old.get("icc") or b"")
    cleaners = {
        "exif": lambda block: exif.clean(block, height, width, bool(new.icc)),
        "xmp": lambda block: xmp.clean(block, height, width, bool(new.icc)),
        "iptc": _iptc,
    }
    for name, cleaner in cleaners.items():
        try:
            setattr(new, name, cleaner(old[name]) if old.get(name) else b"")
        except (struct.error, ValueError, IndexError):
            logging.warning("%s: its %s data are damaged and are left out", path, name.upper())
    return new


def _image(picture: Picture, has_alpha: bool) -> pyvips.Image:
    """As libvips has it, in the colours of the profile. The arrays must outlive it."""
    deep = picture.pixels.dtype == np.uint16
    height, width = picture.pixels.shape[:2]

    def wrap(plane: np.ndarray, bands: int) -> pyvips.Image:
        data = np.ascontiguousarray(plane).data
        return pyvips.Image.new_from_memory(
            data, width, height, bands, "ushort" if deep else "uchar"
        )

    image = wrap(picture.pixels, 3).copy(interpretation="rgb16" if deep else "srgb")
    if picture.metadata.get("icc"):
        image = from_srgb(image, picture.metadata["icc"])
    if has_alpha:
        image = image.bandjoin(wrap(picture.alpha, 1))
    return image.copy(xres=picture.resolution[0], yres=picture.resolution[1])


def _array(picture: Picture, has_alpha: bool) -> np.ndarray:
    """(H, W, 3 or 4), in the colours of the profile; the picture's own pixels where they are it."""
    if has_alpha or picture.metadata.get("icc"):
        return _image(picture, has_alpha).numpy()
    return np.ascontiguousarray(picture.pixels)


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _exif_segment(path: pathlib.Path, block: bytes) -> bytes:
    """EXIF in a segment: where it is too long, without its maker note, which the most of it is."""
    header = b"Exif\0\0"
    lost = None
    if len(block) > SEGMENT - len(header):
        block, lost = exif.gather(block, [exif.MAKER_NOTE]), "its maker note is"
    if len(block) > SEGMENT - len(header):
        block, lost = b"", "its EXIF data are"
    if lost:
        logging.warning("%s: %s too long for a JPEG and left out", path, lost)
    return _segment(0xE1, header + block) if block else b""


def _xmp_segments(packet: bytes) -> Iterator[bytes]:
    """XMP in a segment; a long packet in several, as Adobe's Extended XMP."""
    if len(packet) > 65_502:
        digest = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
        yield _segment(0xE1, XMP_HEADER + EXTENDED.format(digest).encode())
        for i, part in enumerate(_parts(packet, 65_400)):
            place = struct.pack(">II", len(packet), 65_400 * i)
            yield _segment(0xE1, EXTENSION_HEADER + digest.encode() + place + part)
    elif packet:
        yield _segment(0xE1, XMP_HEADER + packet)


def _jpeg(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    # Optimal Huffman tables would save a tenth of the bytes and take three times as long.
    data = _image(picture, False).jpegsave_buffer(Q=quality, keep="none")
    segments = [_exif_segment(path, blocks.exif) if blocks.exif else b""]
    segments += _xmp_segments(blocks.xmp)
    parts = _parts(blocks.icc, SEGMENT - 14)
    for i, part in enumerate(parts):
        segments.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, len(parts)]) + part))
    if blocks.iptc:
        resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(blocks.iptc)) + blocks.iptc
        payload = b"Photoshop 3.0\0" + resource + bytes(len(blocks.iptc) % 2)
        if len(payload) <= SEGMENT:
            segments.append(_segment(0xED, payload))
        else:
            logging.warning("%s: its IPTC data are too long for a JPEG and left out", path)
    start = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2  # behind JFIF
    return b"".join((data[:start], *segments, data[start:]))


def _png(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    data = _image(picture, picture.alpha is not None).pngsave_buffer(compression=6, keep="none")
    chunks = (
        [(b"iCCP", b"ICC\0\0" + zlib.compress(blocks.icc))] if blocks.icc else [(b"sRGB", b"\1")]
    )
    if blocks.exif:
        chunks.append((b"eXIf", blocks.exif))
    if blocks.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + blocks.xmp))
    packed = [
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    return b"".join((data[:33], *packed, data[33:]))  # behind the signature and IHDR


def _webp(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    has_alpha = picture.alpha is not None
    data = _image(picture, has_alpha).webpsave_buffer(Q=quality, keep="none")
    chunks, at = [], 12
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] != b"VP8X":
            chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    flags = 32 * bool(blocks.icc) + 16 * has_alpha + 8 * bool(blocks.exif) + 4 * bool(blocks.xmp)
    height, width = picture.pixels.shape[:2]
    header = bytes([flags, 0, 0, 0]) + b"".join(
        (n - 1).to_bytes(3, "little") for n in (width, height)
    )
    chunks = [
        (b"VP8X", header),
        (b"ICCP", blocks.icc),
        *chunks,
        (b"EXIF", blocks.exif),
        (b"XMP ", blocks.xmp),
    ]
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in chunks
        if content
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _strips(pixels: np.ndarray, order: str) -> tuple[int, list[bytes]]:
    """Rows of a strip, and the strips: differences of neighbours, deflated."""
    rows = max(1, (1 << 18) // pixels[0].nbytes)
    strips = []
    for top in range(0, len(pixels), rows):
        strip = pixels[top : top + rows]
        differences = strip.copy()
        differences[:, 1:] -= strip[:, :-1]
        ordered = differences.astype(pixels.dtype.newbyteorder(order), copy=False)
        strips.append(zlib.compress(ordered, 1))  # level 6: 3 % smaller, twice the time
    return rows, strips


def _tiff(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    """The EXIF block, whose offsets stay right; the pixels; one directory for both."""
    pixels = _array(picture, picture.alpha is not None)
    height, width, bands = pixels.shape
    block = blocks.exif or struct.pack("<2sHIHI", b"II", 42, 8, 0, 0)
    block += bytes(len(block) % 2)
    order, every, _ = exif.directories(block)
    rows, strips = _strips(pixels, order)
    starts = np.cumsum([len(block), *map(len, strips)]).tolist()
    fields: dict[int, tuple[str, Sequence[int]]] = {
        **{0x100: ("I", [width]), 0x101: ("I", [height])},
        **{0x102: ("H", [8 * pixels.itemsize] * bands), 0x103: ("H", [8]), 0x106: ("H", [2])},
        **{0x111: ("I", starts[:-1]), 0x115: ("H", [bands]), 0x116: ("I", [rows])},
        **{0x117: ("I", [len(strip) for strip in strips]), 0x11C: ("H", [1]), 0x13D: ("H", [2])},
        **{0x11A + i: ("II", [round(r * 1e4), 1000]) for i, r in enumerate(picture.resolution)},
        0x128: ("H", [3]),  # pixels per centimetre
        0x152: ("H", [2] * (bands - 3)),  # alpha that the colours are not multiplied by
        **{0x2BC: ("B", blocks.xmp), 0x83BB: ("B", blocks.iptc), 0x8773: ("B", blocks.icc)},
    }
    entries = {entry[0]: entry for entry in every[exif.FIRST][1] if entry[0] != 0x213}
    values, offset = [], starts[-1] + starts[-1] % 2
    for tag, (letters, numbers) in fields.items():
        if not numbers or (tag in (0x11A, 0x11B, 0x128) and {0x11A, 0x11B} <= entries.keys()):
            continue
        kind = {"B": 1 if tag == 0x2BC else 7, "H": 3, "I": 4, "II": 5}[letters]
        value = struct.pack(f"{order}{len(numbers)}{letters[0]}", *numbers)
        count = len(numbers) // len(letters)
        if len(value) > 4:
            values.append(value + bytes(len(value) % 2))
            value = struct.pack(order + "I", offset)
            offset += len(values[-1])
        entries[tag] = tag, kind, count, value.ljust(4, b"\0")
    header = block[:4] + struct.pack(order + "I", offset)
    gap = bytes(starts[-1] % 2)
    packed = exif.pack(order, [entries[tag] for tag in sorted(entries)])
    return b"".join((header, block[8:], *strips, gap, *values, packed))


def _heic(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    import pillow_heif

    pixels, encoded = _array(picture, picture.alpha is not None), io.BytesIO()
    height, width, bands = pixels.shape
    heif = pillow_heif.from_bytes(
        "RGB" + "A" * (bands - 3), (width, height), pixels.reshape(-1).data
    )
    heif.save(encoded, quality=quality, **_pillow_metadata(blocks))
    return encoded.getvalue()


def _avif(path: pathlib.Path, picture: Picture, blocks: _Blocks, quality: int) -> bytes:
    from PIL import Image

    pixels, encoded = _array(picture, picture.alpha is not None), io.BytesIO()
    Image.fromarray(pixels).save(encoded, "AVIF", quality=quality, **_pillow_metadata(blocks))
    return encoded.getvalue()


def _pillow_metadata(blocks: _Blocks) -> dict[str, bytes]:
    names = {"exif": blocks.exif, "xmp": blocks.xmp, "icc_profile": blocks.icc}
    return {name: block for name, block in names.items() if block}


def write(path: pathlib.Path, picture: Picture, quality: int = 95) -> None:
    """Writes a picture, whole or not at all, in the format of the suffix.

    Args:
      path: of the file.
      picture: 16 bits are rounded to 8, and alpha and IPTC left out with a warning, where the
        format has none.
      quality: 1 to 100, of JPEG, WebP, HEIC and AVIF.

    Raises:
      InputError: the picture cannot be written in this format.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    check_writable(path, *picture.pixels.shape[:2])
    kind = FORMATS[path.suffix.lower()]
    if picture.pixels.dtype == np.uint16 and kind not in DEEP_FORMATS:
        picture = to_8_bits(picture)
    if picture.alpha is not None and kind == "JPEG":
        logging.warning("%s: a JPEG holds no alpha channel; it is left out", path)
        picture = dataclasses.replace(picture, alpha=None)
    # The arrays live as long as `picture`: libvips does not keep what it is given.
    picture = dataclasses.replace(picture, pixels=np.ascontiguousarray(picture.pixels))
    blocks = _metadata(path, picture)
    if blocks.iptc and kind not in ("JPEG", "TIFF"):
        logging.warning("%s: %s holds no IPTC data; they are left out", path, kind)
    encode = {
        "JPEG": _jpeg,
        "PNG": _png,
        "TIFF": _tiff,
        "WebP": _webp,
        "HEIC": _heic,
        "AVIF": _avif,
    }[kind]
    try:
        data = encode(path, picture, blocks, quality)
    except (pyvips.Error, ValueError, RuntimeError, OSError, OverflowError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be written as {kind}: {reason}") from error
    write_atomically(path, data)
