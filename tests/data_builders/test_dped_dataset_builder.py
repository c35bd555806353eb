"""The TFDS builder: what is stored is what was on disk."""

import os
import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from generated_patches import ROOT
from tensorflow_datasets.core import dataset_metadata
from tensorflow_datasets.proto import tf_example_pb2

from data_builders.dped import build, dped_dataset_builder
from data_builders.dped.dped_dataset_builder import Builder
from dped_jax import input_pipeline

DUMMY_DATA = ROOT / "data_builders" / "dped" / "dummy_data"
VERSION = str(Builder.VERSION)
SKIP = {name: tfds.decode.SkipDecoding() for name in ("phone", "dslr")}


def read(data_dir: pathlib.Path, phone: str, split: str, **kwargs) -> list[dict]:
    builder = tfds.builder_from_directory(data_dir / "dped" / phone / VERSION)
    return list(builder.as_data_source(split, **kwargs))


def test_files_come_back_byte_for_byte_in_natural_order(tmp_path, make_archive, monkeypatch):
    monkeypatch.setattr(dped_dataset_builder, "SHARD_PAIRS", 4)  # several shards, uneven
    manual_dir = make_archive(tmp_path / "archive", train=21)
    info, _ = build.build(data_dir=tmp_path, phone="iphone", source=manual_dir)
    assert info.splits["train"].shard_lengths == [4, 4, 4, 4, 4]
    for split, folder, numbers in (
        ("train", "training_data", range(20)),
        ("validation", "training_data", [20]),
        ("test", "test_data/patches", range(3)),
    ):
        examples = read(tmp_path, "iphone", split, decoders=SKIP)
        assert [example["name"] for example in examples] == [b"%d" % i for i in numbers]
        for number, example in zip(numbers, examples, strict=True):
            for feature, camera in (("phone", "iphone"), ("dslr", "canon")):
                file = manual_dir / "iphone" / folder / camera / f"{number}.jpg"
                assert example[feature] == file.read_bytes()


def test_photo_and_correlation_come_from_the_manifest(tmp_path, make_archive, make_manifest):
    manual_dir = make_archive(tmp_path / "archive")
    build.build(data_dir=tmp_path / "a", phone="iphone", source=manual_dir)
    make_manifest(manual_dir / "iphone", train=12, test=3)
    build.build(data_dir=tmp_path / "b", phone="iphone", source=manual_dir)
    for example in read(tmp_path / "a", "iphone", "train"):
        assert example["photo"] == b""
        assert np.isnan(example["correlation"])
    examples = read(tmp_path / "b", "iphone", "train")
    assert [example["photo"] for example in examples] == [b"train%d" % (i // 5) for i in range(11)]
    expected = np.float32([np.nan if i == 1 else 0.9 + i / 100_000 for i in range(11)])
    correlations = [example["correlation"] for example in examples]
    np.testing.assert_array_equal(correlations, np.float64(expected))


def test_the_version_is_the_same_wherever_it_is_written():
    assert list(Builder.RELEASE_NOTES)[-1] == input_pipeline.DATASET_VERSION == VERSION
    for text in (dped_dataset_builder.__doc__, (DUMMY_DATA.parent / "README.md").read_text()):
        assert re.findall(r"dped/iphone/([0-9.]+)", text) == [VERSION]


def test_decoded_features_are_rgb(tmp_path):
    build.build(data_dir=tmp_path, phone="custom", source=DUMMY_DATA)
    (example, *_) = read(tmp_path, "custom", "train")
    file = DUMMY_DATA / "custom/training_data/dslr/0.jpg"
    np.testing.assert_array_equal(example["dslr"], cv2.imread(str(file))[..., ::-1])


@pytest.mark.parametrize("phone", [config.name for config in Builder.BUILDER_CONFIGS])
def test_dummy_data_has_all_splits_of_every_config(tmp_path, phone):
    info, skipped = build.build(data_dir=tmp_path, phone=phone, source=DUMMY_DATA)
    sizes = {name: split.num_examples for name, split in info.splits.items()}
    assert (sizes, skipped) == ({"train": 2, "validation": 1, "test": 2}, [])


def test_record_bytes_do_not_depend_on_the_order_of_features():
    def feature(name: str, value: bytes) -> bytes:
        example = tf_example_pb2.Example()
        example.features.feature[name].bytes_list.value.append(value)
        return example.SerializeToString()

    # Serialized messages that follow one another are one message with the fields of both.
    parts = [feature("phone", b"1"), feature("dslr", b"2"), feature("name", b"3")]
    one, other = b"".join(parts), b"".join(reversed(parts))
    assert one != other
    fixed = dped_dataset_builder._in_fixed_order(one)
    assert fixed == dped_dataset_builder._in_fixed_order(other)
    assert tf_example_pb2.Example.FromString(fixed) == tf_example_pb2.Example.FromString(one)


def test_metadata_is_read_from_the_folder(tmp_path):
    info = Builder(data_dir=tmp_path, config="iphone").info
    assert info.name == "dped"
    assert "ICCV" in info.citation
    assert "The archive has no validation split and no photo ids" in info.description
    tags = dataset_metadata.load(tfds.core.Path(DUMMY_DATA.parent)).tags
    assert tags
    assert set(tags) <= {tag.split(" ")[0] for tag in dataset_metadata.valid_tags()}


def test_tfds_build_makes_the_same_files(tmp_path):
    for package in ("apache_beam", "mlcroissant", "tensorflow"):
        pytest.importorskip(package, reason=f"the tfds command needs {package}")
    argv = [pathlib.Path(sys.executable).with_name("tfds"), "build", DUMMY_DATA.parent]
    argv += ["--config=sony", "--file_format=array_record", f"--manual_dir={DUMMY_DATA}"]
    argv += [f"--data_dir={tmp_path}/a"]
    there = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    subprocess.run(argv, **there, check=True, capture_output=True)
    build.build(data_dir=tmp_path / "b", phone="sony", source=DUMMY_DATA)
    records = sorted((tmp_path / f"b/dped/sony/{VERSION}").glob("*array_record*"))
    assert len(records) == 3
    for record in records:
        twin = tmp_path / f"a/dped/sony/{VERSION}" / record.name
        assert twin.read_bytes() == record.read_bytes()
