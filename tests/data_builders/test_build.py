"""The build command, and how each bad input ends."""

import pathlib
import shutil
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from generated_patches import ROOT, encode_patch, files_below

from data_builders.dped import build
from data_builders.dped.dped_dataset_builder import Builder
from dped_jax.base.errors import InputError

VERSION = str(Builder.VERSION)
SKIP = {name: tfds.decode.SkipDecoding() for name in ("phone", "dslr")}


def assert_one_line_error(done: subprocess.CompletedProcess, *parts: str) -> None:
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def names(data_dir: pathlib.Path, phone: str, split: str) -> list[str]:
    builder = tfds.builder_from_directory(data_dir / "dped" / phone / VERSION)
    return [example["name"].decode() for example in builder.as_data_source(split, decoders=SKIP)]


def test_prints_splits_and_next_command_and_leaves_only_the_dataset(
    tmp_path, make_archive, run_command
):
    manual_dir, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    done = run_command("build", f"--manual_dir={manual_dir}", f"--data_dir={data_dir}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:3] == ["packed", "15", "pairs"]
    assert lines[1:4] == [["train", "11"], ["validation", "1"], ["test", "3"]]
    assert done.stdout.splitlines()[-1] == (
        "next: python -m dped_jax.train --config=configs/paper.py"
        f" --config.data.data_dir={data_dir} --config.data.phone=iphone --workdir=runs/iphone"
    )
    assert [path.name for path in data_dir.iterdir()] == ["dped"]
    assert sorted(path.name for path in (data_dir / f"dped/iphone/{VERSION}").iterdir()) == [
        "dataset_info.json",
        "dped-test.array_record-00000-of-00001",
        "dped-train.array_record-00000-of-00001",
        "dped-validation.array_record-00000-of-00001",
        "features.json",
    ]


def test_does_not_import_tensorflow(tmp_path, make_archive):
    manual_dir = make_archive(tmp_path / "archive")
    code = (
        "import sys; import tensorflow_datasets as tfds;"
        "from pathlib import Path; from data_builders.dped import build;"
        f"build.build(data_dir=Path({str(tmp_path)!r}), phone='iphone',"
        f" source=Path({str(manual_dir)!r}));"
        f"b = tfds.builder_from_directory({str(tmp_path / 'dped/iphone' / VERSION)!r});"
        "print(b.as_data_source('test')[2]['phone'].shape, 'tensorflow' in sys.modules)"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(100, 100, 3) False\n"


def truncate(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.95)])


def shrink(file: pathlib.Path) -> None:
    file.write_bytes(encode_patch(0, size=96))


def empty(file: pathlib.Path) -> None:
    shutil.rmtree(file.parent)
    file.parent.mkdir()


@pytest.mark.parametrize(
    "case",
    [
        (truncate, "training_data/iphone/7.jpg", "7.jpg: damaged or cut short: replace"),
        (truncate, "test_data/patches/canon/2.jpg", "canon/2.jpg: damaged or cut short"),
        (shrink, "training_data/canon/3.jpg", "canon/3.jpg: 96x96 pixels, not 100x100"),
        (pathlib.Path.unlink, "training_data/canon/3.jpg", "iphone/3.jpg: no partner"),
        (pathlib.Path.unlink, "training_data/iphone/3.jpg", "canon/3.jpg: no partner"),
        (empty, "test_data/patches/canon/2.jpg", "patches/canon: holds no pictures"),
        (lambda file: shutil.rmtree(file.parent), "training_data/canon/3.jpg", "no such folder"),
    ],
)
def test_bad_files_end_in_one_line_and_nothing_is_written(
    tmp_path, make_archive, run_command, case
):
    spoil, where, message = case
    manual_dir, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    spoil(manual_dir / "iphone" / where)
    done = run_command("build", f"--manual_dir={manual_dir}", f"--data_dir={data_dir}")
    assert_one_line_error(done, message)
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--manual_dir={archive}/iphone"], "must be the folder that holds iphone/"),
        (["--manual_dir={archive}/nowhere"], "nowhere/iphone: no such folder"),
        ([], "--manual_dir is missing"),
        (["--manual_dir={archive}", "--test_pairs=3"], "--test_pairs goes with --phone_dir"),
        (["--phone_dir={archive}"], "--phone_dir and --dslr_dir are given together"),
        (["--phone_dir={archive}", "--dslr_dir={archive}"], "need --phone=custom"),
        (["--manual_dir="], "--manual_dir=: empty; give it a value"),
        (
            ["--manual_dir=s3://b/a"],
            "--manual_dir=s3://b/a: must name a folder of this machine",
        ),
        (["--manual_dir={archive}", "--data_dir="], "--data_dir=: empty; give it a value"),
        (["--phone_dir=", "--dslr_dir={archive}"], "--phone_dir=: empty; give it a value"),
        (["--manual_dir={archive}", "extra"], "unexpected argument 'extra'"),
    ],
)
def test_flags_that_cannot_be_met_end_in_one_line(
    tmp_path, make_archive, run_command, args, message
):
    archive, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    args = [arg.format(archive=archive) for arg in args]
    assert_one_line_error(run_command("build", f"--data_dir={data_dir}", *args), message)
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("test_pairs", "validation_pairs", "message"),
    [
        (6, -1, "too few to hold out 6"),
        (-2, 1, "--test_pairs=-2"),
        (1, -2, "--validation_pairs=-2"),
    ],
)
def test_split_sizes_out_of_range(tmp_path, make_folder, test_pairs, validation_pairs, message):
    folders = build.FlatFolders(
        phone_dir=make_folder(tmp_path / "a", range(6)),
        dslr_dir=make_folder(tmp_path / "b", range(6)),
        test_pairs=test_pairs,
        validation_pairs=validation_pairs,
    )
    with pytest.raises(InputError, match=message):
        build.build(data_dir=tmp_path / "data", phone="custom", source=folders)


def test_a_full_disk_ends_in_one_line(tmp_path, make_archive, run_command):
    manual_dir, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    args = (f"--manual_dir={manual_dir}", f"--data_dir={data_dir}")
    done = run_command("build", *args, max_file_bytes=1000)
    assert_one_line_error(done, f"{data_dir}: ", "File too large", "choose another --data_dir")
    assert not data_dir.exists()


def test_skip_corrupt_lists_and_leaves_out_bad_pairs(tmp_path, make_archive, run_command):
    manual_dir, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    bad = manual_dir / "iphone/training_data/iphone/7.jpg"
    worse = manual_dir / "iphone/test_data/patches/canon/0.jpg"
    truncate(bad)
    worse.write_text("not an image")
    args = (f"--manual_dir={manual_dir}", f"--data_dir={data_dir}", "--skip_corrupt")
    done = run_command("build", *args)
    assert done.returncode == 0, done.stderr
    assert "2 bad file(s)" in done.stdout
    assert (
        f"  {bad}: damaged or cut short\n  {worse}: not a picture that can be read" in done.stdout
    )
    assert names(data_dir, "iphone", "train") == [str(i) for i in range(11) if i != 7]
    assert names(data_dir, "iphone", "test") == ["1", "2"]
    assert (data_dir / f"dped/iphone/{VERSION}/skipped.txt").read_text() == (
        f"{bad}\tdamaged or cut short\n{worse}\tnot a picture that can be read\n"
    )


def test_a_split_with_bad_files_only_is_an_error_even_when_skipping(tmp_path, make_archive):
    manual_dir = make_archive(tmp_path / "archive")
    for file in (manual_dir / "iphone/test_data/patches/canon").iterdir():
        truncate(file)
    with pytest.raises(InputError, match="no pair is left in the test split"):
        build.build(
            data_dir=tmp_path / "data", phone="iphone", source=manual_dir, skip_corrupt=True
        )
    assert not (tmp_path / "data").exists()


def test_an_existing_dataset_is_kept_unless_overwritten(tmp_path, make_archive):
    small, large = make_archive(tmp_path / "small"), make_archive(tmp_path / "large", train=20)
    data_dir = tmp_path / "data"

    def build_from(manual_dir, **kwargs):
        return build.build(data_dir=data_dir, phone="iphone", source=manual_dir, **kwargs)

    build_from(small)
    before = files_below(data_dir)
    assert build_from(large) is None
    assert files_below(data_dir) == before
    # An overwrite that fails keeps the old dataset.
    truncate(large / "iphone/training_data/iphone/9.jpg")
    with pytest.raises(InputError, match="cut short"):
        build_from(large, overwrite=True)
    assert files_below(data_dir) == before
    # One that succeeds gives what a first build gives.
    build_from(small, overwrite=True)
    assert files_below(data_dir) == before
    shutil.copy(
        large / "iphone/training_data/iphone/8.jpg", large / "iphone/training_data/iphone/9.jpg"
    )
    info, _ = build_from(large, overwrite=True)
    assert info.splits["train"].num_examples == 19
    assert names(data_dir, "iphone", "train") == [str(i) for i in range(19)]


@pytest.mark.parametrize("damage", ["remove", "cut", "json"])
def test_an_incomplete_dataset_does_not_count_as_built(tmp_path, make_archive, damage):
    manual_dir, data_dir = make_archive(tmp_path / "archive"), tmp_path / "data"
    build.build(data_dir=data_dir, phone="iphone", source=manual_dir)
    folder = data_dir / f"dped/iphone/{VERSION}"
    shard = folder / "dped-train.array_record-00000-of-00001"
    if damage == "remove":
        shard.unlink()
    elif damage == "cut":
        truncate(shard)
    else:
        truncate(folder / "dataset_info.json")
    with pytest.raises(InputError, match=r"incomplete dataset .* rebuild with --overwrite"):
        build.build(data_dir=data_dir, phone="iphone", source=manual_dir)
    build.build(data_dir=data_dir, phone="iphone", source=manual_dir, overwrite=True)
    assert len(names(data_dir, "iphone", "train")) == 11


def test_real_pairs_from_two_flat_folders(tmp_path, shared_data, run_command):
    folder = shared_data / "dped_iphone"
    args = [f"--phone_dir={folder}/iphone", f"--dslr_dir={folder}/canon", "--phone=custom"]
    done = run_command("build", *args, "--test_pairs=60", f"--data_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path, "custom", "train") == [str(i) for i in range(228)]
    assert names(tmp_path, "custom", "validation") == [str(i) for i in range(228, 240)]
    builder = tfds.builder_from_directory(tmp_path / f"dped/custom/{VERSION}")
    test = builder.as_data_source("test", decoders=SKIP)
    for number, example in zip(range(240, 300), test, strict=True):
        assert example["phone"] == (folder / "iphone" / f"{number}.jpg").read_bytes()
        assert example["dslr"] == (folder / "canon" / f"{number}.jpg").read_bytes()


def test_real_png_pairs(tmp_path, shared_data):
    folder = shared_data / "dped_sony"
    folders = build.FlatFolders(
        phone_dir=folder / "sony", dslr_dir=folder / "canon", test_pairs=1, validation_pairs=0
    )
    info, _ = build.build(data_dir=tmp_path, phone="custom", source=folders)
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 3,
        "test": 1,
    }
    builder = tfds.builder_from_directory(tmp_path / f"dped/custom/{VERSION}")
    (example,) = builder.as_data_source("test", decoders=SKIP)
    assert example["phone"] == (folder / "sony/3.png").read_bytes()
