"""XMP packets of pictures that are written anew; what need not change stays, byte for byte."""

import re
from xml.parsers import expat

# Of these namespaces all describes a video, a depth map or a gain map behind or beside the picture.
STALE_NAMESPACES = (
    "http://ns.google.com/photos/dd/",  # dynamic depth
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/audio/",
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/HDRToneMap/",
    "http://ns.apple.com/pixeldatainfo/",
    "http://ns.apple.com/depth",
    "http://ns.xiaomi.com/photos/1.0/camera/",
    "http://ns.oplus.com/photos/1.0/camera/",
)
STALE_PROPERTIES = (
    "http://ns.google.com/photos/1.0/camera/ MicroVideo",
    "http://ns.google.com/photos/1.0/camera/ MotionPhoto",
    "http://ns.adobe.com/xmp/note/ HasExtendedXMP",
    "http://ns.adobe.com/xap/1.0/ Thumbnails",
)
TIFF, EXIF = "http://ns.adobe.com/tiff/1.0/ ", "http://ns.adobe.com/exif/1.0/ "
END_OF_TAG = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")
ATTRIBUTE = re.compile(rb"""\s+([^\s=:"'<>]+):([^\s=:"'<>]+)\s*=\s*("[^"]*"|'[^']*')""")


def clean(packet: bytes, height: int, width: int, has_profile: bool) -> bytes:
    """What a packet may say of an upright picture that was made of the one that it came with.

    Args:
      packet: UTF-8, with or without its wrapper.
      height: of the new picture.
      width: of the new picture.
      has_profile: whether that has a colour profile; without one it is sRGB.

    Raises:
      ValueError: it is not well-formed.
    """
    packet = packet.strip(b"\0")
    if b"\0" in packet:
        raise ValueError("not UTF-8")
    numbers = {TIFF + "Orientation": 1, TIFF + "ImageWidth": width, TIFF + "ImageLength": height}
    numbers |= {EXIF + "PixelXDimension": width, EXIF + "PixelYDimension": height}
    if not has_profile:
        numbers[EXIF + "ColorSpace"] = 1
    edits: list[tuple[int, int, bytes]] = []
    namespaces, elements, stale_depth = {}, [], 0

    def is_stale(name: str) -> bool:
        return name.startswith(STALE_NAMESPACES + STALE_PROPERTIES)

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal stale_depth
        begin = parser.CurrentByteIndex
        tag_end = END_OF_TAG.search(packet, begin).end()  # type: ignore[union-attr]
        elements.append((begin, tag_end))
        if stale_depth or is_stale(name):
            stale_depth += 1
        elif any(is_stale(key) or key in numbers for key in attributes):
            for match in ATTRIBUTE.finditer(packet, begin, tag_end):
                prefix, key, _ = (part.decode() for part in match.groups())
                key = f"{namespaces.get(prefix)} {key}"
                if is_stale(key):
                    edits.append((*match.span(), b""))
                elif key in numbers:
                    edits.append((*match.span(3), b'"%d"' % numbers[key]))

    def end(name: str) -> None:
        nonlocal stale_depth
        begin, tag_end = elements.pop()
        is_empty = packet[tag_end - 2 : tag_end] == b"/>"
        stop = tag_end if is_empty else parser.CurrentByteIndex
        if stale_depth:
            stale_depth -= 1
            if not stale_depth:
                stop = stop if is_empty else packet.index(b">", stop) + 1
                edits.append((begin, stop, b""))
        elif name in numbers and not is_empty:
            edits.append((tag_end, stop, b"%d" % numbers[name]))

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartNamespaceDeclHandler = namespaces.__setitem__
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError("not well-formed") from error
    for begin, stop, text in sorted(edits, reverse=True):
        packet = packet[:begin] + text + packet[stop:]
    return packet
