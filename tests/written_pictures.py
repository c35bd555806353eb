"""What cameras put around a picture, made up; and what was written, as other readers see it."""

import pathlib
import struct

import cv2
import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import Image

THUMBNAIL = b"\xff\xd8 what was cut away \xff\xd9" * 40
MAKER_NOTE = b"Maker\0" + bytes(range(256)) * 3
UNKNOWN = 0xEA1C
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".heic", ".avif")
IPTC = b"\x1c\x02\x5a\x00\x04Town"


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".heic":
        pytest.importorskip("pillow_heif", reason="optional: pip install pillow-heif")
    return request.param


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return cv2.resize(skimage.data.coffee(), (90, 60), interpolation=cv2.INTER_AREA)


def exif_block(order: str, maker_note: bytes = MAKER_NOTE) -> bytes:
    """Of a phone: turned, Adobe RGB, larger than its picture, with a thumbnail behind all."""
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))

    def reserve(count: int) -> int:
        block.extend(bytes(2 + 12 * count + 4))
        return len(block) - (2 + 12 * count + 4)

    def fill(offset: int, entries: list, following: int = 0) -> None:
        struct.pack_into(order + "H", block, offset, len(entries))
        for i, (tag, kind, count, value) in enumerate(entries):
            if isinstance(value, bytes) and len(value) > 4:
                place = len(block)
                block.extend(value + bytes(len(value) % 2))
                value = struct.pack(order + "I", place)  # noqa: PLW2901
            elif isinstance(value, int):
                value = struct.pack(order + ("HH" if kind == 3 else "I"), value, *[0] * (kind == 3))  # noqa: PLW2901
            struct.pack_into(order + "HHI4s", block, offset + 2 + 12 * i, tag, kind, count, value)
        struct.pack_into(order + "I", block, offset + 2 + 12 * len(entries), following)

    first, details, interoperability, gps, thumbnail = map(reserve, (7, 5, 2, 2, 3))
    fill(interoperability, [(1, 2, 4, b"R03\0"), (0x1001, 3, 1, 4000)])
    fill(gps, [(0, 1, 4, bytes([2, 3, 0, 0])), (1, 2, 2, b"N\0")])
    note = (0x927C, 7, len(maker_note), maker_note)
    sizes = [(0xA002, 4, 1, 4000), (0xA003, 3, 1, 3000), (0xA005, 4, 1, interoperability)]
    fill(details, [note, (0xA001, 3, 1, 65535), *sizes])
    model, unknown = (0x110, 2, 9, b"Phone 12\0"), (UNKNOWN, 7, 8, b"whatever")
    fill(first, [
        (0x100, 3, 1, 4000), (0x101, 3, 1, 3000), model, (0x112, 3, 1, 6),
        (0x8769, 4, 1, details), (0x8825, 4, 1, gps), unknown,
    ], thumbnail)  # fmt: skip
    at = len(block)
    fill(thumbnail, [(0x103, 3, 1, 6), (0x201, 4, 1, at), (0x202, 4, 1, len(THUMBNAIL))])
    return bytes(block) + THUMBNAIL


def packet(more: str = "") -> bytes:
    """XMP of a motion photo with a gain map, cropped from 4000 x 3000 and turned."""
    return f"""<?xpacket begin="\ufeff" id="W5M0"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:G='http://ns.google.com/photos/1.0/camera/' xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:I="http://ns.google.com/photos/1.0/container/item/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:N="http://ns.adobe.com/xmp/note/" G:MotionPhoto="1" G:BurstID='a > b' hdrgm:Version="1.0"
 xmp:Rating="4" tiff:Orientation='6' N:HasExtendedXMP="0123" exif:ColorSpace="65535">
 <C:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><C:Item I:Semantic="Primary"/></rdf:li>
 </rdf:Seq></C:Directory>
 <exif:PixelXDimension>4000</exif:PixelXDimension><G:MicroVideoOffset>77</G:MicroVideoOffset>
 <dc:format>{more}</dc:format></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def display_p3() -> bytes:
    image = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    return image.icc_transform("p3", input_profile="srgb").get("icc-profile-data")


def decoded(path: pathlib.Path) -> np.ndarray:
    """By libvips, HEIC by libheif: what neither was written by."""
    if path.suffix == ".heic":
        return np.asarray(pytest.importorskip("pillow_heif").open_heif(path))
    return pyvips.Image.new_from_file(str(path)).numpy()


def written_blocks(path: pathlib.Path) -> dict[str, bytes]:
    """EXIF, XMP and profile as Pillow and pillow-heif find them."""
    if path.suffix == ".heic":
        info = dict(pytest.importorskip("pillow_heif").open_heif(path).info)
    else:
        with Image.open(path) as image:
            info = dict(image.info)
            if path.suffix == ".png":
                image.load()
                info = dict(image.info)
    return {k: v for k, v in info.items() if k in ("exif", "xmp", "icc_profile") and v}
