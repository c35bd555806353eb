"""Splits by scene, and the rows of the manifest."""

import csv
import io
import math

import pytest
from etils import epath

from data_builders.dped import manifest
from data_builders.dped.prepare.splits import assign_splits, make_rows, scene_of
from dped_jax.base.errors import InputError


def window(correlation: float | None, patch: str | None) -> dict:
    return {
        "x": 5, "y": 42, "correlation": correlation, "shift": [0.12345, -1.0], "angle": 0.5,
        "patch": patch,
    }  # fmt: skip


def record(name: str, *windows: dict, problem: str | None = None, sha256=None) -> dict:
    digests = sha256 or [f"{name}-phone", f"{name}-dslr"]
    return {
        "name": name,
        "problem": problem,
        "windows": list(windows),
        "sha256": digests,
        "turned": 0,
    }


@pytest.mark.parametrize(
    ("scenes", "test", "validation"),
    [(3, 1, 1), (16, 2, 2), (100, 10, 10), (999, 100, 100), (1000, 100, 100), (6064, 100, 100)],
)
def test_how_many_scenes_are_held_out(scenes, test, validation):
    splits = list(assign_splits(map(str, range(scenes)), -1, -1).values())
    assert splits.count("test") == test
    assert splits.count("validation") == validation
    assert splits.count("train") == scenes - test - validation


def test_splits_depend_on_the_names_alone():
    names = [f"IMG_{i}" for i in range(50)]
    splits = assign_splits(names, 5, 7)
    assert assign_splits(reversed(names), 5, 7) == splits
    assert assign_splits(names + names, 5, 7) == splits
    # These were test in the first version: they must stay test in every later one.
    assert {name for name, split in splits.items() if split == "test"} == {
        "IMG_21", "IMG_31", "IMG_4", "IMG_43", "IMG_46",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("test", "validation", "message"),
    [
        (2, 2, r"4 scene\(s\) are too few to hold out 2 for test and 2 for validation"),
        (0, 1, "--test_scenes=0"),
        (1, -2, "--validation_scenes=-2"),
    ],
)
def test_split_sizes_out_of_range(test, validation, message):
    with pytest.raises(InputError, match=message):
        assign_splits("abcd", test, validation)


def test_scenes_of_several_photos():
    assert scene_of("IMG_12_3", "_") == "IMG_12"
    assert scene_of("IMG_12_3", "") == "IMG_12_3"
    assert scene_of("12", "_") == "12"
    names = [f"{scene}_{shot}" for scene in "abcdef" for shot in range(3)]
    splits = assign_splits([scene_of(name, "_") for name in names], -1, -1)
    scenes = {name: scene_of(name, "_") for name in names}
    rows = list(make_rows([record(n, window(0.95, "0.jpg")) for n in names], {}, splits, scenes))
    for scene in "abcdef":
        assert len({row["split"] for row in rows if row["scene"] == scene}) == 1


def test_rows_are_numbered_in_each_split_in_natural_order(tmp_path):
    splits = {"2": "train", "10": "train", "9": "test"}
    windows = window(0.95, "0000.jpg"), window(0.2, None), window(None, "0002.jpg")
    records = [record(name, *windows) for name in ("2", "9", "10")]
    rows = list(make_rows(records, {"7": "no DSLR photo of this name"}, splits, {}))
    told = [
        (row["photo"], row["split"], row["patch"], row["correlation"])
        for row in rows
        if row["patch"] != ""
    ]
    assert told == [
        ("2", "train", 0, "0.9500"),
        ("2", "train", 1, ""),
        ("9", "test", 0, "0.9500"),
        ("9", "test", 1, ""),
        ("10", "train", 2, "0.9500"),
        ("10", "train", 3, ""),
    ]
    manifest.write(epath.Path(tmp_path / "manifest.csv"), rows)
    table = list(csv.DictReader(io.StringIO((tmp_path / "manifest.csv").read_text())))
    assert [row["status"] for row in table].count("rejected") == 1
    first, second = table[:2]
    assert (first["correlation"], first["shift_x"], first["angle"]) == (
        "0.9500",
        "0.1235",
        "0.5000",
    )
    assert second["correlation"] == ""
    assert math.isclose(float(first["shift_y"]), -1)


def test_the_same_photo_twice_counts_once():
    splits = dict.fromkeys(("a", "b", "c", "d"), "train")
    records = [
        record("a", problem="damaged", sha256=["p", "q"]),
        record("b", window(0.95, "0.jpg"), sha256=["p", "r"]),
        record("c", window(0.95, "0.jpg"), sha256=["s", "r"]),
        record("d", window(0.95, "0.jpg"), sha256=["s", "t"]),
    ]
    rows = list(make_rows(records, {}, splits, {}))
    assert [(row["photo"], row["status"]) for row in rows] == [
        ("a", "rejected"),
        ("b", "kept"),  # its twin gave nothing
        ("c", "rejected"),
        ("d", "kept"),
    ]
    assert rows[2]["reason"] == "one of its files is the same as that of b: remove one pair"
