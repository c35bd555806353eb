"""The decoded copy of the training split: the same pairs, and what happens to a wrong one."""

import concurrent.futures
import os
import resource
import shutil

import numpy as np
import pytest
import tiny

from dped_jax import input_pipeline
from dped_jax.train import decoded
from dped_jax.train.fingerprint import fingerprint
from dped_jax.train.loop import train


@pytest.fixture
def data_dir(tiny_data, tmp_path):
    """A copy of the dataset, without a decoded one."""
    leave = shutil.ignore_patterns("decoded-*")
    return shutil.copytree(tiny_data, tmp_path / "tfds", ignore=leave)


@pytest.fixture
def folder(data_dir):
    return data_dir / "dped/custom" / input_pipeline.DATASET_VERSION


def opened(data_dir):
    return decoded.open_decoded(data_dir, "custom", fingerprint(data_dir, "custom"))


def kept(folder):
    return sorted(path.name for path in folder.glob("decoded-train-*"))


def test_pairs_are_those_of_the_dataset(data_dir):
    pairs = opened(data_dir)
    source = input_pipeline.open_split(data_dir, "custom", "train")
    expected = input_pipeline.load_pairs(source, [13, 0, 5, 5])
    found = pairs.load([13, 0, 5, 5])
    assert len(pairs) == len(source) == 14
    for name in ("phone", "dslr"):
        np.testing.assert_array_equal(found[name], expected[name])
    rows = pairs.rows(12, 14).reshape(2, 2, 100, 100, 3)
    np.testing.assert_array_equal(rows[1, 0], expected["phone"][0])
    np.testing.assert_array_equal(rows[1, 1], expected["dslr"][0])


def test_numpy_opens_the_file(data_dir, folder):
    pairs = opened(data_dir).load(range(14))
    (name,) = kept(folder)
    array = np.load(folder / name, mmap_mode="r")
    np.testing.assert_array_equal(array[:, 0], pairs["phone"])
    np.testing.assert_array_equal(array[:, 1], pairs["dslr"])


@pytest.mark.parametrize("process_count", [1, 2])
def test_batches_are_those_of_the_dataset(tiny_config, data_dir, process_count):
    tiny_config.data.update({"flip": True, "transpose": True, "crop": 70, "gain": 0.2})
    pairs = opened(data_dir)
    for index in range(process_count):
        part = {"process_index": index, "process_count": process_count}
        expected = input_pipeline.train_batches(tiny_config, **part)
        found = input_pipeline.train_batches(tiny_config, pairs.load, **part)
        for _ in range(8):  # more than two epochs
            for one, other in zip(next(expected).values(), next(found).values(), strict=True):
                assert one.shape == (4 // process_count, 70, 70, 3)
                np.testing.assert_array_equal(one, other)
        assert expected.get_state() == found.get_state()


def test_it_is_made_once(data_dir, folder, monkeypatch):
    opened(data_dir)
    (name,) = kept(folder)
    before = (folder / name).stat()
    monkeypatch.setattr(decoded, "_make", None)
    assert len(opened(data_dir)) == 14
    assert (folder / name).stat() == before


def test_who_comes_at_the_same_time_waits(data_dir, monkeypatch):
    made, make = [], decoded._make
    monkeypatch.setattr(decoded, "_make", lambda *args: made.append(make(*args)))
    known = fingerprint(data_dir, "custom")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(decoded.open_decoded, data_dir, "custom", known) for _ in range(4)]
        assert [len(each.result()) for each in asked] == [14] * 4
    assert len(made) == 1


def damage_by_cutting(file):
    file.write_bytes(file.read_bytes()[:-1])


def damage_by_other_pairs(file):
    np.save(file, np.zeros((13, 2, 100, 100, 3), np.uint8))


def damage_by_other_pixels(file):
    np.save(file, np.zeros((14, 2, 50, 50, 3), np.uint8))


def damage_by_emptying(file):
    file.write_bytes(b"")


def damage_by_leaving_out_checksums(file):  # as files of before had none
    np.save(file, np.load(file))


@pytest.mark.parametrize(
    "damage",
    [
        *(damage_by_cutting, damage_by_other_pairs, damage_by_other_pixels, damage_by_emptying),
        damage_by_leaving_out_checksums,
    ],
)
def test_a_damaged_one_is_made_anew(data_dir, folder, damage, caplog):
    expected = opened(data_dir).load([3])["dslr"]
    (name,) = kept(folder)
    damage(folder / name)
    np.testing.assert_array_equal(opened(data_dir).load([3])["dslr"], expected)
    assert kept(folder) == [name]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{folder / name}: damaged (")


def test_that_of_an_earlier_dataset_is_replaced(data_dir, folder, caplog):
    opened(data_dir)
    (name,) = kept(folder)
    (shard,) = folder.glob("*train.array_record*")
    shutil.copy(next(folder.glob("*test.array_record*")), shard)  # pairs 17 to 19
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"14"', '"3"'))
    pairs = opened(data_dir)
    assert kept(folder) != [name]
    assert len(kept(folder)) == 1
    assert f"{name}: of an earlier dataset: removed" in caplog.text
    source = input_pipeline.open_split(data_dir, "custom", "test")
    expected = input_pipeline.load_pairs(source, range(3))["phone"]
    np.testing.assert_array_equal(pairs.load(range(3))["phone"], expected)


def test_without_room_every_epoch_decodes(data_dir, folder, tiny_config, tmp_path, caplog):
    """No space left, by a limit on the size of files; and no space from the beginning."""
    known = fingerprint(data_dir, "custom")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # of 840 kB
    try:
        assert decoded.open_decoded(data_dir, "custom", known) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(folder) == []
    with pytest.MonkeyPatch.context() as patch:
        full = type("Usage", (), {"free": 839_999})
        patch.setattr(decoded.shutil, "disk_usage", lambda path: full)
        assert decoded.open_decoded(data_dir, "custom", known) is None
        tiny_config.data.data_dir = str(data_dir)
        tiny_config.train.num_steps = 2
        train(tiny_config, tmp_path / "w")
        assert kept(folder) == []
    said = [record.getMessage() for record in caplog.records if record.module == "decoded"]
    assert len(said) == 3
    for line in said:
        assert line.startswith(f"no decoded copy of the training split in {folder}: ")
        assert line.endswith("Make room, or set --config.data.decode_once=False")
    assert "it takes 0.0 GB, 0.0 GB are free" in said[1]
    train(tiny_config, tmp_path / "w2")
    assert len(kept(folder)) == 1
    assert tiny.logged(tmp_path / "w") == tiny.logged(tmp_path / "w2")


def test_one_that_shrinks_while_it_is_read_ends_with_one_line(data_dir, folder):
    pairs = opened(data_dir)
    (name,) = kept(folder)
    with (folder / name).open("r+b") as file:
        file.truncate(500_000)
    pairs.load([0])
    with pytest.raises(OSError, match=rf"{name}: has become shorter while it was read"):
        pairs.load([13])
    with pytest.raises(OSError, match="has become shorter"):
        pairs.rows(0, 14)


@pytest.mark.parametrize("decode_once", [True, False])
def test_one_flipped_bit_of_the_dataset_is_named(
    data_dir, folder, tiny_config, tmp_path, decode_once
):
    (shard,) = folder.glob("*train.array_record*")
    before = shard.stat()
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a disk forgets
    tiny_config.data.data_dir = str(data_dir)
    tiny_config.data.decode_once = decode_once
    with pytest.raises(OSError, match=rf"{folder}: damaged \(Corrupted .*; bring it back from a"):
        train(tiny_config, tmp_path / "w")


def test_one_flipped_bit_is_found_when_its_pair_is_read(data_dir, folder, tiny_config, tmp_path):
    expected = opened(data_dir).load([6])["dslr"]
    (name,) = kept(folder)
    content = bytearray((folder / name).read_bytes())
    start = len(content) - 14 * (4 + decoded.PAIR_BYTES)
    content[start + 5 * decoded.PAIR_BYTES + 7] ^= 1
    (folder / name).write_bytes(content)
    pairs = opened(data_dir)
    np.testing.assert_array_equal(pairs.load([6])["dslr"], expected)
    match = rf"{name}: pair 5 is damaged; remove the file, and the same command"
    with pytest.raises(OSError, match=match):
        pairs.load([4, 5])
    with pytest.raises(OSError, match=match):
        pairs.rows(3, 8)
    tiny_config.data.data_dir = str(data_dir)
    with pytest.raises(OSError, match=match):
        train(tiny_config, tmp_path / "w")
    (folder / name).unlink()
    assert len(opened(data_dir).rows(0, 14)) == 14
