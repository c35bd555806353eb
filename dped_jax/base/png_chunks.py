"""Chunks of PNG and of RIFF, which WebP is: whether they are whole, and what they hold."""

import re
import zlib
from collections.abc import Iterator

PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_METADATA = 16 << 20  # bytes that one chunk may hold once it is inflated
# Those that pixels depend on; decoders get no others, which may be anything.
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"pHYs")
_XMP, _RAW = b"XML:com.adobe.xmp", b"Raw profile type "


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The chunks of a PNG as types and contents, up to its end.

    Raises:
      ValueError: a checksum is wrong, or the end is missing.
    """
    view, position = memoryview(data), len(PNG_START)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        body = view[position + 4 : end - 4]
        if end > len(data) or zlib.crc32(body) != int.from_bytes(data[end - 4 : end]):
            raise ValueError("a checksum is wrong")
        yield bytes(body[:4]), body[4:]
        if body[:4] == b"IEND":
            return
        position = end
    raise ValueError("the end is missing")


def split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Checks a PNG.

    Args:
      data: the file.

    Returns:
      A PNG of its pixels alone, and its metadata: "exif", "xmp", "iptc", "icc", and "cicp": four
      bytes as in ITU-T H.273. "animated" is there where it is an APNG.

    Raises:
      ValueError: a checksum is wrong, or the end is missing.
    """
    pixels, metadata = [PNG_START], {}
    for kind, body in chunks(data):
        if kind in _PIXELS:
            content = kind + body
            pixels += [len(body).to_bytes(4), content, zlib.crc32(content).to_bytes(4)]
        elif kind == b"acTL":
            metadata["animated"] = bytes(body)
        elif kind in (b"eXIf", b"cICP"):
            metadata[kind.decode().lower()] = bytes(body)
        elif kind in (b"iCCP", b"zTXt", b"tEXt", b"iTXt"):
            keyword, _, content = bytes(body).partition(b"\0")
            metadata |= _text(kind, keyword, content)
    return b"".join(pixels), metadata


def _text(kind: bytes, keyword: bytes, content: bytes) -> dict[str, bytes]:
    """What a chunk of text, or of a profile, holds of metadata."""
    compressed = kind in (b"iCCP", b"zTXt") or (kind == b"iTXt" and content[:1] == b"\1")
    content = content[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else content
    if compressed:
        content = inflate(content[1:] if kind != b"iTXt" else content)
    if kind == b"iCCP":
        return {"icc": content}
    if keyword == _XMP:
        return {"xmp": content}
    if not keyword.startswith(_RAW):
        return {}
    # ImageMagick's: a name, a length, and hexadecimal digits.
    digits = re.sub(rb"\s", b"", content.strip().split(b"\n", 2)[-1])
    if not re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits):
        return {}
    value, name = bytes.fromhex(digits.decode()), keyword[len(_RAW) :].decode("latin-1")
    if name in ("exif", "APP1") and value.startswith(b"Exif\0\0"):
        return {"exif": value[6:]}
    return {name: value} if name in ("xmp", "iptc") else {}


def inflate(compressed: bytes) -> bytes:
    """Inflates at most `MAX_METADATA` bytes; what is more, or damaged, is empty."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(compressed, MAX_METADATA)
    except zlib.error:
        return b""
    return content if stream.eof else b""


def riff_chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of each type in a WebP.

    Raises:
      ValueError: the file is shorter than it says.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    first: dict[bytes, bytes] = {}
    position = 12
    if end > len(data):
        raise ValueError("the file is shorter than it says")
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 + size > end:
            raise ValueError("a chunk is longer than the file")
        first.setdefault(data[position : position + 4], data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return first
