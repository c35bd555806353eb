"""Finding and splitting patches."""

import math
import tracemalloc

import pytest
from generated_patches import encode_patch

from data_builders.dped import patch_pairs
from data_builders.dped.pair_list import PairList, natural_order
from dped_jax.base.errors import InputError


def names(pairs):
    return [pair.name for pair in pairs]


def test_pairs_are_in_natural_order_and_suffixes_may_differ(tmp_path, make_folder):
    stems = ["10", "2", "1", "photo_9_2", "photo_10_1"]
    phone = make_folder(tmp_path / "phone", stems)
    dslr = make_folder(tmp_path / "dslr", stems, suffix=".png")
    (phone / "notes.txt").write_text("not a patch")
    (dslr / ".hidden.jpg").write_bytes(b"")
    pairs = patch_pairs.find_pairs(phone, dslr)
    assert names(pairs) == ["1", "2", "10", "photo_9_2", "photo_10_1"]
    assert (pairs[1].phone, pairs[1].dslr) == (phone / "2.jpg", dslr / "2.png")


@pytest.mark.parametrize("short", ["phone", "dslr"])
def test_files_without_partner_are_named_and_counted(tmp_path, make_folder, short):
    full = "dslr" if short == "phone" else "phone"
    make_folder(tmp_path / full, range(10))
    make_folder(tmp_path / short, range(5))
    with pytest.raises(InputError) as error:
        patch_pairs.find_pairs(tmp_path / "phone", tmp_path / "dslr")
    message = str(error.value)
    assert f"{full}/5.jpg, " in message
    assert "9.jpg" not in message
    assert f"in {tmp_path / short} for 5 file(s)" in message


def test_two_files_of_one_name_are_refused(tmp_path, make_folder):
    phone = make_folder(tmp_path / "phone", range(3))
    (phone / "2.png").write_bytes(encode_patch(2, suffix=".png"))
    with pytest.raises(InputError, match=r"phone: 2\.(jpg|png) and 2\.(jpg|png) share a name"):
        patch_pairs.find_pairs(phone, make_folder(tmp_path / "dslr", range(3)))


@pytest.mark.parametrize(
    ("total", "held_out"), [(160_471, 2000), (40_000, 2000), (300, 15), (10, 1), (2, 1)]
)
def test_validation_is_the_last_2000_pairs_or_5_percent(total, held_out):
    stay, out = patch_pairs.hold_out_last(list(range(total)), -1, "")
    assert out == list(range(total - held_out, total))
    assert stay == list(range(total - held_out))


def test_holding_out_everything_is_refused():
    with pytest.raises(InputError, match=r"D: 3 pair\(s\) are too few to hold out 3"):
        patch_pairs.hold_out_last([1, 2, 3], 3, "D")


def test_published_layout_takes_validation_from_the_end_of_training(tmp_path, make_archive):
    root = make_archive(tmp_path, train=45) / "iphone"
    splits = patch_pairs.find_published(root, "iphone", "canon")
    assert names(splits["validation"]) == ["43", "44"]
    assert names(splits["train"]) == [str(i) for i in range(43)]
    assert [pair.dslr.parent.parent.name for pair in splits["test"]] == ["patches"] * 3


def test_validation_data_of_its_own_leaves_training_whole(tmp_path, make_archive, make_folder):
    root = make_archive(tmp_path) / "iphone"
    for camera in ("iphone", "canon"):
        make_folder(root / "validation_data" / "patches" / camera, [7, 8])
    splits = patch_pairs.find_published(root, "iphone", "canon")
    assert names(splits["validation"]) == ["7", "8"]
    assert len(splits["train"]) == 12


def test_a_manifest_names_photo_and_correlation(tmp_path, make_archive, make_manifest):
    root = make_archive(tmp_path, train=40) / "iphone"
    unknown = patch_pairs.find_published(root, "iphone", "canon")
    assert all(pair.photo == "" for pairs in unknown.values() for pair in pairs)
    assert all(math.isnan(pair.correlation) for pairs in unknown.values() for pair in pairs)

    make_manifest(root, train=40, test=3)
    splits = patch_pairs.find_published(root, "iphone", "canon")
    (pair,) = [pair for pair in splits["train"] if pair.name == "12"]
    assert (pair.photo, pair.correlation) == ("train2", 0.90012)
    assert math.isnan(splits["train"][1].correlation)  # of a blank patch
    assert [pair.photo for pair in splits["test"]] == ["test0"] * 3
    # Without validation_data, the last training patches are validation and keep their photo.
    assert [(pair.name, pair.photo) for pair in splits["validation"]] == [
        ("38", "train7"),
        ("39", "train7"),
    ]
    assert {split: names(pairs) for split, pairs in splits.items()} == {
        split: names(pairs) for split, pairs in unknown.items()
    }


@pytest.mark.parametrize(
    "case",
    [
        ("train0,s0,train,kept,3,", "train0,s0,train,kept,30,", "lacks train .* on disk: 3: run"),
        ("dark", "a,a,validation,kept,7,0,0,0.9,0,0,0,\ndark", "lists validation .* disk: 7: run"),
        ("dark", "a,a,train,kept,70,0,0,0.9,0,0,0,\ndark", "lists train .* not on disk: 70: run"),
        ("patch,x", "number,x", "has no column patch"),
        ("0.90003,0.25", "0.90003;0.25", r"line 5 \(patch '3'\): not as many fields"),
        ("0.90003", "high", r"line 5 \(patch '3'\): correlation 'high' is not a decimal"),
        ("0.90003", "nan", r"line 5 \(patch '3'\): correlation 'nan' is not a decimal"),
        ("kept,3,", "kept,2,", r"line 5 \(patch '2'\): listed twice"),
        ("train,kept,3,", "training,kept,3,", r"line 5 \(patch '3'\): no such split: 'training'"),
        ("kept,3,", "keep,3,", r"line 5 \(patch '3'\): no such status: 'keep'"),
        ('few"', "few", "is not a table in UTF-8"),
        ("dark", "d\xe4rk", "is not a table in UTF-8"),
    ],
)
def test_a_manifest_of_other_patches_or_a_broken_one_is_refused(
    tmp_path, make_archive, make_manifest, case
):
    old, new, message = case
    root = make_archive(tmp_path) / "iphone"
    manifest = make_manifest(root, train=12, test=3)
    patch_pairs.find_published(root, "iphone", "canon")
    text = manifest.read_text(encoding="utf-8")
    assert old in text
    manifest.write_bytes(text.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(InputError, match=rf"manifest\.csv: {message}") as error:
        patch_pairs.find_published(root, "iphone", "canon")
    assert "data_builders.dped.prepare again, or remove the manifest" in str(error.value)


def test_pairs_are_held_as_names_alone(tmp_path):
    """Of 20,000 pairs, against what they take one by one."""
    names = [str(number) for number in range(20_000)]

    def peak(make) -> int:
        tracemalloc.start()
        made = make()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size if made else 0

    files = {name: f"{name}.jpg" for name in names}
    listed = peak(lambda: PairList.of_files(tmp_path, tmp_path, files, files))
    one_by_one = peak(lambda: list(PairList.of_files(tmp_path, tmp_path, files, files)))
    assert listed < 60 * len(names) < one_by_one / 5
    pairs = PairList.of_files(tmp_path, tmp_path, files, files)[100:300]
    assert (len(pairs), pairs[-1].name) == (200, "299")
    assert [pair.name for pair in pairs[5:7]] == ["105", "106"]
    assert [pairs.find(name, 0) for name in ("100", "299", "99", "x")] == [0, 199, None, None]
    assert natural_order(dict.fromkeys(["10", "2", "02", "002"])) == ["002", "02", "2", "10"]


def test_flat_folders_end_with_validation_then_test(tmp_path, make_folder):
    folders = make_folder(tmp_path / "a", range(12)), make_folder(tmp_path / "b", range(12))
    splits = patch_pairs.find_flat(*folders, test_pairs=3, validation_pairs=2)
    assert {split: names(pairs) for split, pairs in splits.items()} == {
        "train": list("0123456"),
        "validation": ["7", "8"],
        "test": ["9", "10", "11"],
    }
    assert list(patch_pairs.find_flat(*folders, 3, 0)) == ["train", "test"]
    splits = patch_pairs.find_flat(*folders, test_pairs=0, validation_pairs=4)
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 8, "validation": 4}
