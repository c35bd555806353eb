"""What is written is judged by other readers: Pillow, libvips, OpenCV, and exiftool where it is."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import Image, ImageCms, IptcImagePlugin

from dped_jax.base import exif, writing, xmp
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture

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


@pytest.mark.parametrize("order", "<>")
def test_exif_is_true_and_otherwise_as_it_was(order, suffix, pixels, tmp_path):
    path = tmp_path / f"a{suffix}"
    block = exif_block(order)
    writing.write(path, Picture(pixels, metadata={"exif": block}))
    with contextlib.ExitStack() as stack:
        if suffix == ".heic":
            new = Image.Exif()
            new.load(written_blocks(path)["exif"])
        else:
            new = stack.enter_context(Image.open(path)).getexif()
        details, interoperability = new.get_ifd(0x8769), new.get_ifd(0xA005)
        assert new.get(0x112, 1) == 1
        assert suffix == ".avif" or 0x112 in new
        assert (new[0x100], new[0x101], new[0x110]) == (90, 60, "Phone 12")
        assert (details[0xA002], details[0xA003], details[0xA001]) == (90, 60, 1)
        assert interoperability[1].rstrip("\0") == "R98"
        assert interoperability[0x1001] == 90
        assert bytes(details[0x927C]) == MAKER_NOTE
        assert new[UNKNOWN] == b"whatever"
        assert new.get_ifd(0x8825)[1].rstrip("\0") == "N"
        assert not new.get_ifd(1)
    content = path.read_bytes()
    assert b"what was cut away" not in content
    # The maker note lies where it lay: offsets in it that count from the block's beginning hold.
    start = 0 if suffix == ".tif" else content.index(block[:8])
    assert content[start + block.index(MAKER_NOTE) :].startswith(MAKER_NOTE)


def test_a_profile_that_is_kept_makes_exif_say_so(suffix, pixels, tmp_path):
    path = tmp_path / f"a{suffix}"
    metadata = {"exif": exif_block("<"), "icc": display_p3()}
    writing.write(path, Picture(pixels, metadata=metadata), quality=100)
    assert written_blocks(path)["icc_profile"] == metadata["icc"]
    assert b"R03" in path.read_bytes()
    profile, srgb = io.BytesIO(metadata["icc"]), ImageCms.createProfile("sRGB")
    image = Image.fromarray(decoded(path))
    again = ImageCms.profileToProfile(image, profile, srgb, renderingIntent=1)
    assert np.abs(np.asarray(again).astype(int) - pixels).mean() < 4
    assert np.abs(decoded(path).astype(int) - pixels).mean() > 4


def test_xmp_tells_of_nothing_that_is_not_there(suffix, pixels, tmp_path):
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, metadata={"xmp": packet()}))
    new = written_blocks(path)["xmp"] if suffix != ".tif" else None
    if new is None:
        with Image.open(path) as image:
            new = image.tag_v2[700]
    for stale in (
        b"MotionPhoto",
        b"MicroVideo",
        b"Directory",
        b"Semantic",
        b"hdrgm:V",
        b"Extended",
    ):
        assert stale not in new, stale
    assert b'tiff:Orientation="1"' in new
    assert b">90</exif:PixelXDimension>" in new
    assert b'exif:ColorSpace="1"' in new
    assert b"G:BurstID='a > b'" in new
    assert b'xmp:Rating="4"' in new


def test_xmp_that_need_not_change_stays_byte_for_byte():
    plain = b"<?xpacket begin=''?><rdf:RDF xmlns:rdf='r' xmlns:a='b'>  <a:c d='e'/></rdf:RDF>\n  "
    assert xmp.clean(plain, 3, 4, False) == plain
    for damaged in (b"<a><b></a>", plain.decode().encode("utf-16"), b"no XML"):
        with pytest.raises(ValueError, match=r"well-formed|UTF-8"):
            xmp.clean(damaged, 3, 4, False)


def test_long_xmp_is_extended_xmp_in_jpeg(pixels, tmp_path):
    text = " ".join(map(str, range(40_000)))
    writing.write(tmp_path / "a.jpg", Picture(pixels, metadata={"xmp": packet(text)}))
    extension, segments = b"http://ns.adobe.com/xmp/extension/\0", {}
    with Image.open(tmp_path / "a.jpg") as image:
        main = image.info["xmp"]
        for _, payload in image.applist:
            if payload.startswith(extension):
                digest, full, offset = struct.unpack_from(">32sII", payload, len(extension))
                segments[offset] = payload[len(extension) + 40 :]
    whole = b"".join(segments[offset] for offset in sorted(segments))
    assert len(whole) == full
    assert digest.decode() == hashlib.md5(whole).hexdigest().upper()
    assert digest in main
    assert text.encode() in whole


def test_long_exif_loses_the_maker_note_and_says_so(pixels, tmp_path, caplog):
    block = exif_block("<", maker_note=bytes(70_000))
    writing.write(tmp_path / "a.jpg", Picture(pixels, metadata={"exif": block}))
    assert f"{tmp_path / 'a.jpg'}: written without its maker note" in caplog.text
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[0x110] == "Phone 12"
        assert image.getexif().get_ifd(0x8769)[0xA002] == 90
        assert image.getexif().get_ifd(0x8825)[1].rstrip("\0") == "N"
    writing.write(tmp_path / "a.webp", Picture(pixels, metadata={"exif": block}))
    assert bytes(70_000) in (tmp_path / "a.webp").read_bytes()


def test_large_profiles_and_iptc(pixels, tmp_path, caplog):
    thumbnail = struct.pack(">4sHHI", b"8BIM", 0x40C, 0, len(THUMBNAIL)) + THUMBNAIL
    rights = struct.pack(">4sHHI", b"8BIM", 0x40A, 0, 1) + b"\1\0"
    iptc = struct.pack(">4sHHI", b"8BIM", 0x404, 0, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    for block in (thumbnail + rights + iptc, IPTC):
        picture = Picture(pixels, metadata={"iptc": block})
        for name in ("a.jpg", "a.tif"):
            writing.write(tmp_path / name, picture)
            with Image.open(tmp_path / name) as image:
                assert IptcImagePlugin.getiptcinfo(image)[2, 90] == b"Town"
            assert b"what was cut away" not in (tmp_path / name).read_bytes()
    assert not caplog.text
    writing.write(tmp_path / "a.png", picture)
    assert "a.png: written without its IPTC data" in caplog.text
    profile = bytearray(display_p3())  # made longer than a segment by a tag that nobody reads
    profile += bytes(150_000)
    profile[:4] = struct.pack(">I", len(profile))
    writing.write(tmp_path / "b.jpg", Picture(pixels, metadata={"icc": bytes(profile)}))
    assert written_blocks(tmp_path / "b.jpg")["icc_profile"] == bytes(profile)


@pytest.mark.parametrize("block", [exif_block("<"), exif_block(">")])
def test_damaged_exif_is_left_out_or_survives(block):
    rng = np.random.default_rng(0)
    for _ in range(3000):
        damaged = bytearray(block[: rng.integers(len(block) + 1)])
        for _ in range(rng.integers(4)):
            if damaged:
                damaged[rng.integers(min(len(damaged), 400))] = rng.integers(256)
        for edit in (lambda b: exif.clean(b, 60, 90, False), exif.gather):
            try:
                new = edit(bytes(damaged))
            except struct.error:
                continue
            assert len(new) <= 2 * len(damaged) + 400
    for damaged in (b"", b"II*\0", b"no EXIF at all", block[:9]):
        with pytest.raises(struct.error):
            exif.clean(damaged, 60, 90, False)


def test_unreadable_metadata_are_left_out_with_a_warning(suffix, pixels, tmp_path, caplog):
    metadata = {"exif": b"rubbish", "xmp": b"rubbish", "iptc": b"8BIM\4\4\0\0\xff"}
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, metadata=metadata))
    for name in ("EXIF", "XMP"):
        assert f"{path}: written without its {name} data, which are damaged" in caplog.text
    assert decoded(path).shape == pixels.shape


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_16_bits_are_exact(name, has_alpha, order, tmp_path):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 65536, (301, 203, 4), np.uint16)
    alpha = planes[..., 3] if has_alpha else None
    picture = Picture(planes[..., :3], alpha, {"exif": exif_block(order)}, bits=16)
    writing.write(tmp_path / name, picture)
    expected = planes if has_alpha else planes[..., :3]
    np.testing.assert_array_equal(decoded(tmp_path / name), expected)
    other = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(other[..., 2::-1], planes[..., :3])


def test_16_bits_are_rounded_where_8_are_all(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = writing.to_8_bits(Picture(np.dstack([levels] * 3), levels))
    np.testing.assert_array_equal(picture.pixels[..., 1], np.rint(levels / 257))
    np.testing.assert_array_equal(picture.alpha, np.rint(levels / 257))
    white = np.full((40, 50, 3), 65535, np.uint16)
    for suffix in (".jpg", ".webp", ".avif"):
        writing.write(tmp_path / f"a{suffix}", Picture(white, bits=10))
        assert decoded(tmp_path / f"a{suffix}").min() == 255


def test_alpha_is_kept_where_there_is_a_place_for_it(suffix, pixels, tmp_path, caplog):
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[20:] = 200
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, alpha, {"exif": exif_block("<"), "xmp": packet()}))
    if suffix == ".jpg":
        assert f"{path}: written without its alpha channel" in caplog.text
        assert decoded(path).shape == pixels.shape
    else:
        assert np.abs(decoded(path)[..., 3].astype(int) - alpha).max() <= 8
        assert not caplog.text


def test_windows_of_arrays_are_written(suffix, pixels, tmp_path):
    picture = Picture(pixels[::-1, 10:60], np.full(pixels.shape[:2], 255, np.uint8)[:, 10:60])
    path = tmp_path / f"a{suffix}"
    writing.write(path, picture)
    assert np.abs(decoded(path)[..., :3].astype(int) - picture.pixels).mean() < 8


@pytest.mark.parametrize(
    ("name", "size", "limit"),
    [
        ("a.webp", (16_384, 1), "16,383 pixels a side"),
        ("a.jpeg", (1, 65_501), "65,500 pixels a side"),
        ("a.png", (1_000_001, 1), "1,000,000 pixels a side"),
        ("a.tiff", (30_000, 30_000), "pixels; PNG holds more"),
        ("a.avif", (32_769, 1), "32,768 pixels a side"),
        ("a.heic", (32_769, 1), "32,768 pixels a side"),
    ],
)
def test_limits_are_known_before(name, size, limit, tmp_path):
    if name == "a.heic":
        pytest.importorskip("pillow_heif", reason="optional: pip install pillow-heif")
    with pytest.raises(InputError, match=limit) as refusal:
        writing.check_writable(tmp_path / name, *size)
    assert str(tmp_path / name) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    writing.check_writable(tmp_path / name, min(size[0], 4000), min(size[1], 4000))


@pytest.mark.parametrize(("name", "size"), [("a.webp", (2, 16_383)), ("a.jpg", (65_500, 2))])
def test_limits_can_be_reached(name, size, tmp_path):
    writing.write(tmp_path / name, Picture(np.zeros((*size, 3), np.uint8)))
    assert decoded(tmp_path / name).shape[:2] == size


def test_heic_larger_than_a_picture_of_hevc_is_a_grid(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif", reason="optional: pip install pillow-heif")
    monkeypatch.setattr("dped_jax.base.containers._HEVC_SIDE", 1500)
    picture = np.zeros((1100, 1600, 3), np.uint8)
    picture[600:, 700:] = 200
    writing.write(tmp_path / "a.heic", Picture(picture))
    assert np.abs(decoded(tmp_path / "a.heic").astype(int) - picture).mean() < 2
    assert b"grid" in (tmp_path / "a.heic").read_bytes()


def test_suffixes_and_missing_libraries(tmp_path, monkeypatch, pixels):
    for name in ("a.gif", "a", "a.dng"):
        with pytest.raises(InputError, match="cannot write"):
            writing.write(tmp_path / name, Picture(pixels))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match="pip install pillow-heif"):
        writing.check_writable(tmp_path / "a.heic", 8, 8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [pyvips.Error("no"), ValueError("a\nb"), struct.error("c")])
def test_any_failure_to_encode_is_one_line(error, suffix, pixels, tmp_path, monkeypatch):
    def fail(content, quality):
        raise error

    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    monkeypatch.setitem(writing.containers.ENCODERS, writing.FORMATS[suffix], fail)
    with pytest.raises(InputError, match=rf"{path}: cannot be written as") as refusal:
        writing.write(path, Picture(pixels))
    assert "\n" not in str(refusal.value)
    assert path.read_text() == "old"
    monkeypatch.undo()
    with pytest.raises(OSError, match="nowhere"):
        writing.write(tmp_path / "nowhere" / f"a{suffix}", Picture(pixels))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_colour_marks_of_the_old_picture(pixels, tmp_path):
    writing.write(tmp_path / "a.png", Picture(pixels))
    content = (tmp_path / "a.png").read_bytes()
    assert b"sRGB" in content
    assert not any(chunk in content for chunk in (b"gAMA", b"cHRM", b"cICP", b"iCCP"))
    writing.write(tmp_path / "a.avif", Picture(pixels))
    nclx = b"colrnclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)  # H.273: sRGB
    assert nclx in (tmp_path / "a.avif").read_bytes()
    if importlib.util.find_spec("pillow_heif"):
        writing.write(tmp_path / "a.heic", Picture(pixels))
        assert nclx in (tmp_path / "a.heic").read_bytes()


def test_exiftool_has_nothing_to_say(suffix, pixels, tmp_path):
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool: apt-get install libimage-exiftool-perl")
    metadata = {"exif": exif_block(">"), "icc": display_p3()}
    metadata["xmp"] = packet("x" * 70_000).replace(b"a > b", b"c")  # which exiftool stumbles over
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, metadata=metadata))
    argv = ["exiftool", "-j", "-a", "-G1", "-n", str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    tags = json.loads(done.stdout)[0]
    problems = [value for key, value in tags.items() if key.endswith((":Error", ":Warning"))]
    assert problems == ["[minor] Unrecognized MakerNotes"]  # it is none of a maker's
    assert "Thumbnail" not in done.stdout
    assert tags["IFD0:Model"] == "Phone 12"
    assert tags["XMP-xmp:Rating"] == 4
    assert len(tags["XMP-dc:Format"]) == 70_000
    assert tags["XMP-tiff:Orientation"] == 1
    assert not [key for key in tags if "Motion" in key or "MicroVideo" in key or key == "Directory"]


def test_memory_that_was_freed_is_never_read():
    """Under MALLOC_PERTURB_ freed memory holds other bytes: the tests above would see them."""
    script = """
import pathlib, sys, tempfile
import numpy as np, pyvips
from dped_jax.base import writing
from dped_jax.base.pictures import Picture
folder = pathlib.Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
for suffix in (".png", ".tif"):
    for deep in (np.uint8, np.uint16):
        planes = rng.integers(0, 256, (400, 300, 4)).astype(deep)
        expected = planes[:, ::-1].copy()
        path = folder / (deep.__name__ + suffix)
        writing.write(path, Picture(planes[:, ::-1, :3], planes[:, ::-1, 3]))
        again = pyvips.Image.new_from_file(str(path)).numpy()
        assert np.array_equal(again, expected)
"""
    environment = {**os.environ, "MALLOC_PERTURB_": "165"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)
