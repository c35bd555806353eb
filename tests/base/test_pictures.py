import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import pyvips
from base.test_color import expected, icc
from PIL import Image, ImageOps

from dped_jax.base import pictures
from dped_jax.base.errors import InputError

tifffile = pytest.importorskip("tifffile")

ROWS, COLUMNS = np.mgrid[0:60, 0:90]
RGB = np.stack([COLUMNS * 2.8, ROWS * 4.2, 255 - COLUMNS - ROWS], -1).astype(np.uint8)
DEEP = RGB * np.uint16(257) - np.uint16(100) * (RGB > 99)
ALPHA = (255 - ROWS * 2).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(samples, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **({"photometric": "rgb"} | options))
    return file.getvalue()


def vips(samples, interpretation):
    height, width = samples.shape[:2]
    kind = "ushort" if samples.dtype == np.uint16 else "uchar"
    channels = samples.size // (height * width)
    image = pyvips.Image.new_from_memory(samples.tobytes(), width, height, channels, kind)
    return image.copy(interpretation=interpretation)


def heic(samples, mode, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = samples.shape[:2]
    picture = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    file = io.BytesIO()
    picture.save(file, quality=95, chroma=444, **options)
    return file.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(data, *chunks):
    return data[:33] + b"".join(chunk(*each) for each in chunks) + data[33:]


def exif_with(orientation, r03=False):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if r03:
        exif.get_ifd(0x8769)[0xA001] = 65535
        exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    return exif.tobytes()


PNG, DEEP_PNG = encoded(RGB, "PNG"), vips(DEEP, "rgb16").pngsave_buffer(interlace=True)
JPEG = encoded(RGB, "JPEG", quality=95)
JPEG_PIXELS = np.asarray(Image.open(io.BytesIO(JPEG)))
PROGRESSIVE = encoded(RGB, "JPEG", quality=95, progressive=True)
RESTARTS = encoded(RGB, "JPEG", quality=95, restart_marker_blocks=2)
ICCP = b"iCCP", b"a\0\0" + zlib.compress(icc("srgb"))
SCAN = JPEG.index(b"\xff\xda")


def gray(samples):
    return np.repeat(samples[..., None], 3, axis=2)


WHOLE = {
    "png": (PNG, RGB),
    "png of 16 bits, interlaced": (DEEP_PNG, DEEP),
    "png of gray and 16 bits": (
        vips(DEEP[..., 0], "grey16").pngsave_buffer(),
        gray(DEEP[..., 0]),
    ),
    "png of one bit": (encoded(RGB[..., 0] > 99, "PNG"), gray(np.uint8(RGB[..., 0] > 99) * 255)),
    "png with something behind": (PNG + b"abc", RGB),
    "png with a bomb": (png_with(PNG, (b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20)))), RGB),
    "png as cICP says sRGB": (png_with(PNG, (b"cICP", bytes((1, 13, 0, 1)))), RGB),
    "png as cICP says P3": (
        png_with(DEEP_PNG, (b"cICP", bytes((12, 13, 0, 1)))),
        expected(DEEP, "p3"),
    ),
    "webp": (encoded(RGB, "WEBP", lossless=True), RGB),
    "bmp": (encoded(RGB, "BMP"), RGB),
    "jpeg": (JPEG, JPEG_PIXELS),
    "jpeg with a video behind": (JPEG + b"\0\0\0\x18ftypmp42\xff\xda\xff\xd9", JPEG_PIXELS),
    "jpeg with a jpeg behind": (JPEG + PROGRESSIVE, JPEG_PIXELS),
    "jpeg without end": (JPEG[:-2], JPEG_PIXELS),
    "jpeg without end, with zeros": (JPEG[:-2] + bytes(512), JPEG_PIXELS),
    "jpeg with restarts, without end": (RESTARTS[:-2], JPEG_PIXELS),
    "progressive jpeg without end": (PROGRESSIVE[:-2], JPEG_PIXELS),
    "jpeg with bytes to fill": (
        JPEG[:SCAN] + b"\xff\xff" + JPEG[SCAN:-2] + b"\xff\xff\xff\xd9",
        JPEG_PIXELS,
    ),
    "jpeg with garbage before its end": (JPEG[:-2] + b"garbage\xff\xd9", JPEG_PIXELS),
    "tiff": (tiff(RGB), RGB),
    "tiff of 16 bits, the other order": (tiff(DEEP, byteorder=">"), DEEP),
    "bigtiff in tiles": (tiff(RGB, bigtiff=True, tile=(32, 32)), RGB),
    "tiff in planes": (tiff(RGB.transpose(2, 0, 1).copy(), planarconfig="separate"), RGB),
    "tiff of gray, white is 0": (
        tiff(255 - RGB[..., 0], photometric="miniswhite"),
        gray(RGB[..., 0]),
    ),
    "tiff with a further channel": (tiff(RGBA, extrasamples=["UNSPECIFIED"]), RGB),
    "tiff of pages": (tiff(np.stack([RGB, RGB[::-1]])), RGB),
}


@pytest.mark.parametrize("name", WHOLE)
def test_pixels_of_whole_files(name):
    data, truth = WHOLE[name]
    picture = pictures.read(data)
    assert picture.pixels.dtype == (np.uint16 if truth.max() > 255 else np.uint8)
    assert picture.alpha is None
    assert picture.format == name.split(" ", maxsplit=1)[0].removeprefix("big").replace(
        "progressive", "jpeg"
    )
    tolerance = 20 if "P3" in name else 0  # of 65535; see test_color
    np.testing.assert_allclose(picture.pixels, truth, atol=tolerance, rtol=0)
    assert pictures.size(data) == RGB.shape[:2]


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (JPEG[:-2], "no end marker"),
        (tiff(np.stack([RGB, RGB])), "2 pages"),
        (tiff(RGBA, extrasamples=["UNSPECIFIED"]), "further channels"),
        (encoded(RGB, "JPEG", icc_profile=icc("p3")[:300]), "damaged"),
        (encoded(RGB[..., 0], "JPEG", icc_profile=icc("p3")), "another kind"),
        (encoded(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(RGBA)]), "animated"),
        (encoded(RGB, "PNG", save_all=True, append_images=[Image.fromarray(RGBA)]), "animated"),
    ],
)
def test_warnings_of_what_is_passed_over(data, warning):
    (only,) = pictures.read(data).warnings
    assert warning in only


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def bmp_that_is_cut():
    return encoded(RGB, "BMP")[:5000]


DAMAGED = {
    "half a jpeg": JPEG[: len(JPEG) // 2],
    "half a jpeg and an end marker": JPEG[: len(JPEG) // 2] + b"\xff\xd9",
    "half a jpeg and zeros": JPEG[: len(JPEG) // 2] + bytes(5000),
    "half a jpeg and a whole one": JPEG[: len(JPEG) // 2] + JPEG,
    "half a progressive jpeg and an end marker": PROGRESSIVE[: len(PROGRESSIVE) // 2] + b"\xff\xd9",
    "a progressive jpeg without its last scan": PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")]
    + b"\xff\xd9",
    "a jpeg of restarts that lacks some": RESTARTS[: RESTARTS.index(b"\xff\xd3")] + b"\xff\xd9",
    "the start of a jpeg": JPEG[:4],
    "half a png": PNG[: len(PNG) // 2],
    "a png without its end": PNG[:-12],
    "a png with a wrong checksum": flipped(PNG, 60),
    "half a webp": encoded(RGB, "WEBP", lossless=True)[:-60],
    "half a tiff": tiff(RGB)[:9000],
    "half a deflated tiff": encoded(RGB, "TIFF", compression="tiff_adobe_deflate")[:1200],
    "the start of a tiff": b"II*\0\x08\0\0\0",
    "half a bmp": bmp_that_is_cut(),
    "an empty webp": b"RIFF\0\0\0\0WEBP",
}


@pytest.mark.parametrize("restarts", [0, 3])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("height", [96, 97, 104])
def test_jpeg_that_lacks_its_very_end(height, sampling, restarts, caplog):
    noise = np.random.default_rng(0).integers(0, 256, (height, 64, 3), np.uint8)
    options = {"subsampling": sampling, "restart_marker_blocks": restarts}
    data = encoded(noise, "JPEG", quality=90, **options)
    truth = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pictures.read(data).pixels, truth)
    assert not caplog.records
    for missing in range(10, 60, 7):
        with pytest.raises(InputError, match="damaged or cut short"):
            pictures.read(data[:-missing] + b"\xff\xd9")


def test_heic_and_avif_that_are_cut():
    for data in (heic(RGB, "RGB"), encoded(RGB, "AVIF", quality=90)):
        for length in (len(data) - 60, len(data) // 2, 60):
            with pytest.raises(InputError):
                pictures.read(data[:length])


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name):
    with pytest.raises(InputError, match=r"^a name: damaged or cut short; [^\n]+$"):
        pictures.read(DAMAGED[name], name="a name")


def with_size(png, width, height):
    header = png[12:16] + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"a text", "not a picture"),
        (b'<?xml version="1.0"?><svg/>', "XML"),
        (b"<svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (encoded(RGB, "GIF"), "GIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "without a still picture"),
        (encoded(Image.fromarray(RGBA, "RGBA").convert("CMYK"), "JPEG"), "CMYK without"),
        (tiff(RGB.astype(np.float32)), "float values"),
        (tiff(RGB.astype(np.uint32)), "uint values"),
        (tiff(DEEP, photometric="cielab"), "CIELAB of more than 8 bits"),
        (png_with(PNG, (b"cICP", bytes((1, 13, 0, 0)))), "limited range"),
        (png_with(PNG, (b"cICP", bytes((9, 16, 0, 1)))), "HDR by PQ"),
        (png_with(PNG, ICCP, (b"cICP", bytes((9, 18, 0, 1)))), "HDR by HLG"),
        (with_size(PNG, 20_000, 20_000), "20000 x 20000 pixels, more than 200 megapixels"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_by_its_name(data, reason):
    with pytest.raises(InputError, match=rf"^a name: [^\n]*{reason}[^\n]*$"):
        pictures.read(data, name="a name")


def test_limit_of_megapixels():
    with pytest.raises(InputError, match=r"more than 0\.005 megapixels"):
        pictures.read(PNG, max_megapixels=0.005)
    assert pictures.read(PNG, max_megapixels=0.0054).pixels.shape == RGB.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_by_exif(kind, orientation):
    by_tag = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {}
    by_exif = {} if by_tag else {"exif": exif_with(orientation)}
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(RGB, kind, **by_tag, **by_exif, **lossless)
    truth = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    picture = pictures.read(data)
    np.testing.assert_array_equal(picture.pixels, np.asarray(truth))
    assert pictures.size(data) == picture.pixels.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_avif_is_that_of_its_transforms(orientation):
    data = encoded(
        RGB, "AVIF", quality=100, subsampling="4:4:4", exif=exif_with(orientation)
    )  # Pillow writes irot and imir, and no orientation into EXIF
    upright = Image.fromarray(RGB)
    upright.getexif()[0x0112] = orientation
    truth = np.asarray(ImageOps.exif_transpose(upright))
    picture = pictures.read(data)
    assert picture.format == "avif"
    assert np.abs(picture.pixels.astype(int) - truth).max() <= 6  # of lossy coding
    assert pictures.size(data) == truth.shape[:2]


def test_heic_is_turned_by_its_transforms_and_not_by_exif():
    data = heic(RGB, "RGB", exif=exif_with(8))  # pillow-heif writes irot, and leaves EXIF as it is
    tags = [b"\x01\x12\0\x03\0\0\0\1\0" + bytes([orientation]) for orientation in (8, 6)]
    assert data.count(tags[0]) == 1
    for same in (data, data.replace(*tags)):
        picture = pictures.read(same)
        assert np.abs(picture.pixels.astype(int) - np.rot90(RGB)).max() <= 6
        assert pictures.size(same) == picture.pixels.shape[:2] == (90, 60)
    untransformed = data.replace(b"irot", b"free")
    assert np.abs(pictures.read(untransformed).pixels.astype(int) - RGB).max() <= 6


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encoded(RGBA, "PNG"), 0),
        (encoded(RGBA, "WEBP", lossless=True, exact=True), 0),
        (tiff(RGBA, extrasamples=["UNASSALPHA"]), 0),
        (tiff(np.dstack([RGB, RGB[..., :2], ALPHA]), extrasamples=[0, 0, "UNASSALPHA"]), 0),
        (encoded(RGBA, "AVIF", quality=100, subsampling="4:4:4"), 6),
        (encoded(RGBA, "AVIF", quality=100, subsampling="4:4:4", alpha_premultiplied=True), 12),
    ],
)
def test_alpha(data, tolerance):
    picture = pictures.read(data)
    assert np.abs(picture.alpha.astype(int) - ALPHA).max() <= 1
    assert np.abs(picture.pixels.astype(int) - RGB).max() <= tolerance


def test_heic_with_alpha_and_of_gray():
    picture = pictures.read(heic(RGBA, "RGBA"))
    assert np.abs(picture.alpha.astype(int) - ALPHA).max() <= 2
    assert np.abs(picture.pixels.astype(int) - RGB).max() <= 6
    picture = pictures.read(heic(RGB[..., 0], "L"))
    assert picture.gray
    assert np.abs(picture.pixels.astype(int) - gray(RGB[..., 0])).max() <= 3


def test_white_of_ten_bits_is_white():
    white = np.full((64, 64, 3), 65535, np.uint16)
    avif = vips(white, "rgb16").heifsave_buffer(compression="av1", bitdepth=10, Q=98)
    for data in (avif, heic(white, "RGB;16")):
        picture = pictures.read(data)
        assert picture.bits == 10
        assert (picture.pixels == 65535).all()


@pytest.mark.parametrize(("numbers", "space"), [((12, 13), "p3"), ((1, 13), "srgb")])
def test_colors_of_heic_by_nclx(numbers, space):
    options = {"color_primaries": numbers[0], "transfer_characteristics": numbers[1]}
    options |= {"matrix_coefficients": 1, "full_range_flag": 1, "save_nclx_profile": True}
    picture = pictures.read(heic(RGB, "RGB", **options))
    bright = expected(RGB, space).min(axis=2) > 40  # darker ones magnify the losses of coding
    assert bright.sum() > 1000
    difference = np.abs(picture.pixels - expected(RGB, space))[bright]
    assert difference.max() <= 12


def test_hdr_by_nclx_is_refused():
    options = {"color_primaries": 9, "transfer_characteristics": 16}
    options |= {"matrix_coefficients": 9, "full_range_flag": 1, "save_nclx_profile": True}
    data = heic(RGB, "RGB", **options)
    with pytest.raises(InputError, match="a name: HDR by PQ; convert it"):
        pictures.read(data, name="a name")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_profile_is_converted_and_handed_on(kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    plain = pictures.read(encoded(RGB, kind, **lossless)).pixels
    picture = pictures.read(encoded(RGB, kind, icc_profile=icc("p3"), **lossless))
    assert np.abs(picture.pixels - expected(plain, "p3")).max() <= 0.6
    assert picture.metadata["icc"] == icc("p3")


def test_adobe_rgb_by_exif_unless_a_profile_says_otherwise():
    marked = encoded(RGB, "PNG", exif=exif_with(1, r03=True))
    assert np.abs(pictures.read(marked).pixels - expected(RGB, "adobe")).max() <= 0.6
    profiled = encoded(RGB, "PNG", exif=exif_with(1, r03=True), icc_profile=icc("srgb"))
    np.testing.assert_array_equal(pictures.read(profiled).pixels, RGB)


def test_lab_of_tiff():
    lab = np.array([[[50, 0, 0], [53.24, 80.1 * 0.5, 67.2 * 0.5]]])
    stored = np.round(lab * (2.55, 1, 1)).astype(np.int64).astype(np.uint8)
    pixels = pictures.read(tiff(np.tile(stored, (8, 8, 1)), photometric="cielab")).pixels / 255
    np.testing.assert_allclose(pixels[0, 0], 119 / 255, atol=1.5 / 255)
    turned = pictures.read(tiff(stored, photometric="cielab", extratags=[(274, "H", 1, 6, True)]))
    assert turned.pixels.shape == (2, 1, 3)
    red, green, blue = pixels[0, 1]
    assert red > 0.7 > green + 0.3 > blue


def test_metadata_as_bytes():
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    block = exif_with(1).removeprefix(b"Exif\0\0")
    for kind in ("JPEG", "PNG", "WEBP"):
        picture = pictures.read(encoded(RGB, kind, exif=exif_with(1), xmp=packet))
        assert picture.metadata["exif"] == block
        if kind != "PNG":
            assert picture.metadata["xmp"] == packet
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    assert pictures.read(png_with(PNG, (b"iTXt", text))).metadata["xmp"] == packet
    digits = (b"Exif\0\0" + block).hex().encode()
    raw = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(digits) + digits)
    assert pictures.read(png_with(PNG, (b"zTXt", raw))).metadata["exif"] == block
    assert Image.Exif().load(pictures.read(tiff(RGB)).metadata["exif"]) is None


def test_callers_of_8_bit_rgb_are_told_what_does_not_fit():
    np.testing.assert_array_equal(pictures.read_rgb8(PNG), RGB)
    for data, reason in (
        (DEEP_PNG, "16 bits a channel"),
        (encoded(RGB[..., 0], "PNG"), "grayscale"),
        (encoded(RGBA, "PNG"), "an alpha channel"),
    ):
        with pytest.raises(InputError, match=f"a name: {reason}; convert it to 8-bit RGB"):
            pictures.read_rgb8(data, name="a name")


def test_files_are_known_by_content_and_named_by_path(tmp_path):
    path = tmp_path / "photo.nef"
    path.write_bytes(JPEG)
    assert pictures.read(path).format == "jpeg"
    path.write_bytes(JPEG[:500])
    with pytest.raises(InputError, match=f"^{path}: damaged"):
        pictures.read(path)
    with pytest.raises(FileNotFoundError):
        pictures.read(tmp_path / "missing.jpg")


PROGRAM = """
import pathlib, sys
import numpy as np
from dped_jax.base import pictures
for path in map(pathlib.Path, sys.argv[1:]):
    truth = np.load(f"{path}.npy")
    for _ in range(3):
        off = np.abs(pictures.read(path).pixels.astype(int) - truth).max()
        assert off == 0, (path, off)
assert not {"jax", "cv2", "rawpy", "tensorflow"} & sys.modules.keys()
"""


def test_memory_that_is_freed_is_not_read(tmp_path):
    """Under MALLOC_PERTURB_ freed memory is overwritten."""
    files = {
        "profile.jpg": encoded(RGB, "JPEG", icc_profile=icc("p3")),
        "gray.png": encoded(RGB[..., 0], "PNG", icc_profile=icc("adobe", kind=b"GRAY")),
        "deep.png": png_with(DEEP_PNG, (b"iCCP", b"a\0\0" + zlib.compress(icc("p3")))),
        "alpha.avif": encoded(RGBA, "AVIF"),
        "turned.tif": encoded(RGB, "TIFF", tiffinfo={274: 6}),
        "ten_bits.heic": heic(DEEP, "RGB;16"),
        "alpha.heic": heic(RGBA, "RGBA"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        np.save(tmp_path / f"{name}.npy", pictures.read(data).pixels)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *(tmp_path / name for name in files)],
        env=os.environ | {"MALLOC_PERTURB_": "165", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
