"""Metadata are true of the new picture and otherwise as they were, say Pillow and exiftool."""

import contextlib
import importlib.util
import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageCms, IptcImagePlugin
from written_pictures import (
    IPTC,
    MAKER_NOTE,
    THUMBNAIL,
    UNKNOWN,
    decoded,
    display_p3,
    exif_block,
    packet,
    pixels,
    suffix,
    written_blocks,
)

from dped_jax.base import tiff_tags, writing, xmp
from dped_jax.base.pictures import Picture

__all__ = ["pixels", "suffix"]


@pytest.mark.parametrize("order", "<>")
def test_exif_is_true_and_otherwise_as_it_was(order, suffix, pixels, tmp_path, caplog):
    path = tmp_path / f"a{suffix}"
    block = exif_block(order)
    writing.write(path, Picture(pixels, metadata={"exif": block}))
    if suffix == ".tif":
        assert f"{path}: written without its EXIF data" in caplog.text
        return
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
    start = content.index(block[:8])
    assert content[start + block.index(MAKER_NOTE) :].startswith(MAKER_NOTE)


def test_a_profile_that_is_kept_makes_exif_say_so(suffix, pixels, tmp_path):
    path = tmp_path / f"a{suffix}"
    metadata = {"exif": exif_block("<"), "icc": display_p3()}
    writing.write(path, Picture(pixels, metadata=metadata), quality=100)
    assert written_blocks(path)["icc_profile"] == metadata["icc"]
    assert b"R03" in path.read_bytes() or suffix == ".tif"
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
    assert b'G:BurstID="a &gt; b"' in new
    assert b'xmp:Rating="4"' in new


def test_xmp_that_need_not_change_stays_byte_for_byte():
    plain = b"<?xpacket begin=''?><rdf:RDF xmlns:rdf='r' xmlns:a='b'>  <a:c d='e'/></rdf:RDF>\n  "
    assert xmp.clean(plain, 3, 4, False) == plain
    for damaged in (b"<a><b></a>", plain.decode().encode("utf-16"), b"no XML"):
        with pytest.raises(ValueError, match=r"well-formed|UTF-8"):
            xmp.clean(damaged, 3, 4, False)


def test_what_is_too_long_for_jpeg_is_said_to_be_lost(pixels, tmp_path, caplog):
    metadata = {"exif": exif_block("<", maker_note=bytes(70_000)), "xmp": packet("x" * 70_000)}
    for name in ("a.jpg", "a.webp"):
        writing.write(tmp_path / name, Picture(pixels, metadata=metadata))
    for name in ("EXIF", "XMP"):
        lost = f"a.jpg: written without its {name} data, which are too long for a JPEG"
        assert lost in caplog.text
    assert "a.webp" not in caplog.text
    assert bytes(70_000) in (tmp_path / "a.webp").read_bytes()
    assert b"x" * 70_000 in (tmp_path / "a.webp").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        assert not {"exif", "xmp"} & image.info.keys()


def test_large_profiles_and_iptc(pixels, tmp_path, caplog):
    thumbnail = struct.pack(">4sHHI", b"8BIM", 0x40C, 0, len(THUMBNAIL)) + THUMBNAIL
    rights = struct.pack(">4sHHI", b"8BIM", 0x40A, 0, 1) + b"\1\0"
    iptc = struct.pack(">4sHHI", b"8BIM", 0x404, 0, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    for block in (thumbnail + rights + iptc, IPTC):
        picture = Picture(pixels, metadata={"iptc": block})
        writing.write(tmp_path / "a.jpg", picture)
        with Image.open(tmp_path / "a.jpg") as image:
            assert IptcImagePlugin.getiptcinfo(image)[2, 90] == b"Town"
        assert b"what was cut away" not in (tmp_path / "a.jpg").read_bytes()
    assert not caplog.text
    for name in ("a.png", "a.tif"):
        writing.write(tmp_path / name, picture)
        assert f"{name}: written without its IPTC data" in caplog.text
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
        try:
            new = tiff_tags.clean(bytes(damaged), 60, 90, False)
        except ValueError:
            continue
        assert len(new) <= 2 * len(damaged) + 400
    for damaged in (b"", b"II*\0", b"no EXIF at all", block[:9]):
        with pytest.raises(ValueError, match=r"TIFF|EXIF"):
            tiff_tags.clean(damaged, 60, 90, False)


def test_unreadable_metadata_are_left_out_with_a_warning(suffix, pixels, tmp_path, caplog):
    metadata = {"exif": b"rubbish", "xmp": b"rubbish", "iptc": b"8BIM\4\4\0\0\xff"}
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, metadata=metadata))
    for name in ("EXIF", "XMP"):
        assert f"{path}: written without its {name} data, which are damaged" in caplog.text
    assert decoded(path).shape == pixels.shape


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
    metadata["xmp"] = packet("x" * 50_000).replace(b"a > b", b"c")  # which exiftool stumbles over
    path = tmp_path / f"a{suffix}"
    writing.write(path, Picture(pixels, metadata=metadata))
    argv = ["exiftool", "-j", "-a", "-G1", "-n", str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    tags = json.loads(done.stdout)[0]
    problems = [value for key, value in tags.items() if key.endswith((":Error", ":Warning"))]
    if suffix == ".tif":  # which is written without EXIF
        assert not problems
        return
    assert problems == ["[minor] Unrecognized MakerNotes"]  # it is none of a maker's
    assert "Thumbnail" not in done.stdout
    assert tags["IFD0:Model"] == "Phone 12"
    assert tags["XMP-xmp:Rating"] == 4
    assert len(tags["XMP-dc:Format"]) == 50_000
    assert tags["XMP-tiff:Orientation"] == 1
    assert not [key for key in tags if "Motion" in key or "MicroVideo" in key or key == "Directory"]
