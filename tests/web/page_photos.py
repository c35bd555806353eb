"""Photographs as cameras, phones and their programs write them, and what is right of each."""

import io
import struct
import zlib

import cv2
import numpy as np
import pyvips
import skimage.data
from PIL import ExifTags, Image

ADOBE_TO_SRGB = np.array(  # linear light, by the primaries of both; the white is the same
    [[1.39835574, -0.39835574, 0], [0, 1, 0], [0, -0.04292899, 1.04292899]]
)
TURNS = {  # from stored to upright, by EXIF's orientation
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pixels() -> np.ndarray:
    """(100, 160, 3) uint8: more than one block of a JPEG wide, and no two sides alike."""
    return skimage.data.coffee()[100:200, 150:310]


def encoded(array: np.ndarray, kind: str = "JPEG", mode: str = "", **options) -> bytes:
    """A file; a JPEG with all its chroma."""
    file, image = io.BytesIO(), Image.fromarray(array)
    options = {"quality": 95, "subsampling": 0} | options if kind == "JPEG" else options
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """(H, W, 3) as stored, by Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def exif(orientation: int = 1, interoperability: str = "") -> Image.Exif:
    """Tags, with what says that colours are Adobe RGB where asked for."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    if interoperability:
        tags[ExifTags.Base.WhitePoint] = (0.3127, 0.329)
        inner = tags.get_ifd(ExifTags.IFD.Exif)
        inner[ExifTags.Base.ColorSpace] = 65535
        inner[ExifTags.Base.ExifImageWidth] = 160
        inner[ExifTags.IFD.Interop] = {1: interoperability}
    return tags


def from_adobe_rgb(array: np.ndarray) -> np.ndarray:
    """Adobe RGB (1998) to sRGB, (H, W, 3) uint8, by the formulas of both."""
    light = np.clip((array / 255) ** (563 / 256) @ ADOBE_TO_SRGB.T, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)


def png_with(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with another chunk behind its header."""
    body = kind + content
    chunk = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def in_display_p3(array: np.ndarray) -> bytes:
    """A PNG in Display P3 by its profile, as libvips converts sRGB to it."""
    image = pyvips.Image.new_from_array(array, interpretation="srgb")
    return image.icc_transform("p3", input_profile="srgb").write_to_buffer(".png")


def of_16_bits(array: np.ndarray) -> bytes:
    """A PNG whose upper 8 bits are the picture's; the lower ones are of all sizes."""
    low = np.arange(array.shape[1], dtype=np.uint16)[:, None]
    return cv2.imencode(".png", array[..., ::-1].astype(np.uint16) * 256 + low)[1].tobytes()


def readable() -> dict[str, tuple[bytes, np.ndarray, int, str]]:
    """By name: the file, what is right of it, levels it may be off, and what is to be said."""
    array, webp, png = pixels(), {"lossless": True, "exact": True}, encoded(pixels(), "PNG")
    jpeg = encoded(array)
    adobe = encoded(array, exif=exif(6, "R03"))
    options = {"quality": 100, "subsampling": "4:4:4"}
    avif, plain = (encoded(array, "AVIF", **options, exif=exif(turn)) for turn in (6, 1))
    photos = {
        "named.txt": (jpeg, decoded(jpeg), 0, ""),
        "behind.jpg": (jpeg + b"video" * 99 + jpeg, decoded(jpeg), 0, ""),
        "endless.jpg": (jpeg[:-2] + bytes(999), decoded(jpeg), 0, "no end marker"),
        "adobe.jpg": (adobe, upright(from_adobe_rgb(decoded(adobe)), 6), 1, ""),
        "p3.png": (in_display_p3(array), array, 1, ""),  # rounded before
        "deep.png": (of_16_bits(array), array, 0, "16 bits became 8"),
        "plain.bmp": (encoded(array, "BMP"), array, 0, ""),
        "turned.avif": (avif, upright(decoded(plain), 6), 2, ""),
        "turned.png": (encoded(array, "PNG", exif=exif(8)), upright(array, 8), 0, ""),
        "marked.png": (png_with(png, b"cICP", bytes([1, 13, 0, 1])), array, 0, ""),
    }
    for orientation in TURNS:
        data = encoded(array, exif=exif(orientation))
        photos[f"turned{orientation}.jpg"] = (data, upright(decoded(data), orientation), 0, "")
        data = encoded(array, "WEBP", exif=exif(orientation), **webp)
        photos[f"turned{orientation}.webp"] = (data, upright(array, orientation), 0, "")
    return photos


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    return np.asarray(Image.fromarray(array).transpose(TURNS[orientation]))


def flipped(data: bytes) -> bytes:
    """With one bit in the middle that is wrong."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def refused() -> dict[str, tuple[bytes, str]]:
    """By name: the file, and a word of why it is not read."""
    array = pixels()
    jpeg, png, webp = encoded(array), encoded(array, "PNG"), encoded(array, "WEBP")
    progressive = encoded(array, progressive=True)
    scans = [i for i in range(len(progressive)) if progressive[i : i + 2] == b"\xff\xda"]
    restarts = encoded(array, restart_marker_blocks=7)
    avif, end = encoded(array, "AVIF"), b"\xff\xd9"
    of_pq = avif.replace(b"nclx\0\1\0\x0d", b"nclx\0\x09\0\x10")
    assert of_pq != avif
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "half.jpg": (jpeg[: len(jpeg) // 2] + end, "damaged"),
        "last.jpg": (jpeg[:-9] + end, "damaged"),
        "half_restarts.jpg": (restarts[: len(restarts) // 2] + end, "damaged"),
        "half_progressive.jpg": (
            progressive[: (scans[-1] + len(progressive)) // 2] + end,
            "damaged",
        ),
        "scans.jpg": (progressive[: scans[-1]] + end, "damaged"),
        "flipped.png": (flipped(png), "damaged"),
        "cut.png": (png[:-12], "damaged"),
        "cut.webp": (webp[:-9], "damaged"),
        "cut.avif": (avif[:-9], "damaged"),
        "cmyk.jpg": (encoded(array, mode="CMYK"), "CMYK"),
        "pq.png": (png_with(png, b"cICP", bytes([9, 16, 0, 1])), "PQ"),
        "hlg.png": (png_with(png, b"cICP", bytes([9, 18, 0, 1])), "HLG"),
        "pq.avif": (of_pq, "PQ"),
        "drawing.jpg": (
            b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
            "drawing",
        ),
        "text.jpg": (b"no photo", "no photo"),
        "empty.jpg": (b"", "empty"),
        "scan.tif": (encoded(array, "TIFF"), "TIFF"),
        "moving.jpg": (encoded(array, "GIF"), "GIF"),
        "new.jpg": (b"\xff\x0a" + bytes(99), "JPEG XL"),
        "film.jpg": (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video"),
        "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    }
