"""The prepare command: the files that it makes."""

import json
import shutil

import cv2
import fsspec
import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from etils.epath import gpath
from generated_patches import files_below
from photo_folders import (
    NAMES,
    arguments,
    manifest,
    prepare_here,
    run_all,
    simulated_pair,
    write_folders,
)
from tiny import assert_one_line_error

from data_builders.dped.dped_dataset_builder import Builder
from data_builders.dped.layout import SPLIT_FOLDERS
from data_builders.dped.prepare import alignment, patches, photo_pairs
from dped_jax.base import command, signals
from dped_jax.base.errors import InputError


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


def test_beam_gives_the_same_files(prepared, photos, tmp_path, run_command):
    pytest.importorskip("apache_beam", reason="needs Apache Beam (requirements-dev.txt)")
    output, _ = prepared
    beam = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
    done = run_command("prepare", *arguments(photos, tmp_path / "out"), *beam)
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path / "out/custom") == files_below(output / "custom")
    done = run_command("prepare", *arguments(photos, tmp_path / "new"), "--runner=NoRunner")
    assert_one_line_error(done, "--runner=NoRunner", "NoRunner")


def test_an_object_store_gets_the_same_files(prepared, photos, monkeypatch):
    """There is no renaming of folders there: what is not complete is marked instead."""
    store = fsspec.filesystem("memory")
    gpath._is_tf_installed.cache_clear()  # what was asked before `prepare` was imported
    backend = type(gpath.backend_lib.fsspec_backend)
    monkeypatch.setattr(backend, "fs", lambda self, path: store)
    store.put(f"{photos}/", "s3://bucket/photos/", recursive=True)
    output = epath.Path("s3://bucket/out")

    def fail_after_one(function, tasks, doing):
        run_all(function, list(tasks)[:1] if doing == "writing" else tasks, doing)
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


def test_a_store_that_does_not_answer_is_one_line(monkeypatch):
    """Exceptions of the packages that talk to it are no OSError."""

    monkeypatch.setattr("absl.app.run", lambda main, **options: main(["prepare"]))
    for name in ("interrupt", "end_at_once"):
        monkeypatch.setattr(signals, name, lambda: None)

    def fail(error):
        def main(argv):
            raise error("Could not connect\nto http://store")

        command.run(main)

    with pytest.raises(SystemExit) as ended:
        fail(type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"}))
    assert ended.value.code == "error: object store: Could not connect to http://store"
    with pytest.raises(ValueError, match="Could not connect"):
        fail(ValueError)


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


def test_whole_aligned_photos_are_those_that_patches_were_cut_from(photos, tmp_path):
    settings = photo_pairs.Settings(keep_aligned=True, patch_format="png")
    assert prepare_here(photos, tmp_path, settings=settings).changed
    rows = [row for row in manifest(tmp_path) if row["status"] == "kept"]
    assert {row["split"] for row in rows} == set(SPLIT_FOLDERS)
    for row in rows:
        folder = tmp_path / "custom/aligned" / row["split"]
        phone, dslr = (
            cv2.imread(str(folder / c / f"{row['photo']}.png")) for c in ("phone", "dslr")
        )
        assert phone.shape == dslr.shape
        x, y = int(row["x"]), int(row["y"])
        patch = cv2.imread(
            str(tmp_path / "custom" / SPLIT_FOLDERS[row["split"]] / "dslr" / f"{row['patch']}.png")
        )
        np.testing.assert_array_equal(dslr[y : y + 100, x : x + 100], patch)
    assert not prepare_here(photos, tmp_path, settings=settings).changed
    next((tmp_path / "custom/aligned").rglob("*.png")).unlink()
    assert prepare_here(photos, tmp_path, settings=settings).changed
    assert len(list((tmp_path / "custom/aligned").rglob("*.png"))) == 2 * len(NAMES)
    with pytest.raises(InputError, match="keep_aligned=True, this one has False"):
        prepare_here(photos, tmp_path, settings=photo_pairs.Settings(patch_format="png"))


def test_settings_of_before_there_were_aligned_photos_are_gone_on_with(prepared, tmp_path, photos):
    shutil.copytree(prepared[0], tmp_path / "out")
    file = tmp_path / "out/.prepare/custom/settings.json"
    settings = json.loads(file.read_text())
    assert settings.pop("keep_aligned") is False
    file.write_text(json.dumps(settings))
    assert not prepare_here(photos, tmp_path / "out").changed
