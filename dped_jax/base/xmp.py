"""XMP packets of pictures that are written anew."""

from typing import Any

# What describes a video, a depth map or a gain map behind or beside the picture.
_STALE = (
    "http://ns.google.com/photos/dd/",  # dynamic depth
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/audio/",
    "http://ns.google.com/photos/1.0/camera/ MicroVideo",
    "http://ns.google.com/photos/1.0/camera/ MotionPhoto",
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/xmp/note/ HasExtendedXMP",
    "http://ns.adobe.com/xap/1.0/ Thumbnails",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/HDRToneMap/",
    "http://ns.apple.com/pixeldatainfo/",
    "http://ns.apple.com/depth",
    "http://ns.xiaomi.com/photos/1.0/camera/",
    "http://ns.oplus.com/photos/1.0/camera/",
)
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/ ", "http://ns.adobe.com/exif/1.0/ "


def clean(packet: bytes, height: int, width: int, has_profile: bool) -> bytes:
    """What a packet, XML, may say of an upright picture that was made of the one of which it was.

    Returns:
      The packet itself, byte for byte, where nothing need change.

    Raises:
      ValueError: it is not well-formed.
    """
    from xml.dom import minidom
    from xml.parsers import expat

    numbers = {_TIFF + "Orientation": 1, _TIFF + "ImageWidth": width, _TIFF + "ImageLength": height}
    numbers |= {_EXIF + "PixelXDimension": width, _EXIF + "PixelYDimension": height}
    numbers |= {} if has_profile else {_EXIF + "ColorSpace": 1}
    try:
        document: Any = minidom.parseString(packet.strip(b"\0"))
    except expat.ExpatError as error:
        raise ValueError("not well-formed") from error
    changed = False
    for element in document.getElementsByTagName("*"):
        for node in (element, *element.attributes.values()):
            name = f"{node.namespaceURI} {node.localName}"
            if name.startswith(_STALE):
                changed = True
                if node is not element:
                    element.removeAttributeNode(node)
                elif element.parentNode is not document:
                    element.parentNode.removeChild(element)
            elif name in numbers:
                changed = True
                text = node if node is not element else node.firstChild
                if text is not None:
                    text.nodeValue = str(numbers[name])
    written = b"".join(node.toxml().encode() for node in document.childNodes)
    return written if changed else packet
