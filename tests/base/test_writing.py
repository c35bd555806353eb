"""Pixels and limits of what is written; judged by libvips, OpenCV, Pillow and libheif."""

import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
import pyvips
from written_pictures import decoded, exif_block, packet, pixels, suffix

from dped_jax.base import writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture

__all__ = ["pixels", "suffix"]


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
    for name in ("a.jpg", "a.webp", "a.avif"):
        writing.write(tmp_path / name, Picture(white, bits=10))
        assert decoded(tmp_path / name).min() == 255


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
        assert ("EXIF" in caplog.text) == (suffix == ".tif")


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
        ("a.heif", (32_000, 20_000), "pixels; PNG holds more"),
    ],
)
def test_limits_are_known_before(name, size, limit, tmp_path):
    if name.startswith("a.hei"):
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
    monkeypatch.setattr(writing, "HEVC_SIDE", 1500)
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
    def fail(*args):
        raise error

    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    monkeypatch.setitem(writing.ENCODERS, writing.FORMATS[suffix], fail)
    with pytest.raises(InputError, match=rf"{path}: cannot be written as") as refusal:
        writing.write(path, Picture(pixels))
    assert "\n" not in str(refusal.value)
    assert path.read_text() == "old"
    monkeypatch.undo()
    with pytest.raises(OSError, match="nowhere"):
        writing.write(tmp_path / "nowhere" / f"a{suffix}", Picture(pixels))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


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
