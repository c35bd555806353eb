"""When photographs were taken, of files as programs write them."""

import io
import math
import struct
import zlib

import numpy as np
import pytest
from camera_raw import write_dng
from PIL import Image, features

from dped_jax.base.capture_time import capture_time

NOON = 1715601600.0  # 2024-05-13 12:00:00
DATE = "2024:05:13 12:00:00"
PHOTO = Image.fromarray(np.zeros((32, 32, 3), np.uint8))


def exif(taken: dict[int, str], first: dict[int, str] | None = None) -> bytes:
    """A block with tags about the exposure and tags of the first directory."""
    block = Image.Exif()
    block.update(first or {})
    block.get_ifd(0x8769).update(taken)
    return block.tobytes()


def saved(suffix: str, block: bytes, **options) -> bytes:
    file = io.BytesIO()
    PHOTO.save(file, suffix, exif=block, **options)
    return file.getvalue()


def same(found, seconds: float, zone: float = math.nan) -> bool:
    return found is not None and found[0] == seconds and str(found[1]) == str(float(zone))


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp", "tiff", "mpo", "avif"])
def test_formats(suffix, tmp_path):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    data = saved(suffix, exif({0x9003: DATE, 0x9291: "25", 0x9011: "+05:30"}))
    assert same(capture_time(data), NOON + 0.25, 19800)
    (tmp_path / "a").write_bytes(data)
    assert capture_time(tmp_path / "a") == capture_time(data)
    assert capture_time(saved(suffix, exif({}))) is None


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    file = io.BytesIO()
    pillow_heif.from_pillow(PHOTO).save(file, exif=exif({0x9003: DATE}))
    assert same(capture_time(file.getvalue()), NOON)


def test_camera_raw(tmp_path):
    write_dng(tmp_path / "a.dng", np.zeros((64, 64, 3), np.uint8), extra=[
        (36867, "s", 0, DATE, True), (36880, "s", 0, "-01:00", True),
    ])  # fmt: skip
    dng = (tmp_path / "a.dng").read_bytes()
    assert same(capture_time(dng), NOON, -3600)
    assert same(capture_time(b"IIRO" + dng[4:]), NOON, -3600)  # as Olympus marks its own
    tiff = exif({0x9003: DATE})[6:]
    boxes = b"".join(
        struct.pack(">I4s", 8 + len(body), name) + body
        for name, body in (
            (b"ftyp", b"crx \0\0\0\1crx isom"),
            (b"CMT1", exif({})[6:]),
            (b"CMT2", tiff),
        )
    )
    assert same(capture_time(boxes), NOON)


def test_raw_without_exif_has_the_time_that_libraw_knows(monkeypatch):
    monkeypatch.setattr("dped_jax.base.raw.capture_time", lambda data: (NOON, math.nan))
    assert same(capture_time(b"FOVb" + bytes(100)), NOON)


def test_png_with_exif_as_text():
    block = exif({0x9003: DATE})
    text = b"\nexif\n%8d\n" % len(block) + block.hex().encode() + b"\n"
    body = b"zTXtRaw profile type exif\0\0" + zlib.compress(text)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = saved("png", b"")
    assert same(capture_time(data[:33] + chunk + data[33:]), NOON)


@pytest.mark.parametrize(
    "unset", ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "2024:13:01 1:"]
)
def test_the_first_date_that_can_be_read(unset):
    assert same(capture_time(saved("jpeg", exif({0x9003: unset, 0x9004: DATE}))), NOON)
    assert same(capture_time(saved("jpeg", exif({0x9003: unset}, {0x9003: DATE}))), NOON)
    assert capture_time(saved("jpeg", exif({0x9003: unset, 0x9004: unset}, {0x132: DATE}))) is None
    both = exif({0x9003: DATE, 0x9004: "2020:01:01 00:00:00"})
    assert same(capture_time(saved("jpeg", both)), NOON)


def test_fraction_and_zone_are_those_of_the_date():
    block = exif({0x9003: "", 0x9291: "1", 0x9011: "", 0x9004: DATE, 0x9292: "5", 0x9012: "+02:00"})
    assert same(capture_time(saved("jpeg", block)), NOON + 0.5, 7200)
    for zone, east in (("-03:30", -12600), ("Z", 0), ("   :  ", math.nan)):
        block = exif({0x9003: DATE, 0x9010: zone})  # OffsetTime alone
        assert same(capture_time(saved("jpeg", block)), NOON, east)


@pytest.mark.parametrize(
    ("text", "seconds", "zone"),
    [
        ('exif:DateTimeOriginal="2024-05-13T12:00:00.5+02:00"', NOON + 0.5, 7200),
        ("><photoshop:DateCreated>2024-05-13T12:00</photoshop:DateCreated", NOON, math.nan),
        ('xmp:CreateDate="2024-05-13T12:00:00Z"', NOON, 0),
        ('exif:DateTimeOriginal="2024-05-13" xap:CreateDate="2024-05-13T12:00:00"', NOON, math.nan),
    ],
)
def test_xmp_where_exif_has_none(text, seconds, zone):
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {text}/></x:xmpmeta>'.encode()
    for suffix in ("jpeg", "webp"):
        assert same(capture_time(saved(suffix, b"", xmp=xmp)), seconds, zone), suffix
    dated = saved("jpeg", exif({0x9004: "2020:01:01 00:00:00"}), xmp=xmp)
    assert same(capture_time(dated), 1577836800.0)


def test_damaged_files_have_none_or_the_right_one():
    rng = np.random.default_rng(0)
    whole = {suffix: saved(suffix, exif({0x9003: DATE})) for suffix in ("jpeg", "png", "tiff")}
    for data in [b"", b"no photo", *(data[:60] for data in whole.values())]:
        assert capture_time(data) is None
    for data in whole.values():
        for _ in range(40):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] ^= rng.integers(1, 256)
            found = capture_time(bytes(damaged))
            assert found is None or math.isfinite(found[0])
