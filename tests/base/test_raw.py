"""Camera raw: recognised, developed in the same way whatever it shows, refused without its data."""

import importlib.util
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import skimage.data
import tifffile
from camera_raw import write_dng
from PIL import Image

from dped_jax.base import raw
from dped_jax.base.errors import InputError
from dped_jax.base.tiff_tags import extents

needs_rawpy = pytest.mark.skipif(
    not importlib.util.find_spec("rawpy"), reason="needs the extra raw"
)


def dng(tmp_path, photo: np.ndarray, **kwargs) -> bytes:
    write_dng(tmp_path / "a.dng", photo, **kwargs)
    return (tmp_path / "a.dng").read_bytes()


@needs_rawpy
def test_a_photograph_comes_out_as_it_was(tmp_path):
    photo = skimage.data.astronaut()
    developed = raw.develop(dng(tmp_path, photo), "a.dng")
    # A Bayer mosaic has a third of the values: sharp edges differ, brightness and colour do not.
    assert np.corrcoef(developed.ravel(), photo.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(developed.mean((0, 1)), photo.mean((0, 1)), atol=2)


@needs_rawpy
def test_it_is_turned_once(tmp_path):
    photo = skimage.data.astronaut()[:, :400]
    data = dng(tmp_path, photo, orientation=6)
    turned = raw.develop(data, "a.dng")
    assert turned.shape == (400, 512, 3)
    assert raw.size(data, "a.dng") == (400, 512)
    upright = raw.develop(dng(tmp_path, photo), "a.dng")
    assert np.abs(np.rot90(turned).astype(float) - upright).mean() < 2


@needs_rawpy
def test_a_bright_spot_does_not_change_the_rest(tmp_path):
    """A wall of one gray beside a spot of 0.2 % of the pixels, at parts of the sensor's white."""
    walls = []
    for level in (150, 218, 231, 242, 255):  # up to white, by the curve of sRGB
        photo = np.full((200, 200, 3), 150, np.uint8)
        photo[90:99, 90:99] = level
        walls.append(raw.develop(dng(tmp_path, photo), "a.dng")[:50, :50])
    # The curve of LibRaw is close to that of sRGB: 1 level.
    np.testing.assert_allclose(walls[0], 150, atol=1)
    for wall in walls[1:]:
        np.testing.assert_array_equal(wall, walls[0])


@needs_rawpy
@pytest.mark.parametrize("part", [0.05, 0.6, 0.99])
def test_raw_that_is_cut_short_is_refused(tmp_path, part):
    data = dng(tmp_path, skimage.data.astronaut())
    with pytest.raises(InputError, match=r"a.dng: raw file without its data, or cut short; copy"):
        raw.develop(data[: int(part * len(data))], "a.dng")


@needs_rawpy
def test_tiles_behind_the_end_are_missing_data(tmp_path):
    """LibRaw gives black for lossy DNG like that; here the directory is one below another."""
    small, whole = np.zeros((64, 64, 3), np.uint8), np.uint16(skimage.data.astronaut()) * 257
    tags = [(50706, "B", 4, bytes([1, 4, 0, 0]), True)]
    with tifffile.TiffWriter(tmp_path / "a.dng") as file:
        file.write(small, subifds=1, extratags=tags, metadata=None)
        file.write(whole, photometric=34892, tile=(256, 256), metadata=None)
    data = (tmp_path / "a.dng").read_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0].pages[0]
        lengths = page.tags["TileByteCounts"]
        last = lengths.valueoffset + 4 * (len(lengths.value) - 1)
    every = [end for tags in raw._directories(data) for _, end in extents(tags)]
    assert len(every) == 5
    assert max(every) <= len(data)
    with pytest.raises(InputError, match=r"^a.dng: raw file without its data"):
        raw.develop(data[:last] + struct.pack("<I", 1 << 30) + data[last + 4 :], "a.dng")


@needs_rawpy
@pytest.mark.parametrize("start", [b"FUJIFILMCCD-RAW", b"IIRO\x08\0\0\0", b"II*\0\x10\0\0\0CR\2\0"])
def test_raw_that_libraw_cannot_read_is_one_line(start):
    data = start + bytes(500)
    assert raw.is_raw(data)
    for function in (raw.develop, raw.size):
        with pytest.raises(InputError, match=r"^a.raf: raw file that LibRaw cannot read \(.*\); d"):
            function(data, "a.raf")
    assert raw.capture_time(data) is None


@needs_rawpy
def test_development_is_the_same_from_run_to_run(tmp_path):
    data = dng(tmp_path, skimage.data.astronaut())
    program = (
        "import pathlib, sys, zlib; from dped_jax.base import raw;"
        " print(zlib.crc32(raw.develop(pathlib.Path(sys.argv[1]).read_bytes(), '')))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.dng")]
    environment = os.environ | {"MALLOC_PERTURB_": "165"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == zlib.crc32(raw.develop(data, "a.dng"))


def test_what_is_raw(tmp_path):
    photo = skimage.data.astronaut()
    assert raw.is_raw(dng(tmp_path, photo))
    for start in (
        b"II\x1a\0\0\0HEAPCCDR", b"FOVb", b"\0MRM", b"MMOR", b"IIU\0", b"\0\0\0\x18ftypcrx ",
    ):  # fmt: skip
        assert raw.is_raw(start + bytes(100)), start
    for suffix in ("jpeg", "png", "tiff", "webp"):
        file = io.BytesIO()
        Image.fromarray(photo).save(file, suffix)
        assert not raw.is_raw(file.getvalue()), suffix
    for data in (
        b"",
        b"II*\0",
        b"MM\0*\0\0\0\x08",
        b"II*\0" + b"\xff" * 100,
        b"\0\0\0\x18ftypheic",
    ):
        assert not raw.is_raw(data)
    loop = b"II*\0\x08\0\0\0\0\0\x08\0\0\0"  # a directory that comes after itself
    assert not raw.is_raw(loop)


def test_without_the_extra_it_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    data = dng(tmp_path, skimage.data.astronaut())
    with pytest.raises(InputError, match=r"a.dng: camera raw needs .*: pip install rawpy") as info:
        raw.develop(data, "a.dng")
    assert isinstance(info.value.__cause__, ImportError)
    assert raw.capture_time(data) is None
