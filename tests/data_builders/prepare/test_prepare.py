"""The prepare command: its files, its splits, stopping and going on, and how bad input ends."""

import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import cv2
import fsspec
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from etils.epath import gpath
from generated_patches import ROOT
from photo_folders import simulated_pair, write_folders, write_photo
from tiny import assert_one_line_error

from data_builders.dped.cli import InputError
from data_builders.dped.dped_dataset_builder import Builder
from data_builders.dped.prepare import __main__ as prepare
from data_builders.dped.prepare import patches, photo_pairs, publish

NAMES = {f"s{i}": i for i in range(5)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("photos")
    write_folders(root, NAMES)
    return root


def run_all(function, tasks, doing):
    del doing
    for task in tasks:
        function(task)


def prepare_here(root: pathlib.Path, output: pathlib.Path, **kwargs) -> prepare.Result:
    """Runs in this process."""
    folders = {"phone_dir": f"{root}/phone", "dslr_dir": f"{root}/dslr"}
    return prepare.prepare(**folders, output_dir=str(output), **{"run": run_all} | kwargs)


def arguments(root: pathlib.Path, output: pathlib.Path) -> list[str]:
    return [f"--phone_dir={root}/phone", f"--dslr_dir={root}/dslr", f"--output_dir={output}"]


def files_below(folder: pathlib.Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def manifest(output: pathlib.Path, phone: str = "custom") -> list[dict[str, str]]:
    with (output / phone / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reasons(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["photo"]: row["reason"] for row in rows if row["status"] == "rejected"}


@pytest.fixture(scope="module")
def prepared(photos, tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess]:
    output = tmp_path_factory.mktemp("prepared") / "out"
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *arguments(photos, output)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return output, done


def test_the_command_says_what_it_did(prepared):
    output, done = prepared
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("prepared 5 pairs in ")
    rows = manifest(output)
    for split in ("train", "validation", "test"):
        assert (
            f"  {split:<11}{sum(row['split'] == split for row in rows):>8} patches" in done.stdout
        )
    assert f"look at {output}/custom/contact_sheet.png" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"next: python -m data_builders.dped.build --manual_dir={output} --phone=custom"
        " --data_dir=DATA_DIR"
    )


def test_the_layout_is_the_published_one(prepared, photos):
    output, _ = prepared
    rows = manifest(output)
    folders = {
        "train": "training_data",
        "validation": "validation_data/patches",
        "test": "test_data/patches",
    }
    for split, folder in folders.items():
        numbers = [int(row["patch"]) for row in rows if row["split"] == split]
        assert numbers == list(range(len(numbers)))
        assert numbers
        for camera in ("phone", "dslr"):
            files = list((output / "custom" / folder / camera).iterdir())
            assert {file.name for file in files} == {f"{number}.jpg" for number in numbers}
            assert all(cv2.imread(str(file)).shape == (100, 100, 3) for file in files)
    (whole,) = (output / "custom/test_data/full_size_test_images").iterdir()
    assert whole.read_bytes() == (photos / "phone" / whole.name).read_bytes()
    assert {row["photo"] for row in rows if row["split"] == "test"} == {whole.stem}
    assert not (output / ".prepare/custom/staged").exists()


def test_the_manifest_describes_the_patches(prepared):
    output, _ = prepared
    for row in manifest(output):
        folder = (
            output
            / "custom"
            / {"train": "training_data"}.get(row["split"], f"{row['split']}_data/patches")
        )
        pair = [cv2.imread(str(folder / c / f"{row['patch']}.jpg")) for c in ("phone", "dslr")]
        assert patches.correlation(*pair) == pytest.approx(float(row["correlation"]), abs=0.003)
        assert float(row["correlation"]) > 0.9
        assert row["reason"] == ""


def test_the_dslr_patches_are_windows_of_the_aligned_photo(prepared, photos):
    """Quality 100 changes them by rounding only."""
    from data_builders.dped.prepare import alignment

    output, _ = prepared
    row = next(row for row in manifest(output) if row["split"] == "train")
    pair = [
        cv2.imread(str(photos / camera / f"{row['photo']}.png"), cv2.IMREAD_COLOR_RGB)
        for camera in ("phone", "dslr")
    ]
    x, y = int(row["x"]), int(row["y"])
    expected = alignment.align_pair(*pair).dslr[y : y + 100, x : x + 100]
    file = output / f"custom/training_data/dslr/{row['patch']}.jpg"
    written = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
    assert np.abs(np.float64(written) - expected).mean() < 2.5


def test_pictures_can_be_looked_at(prepared):
    output, _ = prepared
    sheet = cv2.imread(str(output / "custom/contact_sheet.png"))
    assert sheet.shape[1] == 2 * (3 * 240 + 4)
    assert sheet.std() > 30
    assert cv2.imread(str(output / "custom/correlations.png")).shape == (400, 800, 3)


def test_build_keeps_photo_and_correlation(prepared, tmp_path, run_command):
    output, _ = prepared
    done = run_command(
        "build", f"--manual_dir={output}", "--phone=custom", f"--data_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    builder = tfds.builder_from_directory(tmp_path / "dped/custom" / str(Builder.VERSION))
    rows = manifest(output)
    for split in ("train", "validation", "test"):
        expected = [(r["patch"], r["photo"], r["correlation"]) for r in rows if r["split"] == split]
        found = [
            (e["name"].decode(), e["photo"].decode(), f"{e['correlation']:.4f}")
            for e in builder.as_data_source(split)
        ]
        assert found == expected


def test_a_second_run_does_nothing_and_other_settings_are_refused(prepared, photos, run_command):
    output, _ = prepared
    before = files_below(output)
    done = run_command("prepare", *arguments(photos, output))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{output}/custom is up to date (5 pairs):")
    done = run_command("prepare", *arguments(photos, output), "--min_correlation=0.8")
    assert_one_line_error(done, "min_correlation=0.9", "0.8", "choose another --output_dir")
    assert files_below(output) == before


def test_beam_gives_the_same_files(prepared, photos, tmp_path, run_command):
    pytest.importorskip("apache_beam", reason="needs Apache Beam (requirements-dev.txt)")
    output, _ = prepared
    beam = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
    done = run_command("prepare", *arguments(photos, tmp_path / "out"), *beam)
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path / "out/custom") == files_below(output / "custom")
    done = run_command("prepare", *arguments(photos, tmp_path / "new"), "--runner=NoRunner")
    assert_one_line_error(done, "--runner=NoRunner", "NoRunner")


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_run_leaves_nothing_half_written_and_is_gone_on_with(tmp_path, run_command):
    photos = tmp_path / "photos"
    write_folders(photos, {f"s{i}": i for i in range(8)})
    prepare_here(photos, tmp_path / "whole")
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *arguments(photos, tmp_path)]
    process = subprocess.Popen(
        [*argv, "--processes=1"], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    records = tmp_path / ".prepare/custom/pairs"
    while len(list(records.glob("*.json"))) < 1:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(100):  # its worker ends by itself
        if not group_exists(process.pid):
            break
        time.sleep(0.1)
    assert not group_exists(process.pid)
    assert not (tmp_path / "custom").exists()
    finished = {file: file.stat().st_mtime_ns for file in records.glob("*.json")}
    assert 1 <= len(finished) < 8
    for file in finished:
        assert photo_pairs.read_record(file)
        assert file.with_suffix(".zip").exists()
    done = run_command("prepare", *arguments(photos, tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"8 pairs, {len(finished)} of them before, in" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert files_below(tmp_path / "custom") == files_below(tmp_path / "whole/custom")


def test_a_failure_while_writing_leaves_the_old_result(photos, tmp_path):
    prepare_here(photos, tmp_path / "out")
    before = files_below(tmp_path / "out/custom")
    more = tmp_path / "photos"
    shutil.copytree(photos, more)
    shutil.move(tmp_path / "out/.prepare/custom/settings.json", tmp_path / "old.json")

    def fail_writing(function, tasks, doing):
        if doing == "writing":
            raise OSError("No space left on device")
        run_all(function, tasks, doing)

    write_folders(more, {"s9": 5})
    with pytest.raises(OSError, match="No space"):
        prepare_here(more, tmp_path / "out", run=fail_writing)
    assert files_below(tmp_path / "out/custom") == before
    # The same command takes up the photo that was added, and redoes no other.
    result = prepare_here(more, tmp_path / "out")
    assert (result.pairs, result.done_before, result.changed) == (6, 6, True)
    assert {row["photo"] for row in manifest(tmp_path / "out")} == {*NAMES, "s9"}


def test_an_object_store_gets_the_same_files(prepared, photos, monkeypatch):
    """There is no renaming of folders there: what is not complete is marked instead."""
    store = fsspec.filesystem("memory")
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    backend = type(gpath.backend_lib.fsspec_backend)
    monkeypatch.setattr(backend, "fs", lambda self, path: store)
    store.put(f"{photos}/", "s3://bucket/photos/", recursive=True)
    output = epath.Path("s3://bucket/out")

    def fail_after_one(function, tasks, doing):
        run_all(function, tasks[:1] if doing == "writing" else tasks, doing)
        if doing == "writing":
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        prepare_here("s3://bucket/photos", output, run=fail_after_one)
    assert (output / "custom/INCOMPLETE").exists()
    assert prepare_here("s3://bucket/photos", output).changed
    assert not prepare_here("s3://bucket/photos", output).changed
    found = {name.split("out/custom/")[1] for name in store.find("s3://bucket/out/custom")}
    expected = files_below(prepared[0] / "custom")
    assert found == expected.keys()
    assert all((output / "custom" / name).read_bytes() == expected[name] for name in found)


def test_build_refuses_what_was_not_written_to_its_end(prepared, tmp_path, run_command):
    shutil.copytree(prepared[0] / "custom", tmp_path / "custom")
    (tmp_path / "custom/INCOMPLETE").touch()
    flags = (f"--manual_dir={tmp_path}", "--phone=custom", f"--data_dir={tmp_path}/tfds")
    done = run_command("build", *flags)
    assert_one_line_error(
        done, "custom: was not written to its end: run data_builders.dped.prepare"
    )


def test_an_archive_of_others_is_not_overwritten(photos, tmp_path):
    (tmp_path / "iphone/training_data").mkdir(parents=True)
    with pytest.raises(InputError, match="iphone: was not made by this command"):
        prepare_here(photos, tmp_path, phone="iphone")
    assert files_below(tmp_path) == {}


def test_bad_photos_are_rejected_one_by_one_with_a_reason(tmp_path):
    names = dict.fromkeys(("gray", "deep", "alpha", "cut", "text", "tiny", "none"), 0)
    names |= dict.fromkeys(("turned", "mirror", "blank", "self", "other"), 1)
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
    write_photo(phone / "turned.png", np.ascontiguousarray(np.rot90(simulated_pair(1)[0])))
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
        "gray": "phone photo: grayscale: convert it to 8-bit RGB",
        "deep": "phone photo: 16 bits a channel: convert it to 8-bit RGB",
        "alpha": "DSLR photo: an alpha channel: convert it to 8-bit RGB",
        "cut": "phone photo: damaged or no photo: replace it",
        "text": "phone photo: damaged or no photo: replace it",
        "none": "phone photo: empty file: replace it",
        "tiny": "phone photo: 200x90 pixels: smaller than a patch of 100x100",
        "turned": "different orientation: rotated by",
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
    assert {row["photo"] for row in result.rows if row["status"] == "kept"} == {
        "good", "good2", "good3",
    }  # fmt: skip


def test_a_photo_that_could_not_be_read_is_tried_again(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in")
    hidden = tmp_path / "in/phone/s1.png"
    hidden.unlink()
    hidden.mkdir()
    prepare_here(tmp_path / "in", tmp_path / "out")
    assert (
        "cannot be read: phone photo: Is a directory" in reasons(manifest(tmp_path / "out"))["s1"]
    )
    hidden.rmdir()
    shutil.copy(photos / "phone/s1.png", hidden)
    result = prepare_here(tmp_path / "in", tmp_path / "out")
    assert (result.pairs, result.done_before) == (5, 4)
    assert not reasons(manifest(tmp_path / "out"))


def test_a_photo_that_was_replaced_is_done_again(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in")
    prepare_here(tmp_path / "in", tmp_path / "out")
    write_photo(tmp_path / "in/phone/s1.png", simulated_pair(1)[0][10:])
    result = prepare_here(tmp_path / "in", tmp_path / "out")
    assert (result.done_before, result.changed) == (4, True)


def test_exif_orientation_is_honoured(photos, tmp_path):
    from PIL import Image

    write_folders(tmp_path, {"a": 0})
    photo = Image.fromarray(simulated_pair(0)[0])
    exif = photo.getexif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    file = tmp_path / "phone/a.jpg"
    photo.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif, quality=100)
    decoded = photo_pairs.decode_photo(file.read_bytes(), "phone")
    assert np.abs(np.float64(decoded) - np.asarray(photo)).mean() < 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--phone_dir={photos}/nowhere"], ["nowhere: no such folder"]),
        (["--phone_dir={photos}"], ["no .jpg or .png or .tif or .webp files"]),
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
        prepare.prepare(
            phone_dir=f"{tmp_path}/phone",
            dslr_dir=f"{photos}/dslr",
            output_dir=f"{tmp_path}/out",
            run=run_all,
        )


def test_an_empty_split_is_an_error_with_all_else_written(tmp_path, run_command):
    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    splits = publish.assign_splits([f"s{i}" for i in range(3)], -1, -1)
    test = next(scene for scene, split in splits.items() if split == "test")
    write_photo(tmp_path / f"phone/{test}.png", simulated_pair(7 - int(test[1:]))[0])
    done = run_command("prepare", *arguments(tmp_path, tmp_path / "out"))
    assert_one_line_error(done, "no patches for test")
    assert "not the same scene" in reasons(manifest(tmp_path / "out"))[test]


def test_settings_of_patches(photos, tmp_path):
    settings = photo_pairs.Settings(
        width=270, height=200, min_correlation=0.5, patch_format="png", keep_blank=True
    )
    prepare_here(photos, tmp_path, settings=settings, phone="sony")
    rows = manifest(tmp_path, "sony")
    per_photo = {name: sum(row["photo"] == name for row in rows) for name in NAMES}
    assert set(per_photo.values()) == {4}  # 270x200 has 2x2 windows
    assert (tmp_path / "sony/training_data/canon/0.png").exists()
    assert (tmp_path / "sony/training_data/sony/0.png").exists()
