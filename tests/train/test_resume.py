"""What of a configuration may change when a workdir is trained on, and which dataset it is."""

import json
import shutil

import numpy as np
import pytest
import tiny
from test_train import saved_arrays

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.train import resume
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
from dped_jax.train.loop import train

FREE = {
    "data.decode_once": False,
    "data.on_device": "never",
    "train.steps_per_call": 2,
    "train.log_every_steps": 3,
    "train.eval_every_steps": 3,
    "train.checkpoint_every_steps": 2,
    "train.keep_checkpoints": 1,
    "eval.batch_size": 2,
    "eval.num_pictures": 1,
    "train.num_steps": 6,
}


def history(workdir):
    return list(map(json.loads, (workdir / "config_history.jsonl").read_text().splitlines()))


def test_what_has_no_effect_may_change_and_what_it_was_is_kept(run, tmp_path):
    config, workdir = run
    before = {name: config[name.split(".")[0]][name.split(".")[1]] for name in FREE}
    config.update_from_flattened_dict(FREE)
    config.data.data_dir = str(shutil.copytree(config.data.data_dir, tmp_path / "moved"))
    resumed = train(config, workdir)
    assert int(resumed.step) == 6
    assert checkpoint.read_config(workdir).to_json() == config.to_json()
    (line,) = history(workdir)
    moved_from = line["earlier"].pop("data.data_dir")
    assert moved_from != config.data.data_dir
    assert line == {"step": 4, "earlier": before}

    train(config, tmp_path / "whole")
    expected, found = (saved_arrays(folder, 6) for folder in (tmp_path / "whole", workdir))
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert not (tmp_path / "whole" / "config_history.jsonl").exists()

    config.train.num_steps = 7
    train(config, workdir)
    assert history(workdir)[1] == {"step": 6, "earlier": {"train.num_steps": 6}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("train.batch_size", 2),
        ("eval.num_pairs", 2),
        ("train.schedule", "cosine"),
        ("loss.tv", 3.0),
    ],
)
def test_what_has_an_effect_is_refused(run, field, value):
    config, workdir = run
    written = (workdir / "config.json").read_bytes()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=rf"made with another configuration: {field} \("):
        train(config, workdir)
    assert (workdir / "config.json").read_bytes() == written
    assert not (workdir / "config_history.jsonl").exists()


def test_the_number_of_steps_matters_where_the_learning_rate_depends_on_it(run):
    config, workdir = run
    config.train.schedule = "cosine"
    checkpoint.write_config(workdir, config)
    config.train.num_steps = 6
    with pytest.raises(InputError, match=r"train\.num_steps \(4 there, 6 here\)"):
        resume.compare(workdir, config)


def test_a_workdir_of_before_a_field_goes_on_with_what_was_done_then(run):
    config, workdir = run
    written = json.loads((workdir / "config.json").read_text())
    del written["crc32"], written["matmul_precision"], written["train"]["steps_per_call"]
    (workdir / "config.json").write_text(json.dumps(written))
    assert resume.compare(workdir, config) == {"train.steps_per_call": None}
    config.matmul_precision = "float32"
    with pytest.raises(InputError, match=r"matmul_precision \('default' there, 'float32' here\)"):
        resume.compare(workdir, config)


def test_fewer_steps_than_were_trained_are_refused(run):
    config, workdir = run
    config.train.num_steps = 3
    with pytest.raises(InputError, match=r"num_steps=3: .*/w has been trained for 4; give at"):
        train(config, workdir)
    assert checkpoint.read_config(workdir).train.num_steps == 4


def test_another_dataset_is_refused(run, tmp_path):
    config, workdir = run
    tiny.write_pairs(tmp_path / "pairs", 20)
    result = tiny.command(
        "data_builders.dped.build",
        f"--phone_dir={tmp_path}/pairs/phone",
        f"--dslr_dir={tmp_path}/pairs/dslr",
        "--phone=custom",
        "--test_pairs=4",
        "--validation_pairs=2",
        f"--data_dir={tmp_path}/tfds",
    )
    assert result.returncode == 0, result.stderr
    config.data.data_dir = str(tmp_path / "tfds")
    with pytest.raises(InputError) as error:
        train(config, workdir)
    for words in ("not the dataset on which", "test: 3 pairs there, 4 here", "validation: 3"):
        assert words in str(error.value)
    assert "train: 14" not in str(error.value)


def test_a_workdir_of_before_fingerprints_goes_on_and_gets_one(run, tmp_path):
    config, workdir = run
    (workdir / "dataset.json").unlink()
    config.data.data_dir = str(shutil.copytree(config.data.data_dir, tmp_path / "moved"))
    with pytest.raises(InputError, match=r"data\.data_dir"):  # it may be any other
        train(config, workdir)
    config.data.data_dir = checkpoint.read_config(workdir).data.data_dir
    config.train.num_steps = 5
    train(config, workdir)
    expected = dataset_fingerprint(config.data.data_dir, "custom")
    assert resume.read_dataset(workdir) == expected


def test_equal_datasets_have_equal_fingerprints_and_files_are_read_once(tiny_data, tmp_path):
    original = dataset_fingerprint(tiny_data, "custom")
    assert original["name"] == "dped/custom"
    assert {name: split["pairs"] for name, split in original["splits"].items()} == {
        "train": 14,
        "validation": 3,
        "test": 3,
    }
    copied = shutil.copytree(tiny_data, tmp_path / "copy")
    assert dataset_fingerprint(copied, "custom") == original
    (kept,) = copied.rglob("checksums.json")
    checksums = json.loads(kept.read_text())
    for checksum in checksums.values():
        checksum["sha256"] = "as kept"
    kept.write_text(json.dumps(checksums))
    kept_ones = dataset_fingerprint(copied, "custom")
    assert kept_ones["splits"]["train"]["sha256"] == ["as kept"]


def test_a_changed_file_is_noticed(tiny_data, tmp_path):
    copied = shutil.copytree(tiny_data, tmp_path / "copy")
    original = dataset_fingerprint(copied, "custom")
    (shard,) = copied.rglob("*train.array_record*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    changed = dataset_fingerprint(copied, "custom")
    assert changed["splits"]["train"] != original["splits"]["train"]
    assert changed["splits"]["test"] == original["splits"]["test"]


def test_a_dataset_where_nobody_can_write_is_read_all_the_same(tiny_data, tmp_path, monkeypatch):
    copied = shutil.copytree(tiny_data, tmp_path / "copy")
    for kept in copied.rglob("checksums.json"):
        kept.unlink()

    def refusing(path, content):
        raise PermissionError(path)

    monkeypatch.setattr("dped_jax.train.fingerprint.write_atomically", refusing)
    found = dataset_fingerprint(copied, "custom")
    monkeypatch.undo()
    assert found == dataset_fingerprint(tiny_data, "custom")
