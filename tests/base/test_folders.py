"""One rule of what counts as a picture in a folder."""

import os
import pathlib

import pytest

from dped_jax.base import folders
from dped_jax.base.errors import InputError

PICTURES = ("2.jpg", "10.JPEG", "3.jpe", "4.jfif", "5.mpo", "6.png", "7.tif", "8.webp", "9.heic",
            "11.hif", "12.avif", "13.NEF", "14.dng", "15.raf", "16.cr3")  # fmt: skip
OTHERS = (".DS_Store", "._2.jpg", ".hidden.png", "Thumbs.db", "desktop.ini", "notes.txt", "1.mov",
          "@eaDir", "__MACOSX")  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    for name in (*PICTURES, *OTHERS):
        (tmp_path / name).touch()
    return tmp_path


def test_what_counts_as_a_picture(folder, caplog):
    names = folders.pictures_of(folder, "--input=photos")
    assert sorted(names) == sorted(PICTURES)
    told = f"--input=photos: {len(OTHERS)} entries are no pictures and are passed over"
    assert caplog.messages == [told]


def test_folders_that_systems_leave_behind_are_not_entered(tmp_path):
    for name in ("a/1.jpg", "@eaDir/2.jpg", "a/__MACOSX/3.jpg", ".cache/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert folders.pictures_of(tmp_path, "photos", below=True) == ["a/1.jpg"]


@pytest.mark.parametrize(("taken", "expected"), [("jpeg", "1.JPG"), ("raw", "1.NEF")])
def test_camera_raw_beside_jpeg(tmp_path, caplog, taken, expected):
    for name in ("1.NEF", "1.JPG", "2.NEF"):
        (tmp_path / name).touch()
    names = folders.names_by_stem(tmp_path, "--dslr_dir=photos", taken)
    assert names == {"1": expected, "2": "2.NEF"}
    assert "--dslr_dir=photos: 1 with camera raw and JPEG" in caplog.messages[0]


def test_two_pictures_of_one_name(tmp_path):
    for name in ("1.jpg", "1.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"--dslr_dir=.*: 1.* and 1.* share a name; rename or"):
        folders.pictures_by_stem(tmp_path, "dslr_dir")


def test_natural_order():
    assert sorted(["a10", "b", "a2", "10", "9"], key=folders.natural_key) == [
        "9", "10", "a2", "a10", "b"
    ]  # fmt: skip


def test_a_name_that_is_not_utf8(tmp_path):
    (tmp_path / "a.png").touch()
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    with pytest.raises(InputError, match=r"--dslr_dir=.*: 'caf.udce9.png': its name is not UTF-8"):
        folders.pictures_by_stem(tmp_path, "dslr_dir")
