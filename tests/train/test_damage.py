"""Damage to a workdir is found and named, put aside, and never becomes wrong values."""

import dataclasses
import gc
import json
import shutil

import jax
import numpy as np
import pytest

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.train import resume, saved_state
from dped_jax.train.loop import train
from dped_jax.train.metrics_writer import MetricsWriter
from dped_jax.train_state import create_train_state

# orbax leaves coroutines behind where restoring fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def fresh(trained):
    """A state that nothing was restored into."""
    return create_train_state(trained[0], jax.random.PRNGKey(0))


def flip(file) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def assert_equal(state, step, workdir):
    assert int(state.step) == step
    expected = checkpoint.restore(workdir, step, ["generator"])["generator"]
    found = checkpoint.flatten_dict(state.generator.variables, sep="/")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_flipped_bit_in_any_file_of_a_checkpoint(trained, fresh, tmp_path):
    _, whole = trained
    files = sorted(f for f in (whole / "checkpoints/4").rglob("*") if f.is_file())
    assert len(files) > 10
    put_aside = 0
    for number, file in enumerate(files):
        workdir = shutil.copytree(whole, tmp_path / str(number))
        flip(workdir / file.relative_to(whole))
        try:
            step = checkpoint.load_generator(workdir, "newest")[2]
            assert step == 4
        except InputError as error:
            assert "checkpoints/4: damaged" in str(error)  # noqa: PT017
        state, position = saved_state.restore_state(workdir, fresh)
        step = int(state.step)
        put_aside += (workdir / "unreadable").exists()
        assert step == 4 or (workdir / "unreadable/4").is_dir()
        assert_equal(state, step, whole)
        expected = checkpoint.restore(whole, step, [])["meta"]["data_state"]
        assert dataclasses.asdict(position) == expected
    assert put_aside >= 8
    gc.collect()


@pytest.mark.parametrize("content", [b"", b"{", b'{"psnr": 99.0}', b"\xff\xfe", b"[1]"])
def test_damaged_scores_do_not_decide_what_is_best(run, content):
    config, workdir = run
    file = workdir / "checkpoints/2/metrics/metrics"
    fields = json.loads(file.read_text())
    assert checkpoint.read_scores(workdir)[0].keys() == {2, 4}
    if b"psnr" in content:
        content = json.dumps(fields | {"psnr": 99.0}).encode()
    file.write_bytes(content)
    assert checkpoint.load_generator(workdir)[2] == 4
    config.train.num_steps = 5
    train(config, workdir)
    assert (workdir / "unreadable/2_metrics/metrics").read_bytes() == content
    assert checkpoint.list_steps(workdir)[-1] == 5


def test_the_same_step_is_put_aside_twice(run, fresh):
    _, workdir = run
    for name in ("4", "4.1", "4.2"):
        shutil.rmtree(workdir / "checkpoints/4/training")
        (workdir / "checkpoints/4/training").mkdir()
        state, _ = saved_state.restore_state(workdir, fresh)
        assert int(state.step) == 3
        assert (workdir / "unreadable" / name).is_dir()
        shutil.copytree(workdir / "checkpoints/3", workdir / "checkpoints/4")


def test_damage_only_is_not_a_new_start(run):
    config, workdir = run
    before = (workdir / "metrics.jsonl").read_bytes()
    for step in checkpoint.list_steps(workdir):
        (workdir / f"checkpoints/{step}/_CHECKPOINT_METADATA").write_bytes(b"")
        for file in (workdir / f"checkpoints/{step}/training").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(InputError, match=r"none of its checkpoints \[1, 2, 3, 4\] can be read"):
            train(config, workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_a_flipped_digit_in_the_configuration(run):
    config, workdir = run
    file = workdir / "config.json"
    file.write_text(file.read_text().replace('"output_scale": 0.', '"output_scale": 1.'))
    assert '"output_scale": 1.' in file.read_text()
    for action in (
        lambda: checkpoint.load_generator(workdir),
        lambda: train(config, workdir),
    ):
        with pytest.raises(InputError, match=r"config.json: damaged.*bring it back from a copy"):
            action()
    for content in (b"", b"[]", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"config.json: damaged"):
            train(config, workdir)


def test_a_configuration_of_before_checksums(run):
    config, workdir = run
    (workdir / "config.json").write_text(config.to_json(indent=2))
    resume.compare(workdir, config)
    assert checkpoint.read_config(workdir).to_json() == config.to_json()


def test_a_damaged_record_of_the_dataset(run):
    config, workdir = run
    (workdir / "dataset.json").write_text("[1")
    with pytest.raises(InputError, match=r"dataset.json: damaged .*; remove it if"):
        train(config, workdir)


def test_damaged_metrics_are_put_aside(run):
    _, workdir = run
    file = workdir / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1:1] = [b"\xff\xfe\n", b"5\n", b'{"group": "train"}\n']
    file.write_bytes(b"".join(lines) + b'{"step": 4, "gro')
    damaged = file.read_bytes()
    with MetricsWriter(workdir, 4):
        pass
    assert (workdir / "unreadable/metrics.jsonl").read_bytes() == damaged
    assert file.read_bytes().splitlines() == [
        line.strip() for line in lines if line in lines[:1] + lines[4:]
    ]


def test_parameters_that_are_not_finite_are_not_saved(tmp_path, run):
    config, workdir = run
    _, variables, _ = checkpoint.load_generator(workdir)
    variables["params"]["conv_first"]["kernel"][0, 0, 0, 0] = np.nan
    checkpoint.write_config(tmp_path / "other", config)
    with checkpoint.open_manager(tmp_path / "other") as manager:
        with pytest.raises(InputError, match=r"step 7: generator/params/conv_first/kernel is not"):
            checkpoint.save(manager, 7, generator=variables)
        variables["params"]["conv_first"]["kernel"][0, 0, 0, 0] = 0
        checkpoint.save(manager, 8, generator=variables, metrics={"psnr": 20.0})
        checkpoint.save(manager, 9, generator=variables, metrics={"psnr": float("nan")})
        checkpoint.finish(manager)
    assert checkpoint.load_generator(tmp_path / "other")[2] == 8


def test_reading_while_checkpoints_are_deleted(run, monkeypatch):
    _, workdir = run
    restore = checkpoint.restore

    def deleted_first(folder, step, items):
        if step == 4:
            shutil.rmtree(folder / "checkpoints/4")
        return restore(folder, step, items)

    monkeypatch.setattr(checkpoint, "restore", deleted_first)
    assert checkpoint.load_generator(workdir, "newest")[2] == 3
