"""The prepare command: how bad photos, folders and flags end."""

import shutil

import cv2
import numpy as np
import pytest
from photo_folders import (
    arguments,
    manifest,
    prepare_here,
    reasons,
    run_all,
    simulated_pair,
    write_folders,
    write_photo,
)
from tiny import assert_one_line_error

from data_builders.dped.prepare import (
    folders,
    looks,
    pairing,
    pairing_by_time,
    photo_pairs,
    records,
)
from data_builders.dped.prepare.splits import assign_splits
from dped_jax.base.errors import InputError


def test_bad_photos_are_rejected_one_by_one_with_a_reason(tmp_path):
    names = dict.fromkeys(("gray", "deep", "alpha", "cut", "text", "tiny", "none"), 0)
    names |= dict.fromkeys(("mirror", "blank", "self", "other"), 1)
    write_folders(tmp_path, {**names, "good": 2, "good2": 3, "good3": 4})
    phone, dslr = tmp_path / "phone", tmp_path / "dslr"
    photo = simulated_pair(0)[0]
    write_photo(phone / "gray.png", photo[..., 1])
    write_photo(phone / "deep.png", np.uint16(photo) * 257)
    write_photo(dslr / "alpha.png", np.dstack([photo, photo[..., 0]]))
    for file, data in (
        ("cut", (phone / "cut.png").read_bytes()[:-50]),
        ("none", b""),
        ("text", b"hello"),
    ):
        (phone / f"{file}.png").write_bytes(data)
    write_photo(phone / "tiny.png", photo[:90, :200])
    write_photo(phone / "mirror.png", np.ascontiguousarray(simulated_pair(1)[0][:, ::-1]))
    write_photo(dslr / "blank.png", np.full((300, 400, 3), 240, np.uint8))
    shutil.copy(phone / "self.png", dslr / "self.png")
    write_photo(phone / "other.png", simulated_pair(6)[0])
    shutil.copytree(phone, tmp_path / "copy")
    shutil.copy(phone / "good.png", phone / "zcopy.png")
    shutil.copy(dslr / "good.png", dslr / "zcopy.png")
    (phone / "alone.png").write_bytes((phone / "good.png").read_bytes())
    (dslr / "lonely.png").write_bytes((dslr / "good.png").read_bytes())
    result = prepare_here(tmp_path, tmp_path / "out")
    found = reasons(manifest(tmp_path / "out"))
    expected = {
        "gray": "phone photo: grayscale; convert it to 8-bit RGB",
        "deep": "phone photo: 16 bits a channel; convert it to 8-bit RGB",
        "alpha": "DSLR photo: an alpha channel; convert it to 8-bit RGB",
        "cut": "phone photo: damaged or cut short; replace",
        "text": "phone photo: not a picture that can be read",
        "none": "phone photo: empty file; replace it",
        "tiny": "phone photo: 200x90 pixels: smaller than a patch of 100x100",
        "mirror": "not the same scene",
        "blank": "only 0 matching keypoints: not the same scene, or blank",
        "self": "the phone's and the DSLR's file are the same: replace one",
        "other": "not the same scene",
        "zcopy": "one of its files is the same as that of good: remove one pair",
        "alone": "no DSLR photo of this name",
        "lonely": "no phone photo of this name",
    }
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name], name
    assert [kept.name for kept in result.summary.kept] == ["good", "good2", "good3"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--phone_dir={photos}/nowhere"], ["nowhere: no such folder"]),
        (["--phone_dir={photos}"], ["holds no pictures (.jpg .png .tif .webp .heic .dng"]),
        (["--phone_dir="], ["--phone_dir=: empty; give it a value"]),
        (["--dslr_dir="], ["--dslr_dir=: empty; give it a value"]),
        (["--output_dir="], ["--output_dir=: empty; give it a value"]),
        (["--size=1080"], ["--size=1080: must be WIDTHxHEIGHT"]),
        (["--size=90x90"], ["each at least 100"]),
        (["--test_scenes=4"], ["5 scene(s) are too few to hold out 4 for test and 1"]),
        (["--test_scenes=0"], ["--test_scenes=0: must be 1 or more"]),
        (["--sise=1080x800"], ["Unknown command line flag 'sise'", "Did you mean: size"]),
        (["--jpeg_quality=101"], ["jpeg_quality"]),
    ],
)
def test_bad_flags_end_in_one_line_and_write_nothing(photos, tmp_path, run_command, flags, words):
    flags = [flag.format(photos=photos) for flag in flags]
    done = run_command("prepare", *arguments(photos, tmp_path / "out"), *flags)
    assert_one_line_error(done, *words)
    assert not (tmp_path / "out").exists()


def test_folders_without_a_common_name(photos, tmp_path):
    write_folders(tmp_path, {"x": 0})
    with pytest.raises(InputError, match="no photo has a partner of the same name"):
        folders.prepare(
            phone_dir=f"{tmp_path}/phone",
            dslr_dir=f"{photos}/dslr",
            output_dir=f"{tmp_path}/out",
            run=run_all,
        )


def test_an_empty_split_is_an_error_with_all_else_written(tmp_path, run_command):
    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    splits = assign_splits([f"s{i}" for i in range(3)], -1, -1)
    test = next(scene for scene, split in splits.items() if split == "test")
    write_photo(tmp_path / f"phone/{test}.png", simulated_pair(7 - int(test[1:]))[0])
    write_photo(tmp_path / "phone/alone.png", simulated_pair(0)[0])  # of no scene, in no split
    done = run_command("prepare", *arguments(tmp_path, tmp_path / "out"))
    assert_one_line_error(done, "no patches for test")
    assert "  alone: no DSLR photo of this name\n" in done.stdout
    assert "not the same scene" in reasons(manifest(tmp_path / "out"))[test]


@pytest.mark.parametrize(
    "error", [IndexError("list index"), cv2.error("odd"), MemoryError(), OSError("cannot identify")]
)
def test_an_error_that_nobody_expected_is_of_its_pair_alone(tmp_path, monkeypatch, error):
    write_folders(tmp_path, {"a": 0})
    phone, dslr = (f"{tmp_path}/{camera}/a.png" for camera in ("phone", "dslr"))
    pair = photo_pairs.PhotoPair("a", phone, dslr)

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(photo_pairs.alignment, "match_keypoints", fail)
        patched.setattr(looks.homography, "find_keypoints", fail)
        photo_pairs.process_pair(pair, photo_pairs.Settings(), str(tmp_path))
        looks.look((phone, "phone", f"{tmp_path}/look"))
    record = records.read(f"{tmp_path}/a")
    assert record["problem"].startswith(f"cannot be aligned: {type(error).__name__}")
    assert record["windows"] == []
    assert not (tmp_path / "a.patches").exists()
    assert looks.read_look(f"{tmp_path}/look").problem.startswith("cannot be ")
    # Want of memory may be over the next time.
    photo_pairs.process_pair(pair, photo_pairs.Settings(), str(tmp_path))
    assert (records.read(f"{tmp_path}/a")["problem"] is None) == isinstance(error, MemoryError)


def test_photos_that_are_not_there_any_more(tmp_path):
    """A link whose target is gone, a folder with the name of a photo, by name and by time."""
    write_folders(tmp_path, {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4})
    (tmp_path / "phone/d.png").unlink()
    (tmp_path / "phone/d.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "dslr/e.png").unlink()
    (tmp_path / "dslr/e.png").mkdir()
    for _ in range(2):
        prepare_here(tmp_path, tmp_path / "out")
        found = reasons(manifest(tmp_path / "out"))
        assert found.keys() == {"d", "e"}
        assert "phone photo: cannot be read: No such file" in found["d"]
        assert "DSLR photo: cannot be read: Is a directory" in found["e"]
    cameras = pairing.list_cameras({"custom": f"{tmp_path}/phone"}, f"{tmp_path}/dslr")
    with pytest.raises(InputError, match=r"no photo has a capture time \(a.png"):
        pairing_by_time.by_time(cameras, f"{tmp_path}/time", run=run_all)
