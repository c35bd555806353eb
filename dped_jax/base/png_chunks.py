"""Chunks of PNG: whether they are whole, and what they hold."""

import zlib

PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_METADATA = 16 << 20  # bytes that one chunk may hold once it is inflated
# Those that pixels depend on; decoders get no others, which may be anything.
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"pHYs")
_RAW = b"Raw profile type "


def split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Checks a PNG.

    Returns:
      A PNG of its pixels alone, and its metadata: "exif", "xmp", "iptc", "icc", and "cicp": four
      bytes as in ITU-T H.273. "actl" is there where it is an APNG.

    Raises:
      ValueError: a checksum is wrong, or the end is missing.
    """
    view, position, pixels, metadata = memoryview(data), len(PNG_START), [PNG_START], {}
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end]
        ):
            raise ValueError("a checksum is wrong")
        kind, body = data[position + 4 : position + 8], view[position + 8 : end - 4]
        if kind in _PIXELS:
            pixels.append(data[position:end])
        elif kind in (b"eXIf", b"cICP", b"acTL"):
            metadata[kind.decode().lower()] = bytes(body)
        elif kind in (b"iCCP", b"zTXt", b"tEXt", b"iTXt"):
            keyword, _, content = bytes(body).partition(b"\0")
            metadata |= _text(kind, keyword, content)
        if kind == b"IEND":
            return b"".join(pixels), metadata
        position = end
    raise ValueError("the end is missing")


def _text(kind: bytes, keyword: bytes, content: bytes) -> dict[str, bytes]:
    """What a chunk of text, or of a profile, holds of metadata; nothing of damaged ones."""
    compressed = kind in (b"iCCP", b"zTXt") or (kind == b"iTXt" and content[:1] == b"\1")
    content = content[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else content
    name = {b"XML:com.adobe.xmp": "xmp"}.get(keyword, "") if kind != b"iCCP" else "icc"
    try:
        if compressed:
            stream = zlib.decompressobj()
            content = stream.decompress(content[kind != b"iTXt" :], MAX_METADATA)
            if not stream.eof:  # too long, or cut short
                return {}
        if keyword.startswith(_RAW):  # ImageMagick's: a name, a length, and hexadecimal digits
            name = keyword[len(_RAW) :].decode("latin-1").replace("APP1", "exif")
            content = bytes.fromhex(content.strip().split(b"\n", 2)[-1].decode())
    except (zlib.error, ValueError):
        return {}
    is_known = name in ("icc", "xmp", "iptc", "exif")
    return {name: content.removeprefix(b"Exif\0\0")} if is_known else {}
