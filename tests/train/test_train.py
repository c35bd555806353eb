"""The training command: what it writes, resuming, and how it ends on bad input."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import cv2
import jax
import numpy as np
import pytest
import tiny
from fake_devices import xla_flags
from flax.traverse_util import flatten_dict

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.train import metrics_writer
from dped_jax.train.loop import initial_state, load_vgg, train

TRAIN = "dped_jax.train"


def flags_of(config, workdir):
    """The command's flags for a config, as overrides of paper.py."""
    fields = flatten_dict(config.to_dict(), sep=".")
    return ["--config=configs/paper.py", f"--workdir={workdir}"] + [
        f"--config.{name}={value}" for name, value in fields.items()
    ]


def saved_arrays(workdir, step):
    """Every array of a checkpoint, by path."""
    restored = checkpoint.restore(workdir, step, ["generator", "training"])
    return {
        f"{item}/{k}": v for item in restored if item != "meta" for k, v in restored[item].items()
    }


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_a_run_writes_metrics_pictures_config_and_events(trained):
    _, workdir = trained
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["group"] == "train"] == [1, 2, 3, 4]
    scored = [line for line in lines if line["group"] == "validation"]
    assert [line["step"] for line in scored] == [2, 4]
    assert {"psnr", "ms_ssim", "ssim"} <= scored[0].keys()
    assert {"total", "color", "texture", "tv", "discriminator_accuracy"} <= lines[0].keys()
    assert cv2.imread(str(workdir / "samples" / "00000004.png")).shape == (200, 300, 3)
    assert json.loads((workdir / "config.json").read_text())["train"]["batch_size"] == 4
    assert list(workdir.glob("events.out.tfevents.*"))


def test_picture_grid_shows_before_enhanced_target_by_row():
    before, target = (np.full((2, 4, 4, 3), value, np.uint8) for value in (10, 200))
    enhanced = np.stack([np.full((4, 4, 3), 0.5), np.full((4, 4, 3), 1.7)])
    grid = metrics_writer.picture_grid(before, enhanced, target)
    assert grid.shape == (8, 12, 3)
    assert grid[0, ::4, 0].tolist() == [10, 128, 200]
    assert grid[4, ::4, 0].tolist() == [10, 255, 200]


def test_a_finished_run_is_left_as_it_is_and_told_of(run, capsys):
    config, workdir = run
    before = saved_arrays(workdir, 4)
    again = train(config, workdir)
    assert int(again.step) == 4
    told = capsys.readouterr().out
    for words in ("4 x cpu, JAX", "14 train, 3 validation, 3 test", "GFLOP a step", "4 of 4 done"):
        assert words in told
    for name, array in saved_arrays(workdir, 4).items():
        np.testing.assert_array_equal(array, before[name])


def test_killed_and_resumed_training_is_bitwise_the_same(tmp_path, tiny_config):
    tiny_config.data.flip = tiny_config.data.transpose = True
    tiny_config.train.discriminator_batch = "next"
    tiny_config.train.update({"ema_decay": 0.9, "weight_decay": 0.1, "clip_norm": 1.0})
    tiny_config.train.num_steps = 12
    tiny_config.train.checkpoint_every_steps = 3
    tiny_config.train.eval_every_steps = 12
    train(tiny_config, tmp_path / "whole")
    killed = subprocess.Popen(
        [sys.executable, "-m", TRAIN, *flags_of(tiny_config, tmp_path / "killed")],
        cwd=tiny.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lines = tmp_path / "killed" / "metrics.jsonl"
    wait_for(lambda: lines.exists() and '"step": 4' in lines.read_text())
    wait_for(lambda: checkpoint.list_steps(tmp_path / "killed"))  # written in the background
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    steps = checkpoint.list_steps(tmp_path / "killed")
    assert max(steps) < 12, "was not killed between checkpoints"

    resumed = tiny.command(TRAIN, *flags_of(tiny_config, tmp_path / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    expected, found = (saved_arrays(tmp_path / name, 12) for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert tiny.logged(tmp_path / "whole") == tiny.logged(tmp_path / "killed")


def test_another_config_is_refused_with_the_fields_named(trained):
    config, workdir = trained
    other = config.copy_and_resolve_references()
    other.train.learning_rate = 1e-3
    other.loss.tv = 3.0
    with pytest.raises(InputError, match=r"loss\.tv \(100\.0 there, 3\.0 here\), train\.learning_"):
        train(other, workdir)


def test_the_average_is_what_is_saved_and_started_from(tmp_path, tiny_config):
    tiny_config.loss.texture = 0.0
    tiny_config.train.update({"ema_decay": 0.9, "num_steps": 2})
    state = train(tiny_config, tmp_path / "first")
    _, variables, _ = checkpoint.load_generator(tmp_path / "first", "newest")
    saved, averaged, last = (
        flatten_dict(jax.device_get(tree), sep="/")
        for tree in (variables, state.averaged, state.generator.variables)
    )
    assert saved.keys() == averaged.keys()
    for name, array in saved.items():
        np.testing.assert_array_equal(array, averaged[name])
    assert any(np.any(saved[name] != last[name]) for name in saved)

    tiny_config.train.init_from = str(tmp_path / "first")
    start, _ = initial_state(tiny_config, tmp_path / "second")
    for tree in (start.generator.variables, start.averaged):
        for name, array in flatten_dict(jax.device_get(tree), sep="/").items():
            np.testing.assert_array_equal(array, averaged[name])


def test_init_from_starts_with_the_other_generator(trained, tmp_path):
    config, workdir = trained
    other = config.copy_and_resolve_references()
    other.loss.texture = 0.0
    other.train.init_from = str(workdir)
    other.train.learning_rate = 0.0
    other.train.num_steps = 1
    started = train(other, tmp_path / "w")
    _, variables, _ = checkpoint.load_generator(workdir)
    for expected, found in zip(
        jax.tree.leaves(variables["params"]), jax.tree.leaves(started.generator.params), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    other.generator.width = 8
    with pytest.raises(
        InputError, match=r"init_from=.*kernel is \(3, 3, 4, 4\), not \(3, 3, 8, 8\)"
    ):
        train(other, tmp_path / "w2")


def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_used(run, caplog):
    config, workdir = run
    damaged = workdir / "checkpoints" / "4"
    largest = max((damaged / "generator").rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10  # one flipped bit
    largest.write_bytes(content)
    expected = saved_arrays(workdir, 3)
    train(config, workdir)
    assert "checkpoints/4 cannot be read" in caplog.text
    assert (workdir / "unreadable" / "4").is_dir()
    assert saved_arrays(workdir, 4).keys() == expected.keys()


def test_a_loss_that_is_not_finite_stops_the_run(trained, tmp_path, tiny_config):
    tiny_config.train.init_from = str(trained[1])
    tiny_config.train.learning_rate = 1e30
    tiny_config.train.log_every_steps = 50
    tiny_config.train.checkpoint_every_steps = 1
    tiny_config.train.num_steps = 8
    with pytest.raises(InputError, match=r"^step \d: .*not finite; checkpoint \d is kept") as error:
        train(tiny_config, tmp_path / "w")
    step = int(str(error.value).split()[1].rstrip(":"))
    assert step > 1
    arrays = saved_arrays(tmp_path / "w", step - 1)
    assert all(
        np.isfinite(array).all() for name, array in arrays.items() if "generator/params" in name
    )


def test_bad_configurations_are_one_line(tmp_path, tiny_config):
    def refused(match, **fields):
        config = tiny_config.copy_and_resolve_references()
        config.update_from_flattened_dict(fields)
        with pytest.raises(InputError, match=match):
            train(config, tmp_path / "w")
        assert not (tmp_path / "w").exists()

    refused("training split has only 14 pairs", **{"train.batch_size": 16})
    refused(r"no dataset in .*data_builders\.dped\.build", **{"data.data_dir": str(tmp_path)})
    refused(r"nowhere/config\.json: no such file", **{"train.init_from": "nowhere"})


def test_a_converted_model_is_not_trained_on_in_place(trained, tmp_path):
    config, workdir = trained
    _, variables, _ = checkpoint.load_generator(workdir)
    checkpoint.write_config(tmp_path, config)
    with checkpoint.open_manager(tmp_path) as manager:
        checkpoint.save(manager, 0, generator=variables)
    with pytest.raises(InputError, match="init_from"):
        train(config, tmp_path)


def test_the_command_ends_with_one_line_where_nothing_can_be_written(tmp_path, tiny_config):
    """No space left, by a limit on the size of files: older checkpoints stay, the run ends."""
    tiny_config.loss.texture = 0.0
    tiny_config.generator.width = 16
    tiny_config.train.num_steps = 2
    train(tiny_config, tmp_path / "w")
    (tmp_path / "w" / "checkpoints" / "2").rename(tmp_path / "aside")

    # 100 kB: enough for samples, not for 17,107 parameters with Adam's moments.
    limited = ["bash", "-c", 'ulimit -f 100; exec "$@"', "limited", sys.executable, "-m", TRAIN]
    result = subprocess.run(
        limited + flags_of(tiny_config, tmp_path / "w"),
        cwd=tiny.ROOT,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    tiny.assert_one_line_error(result, "no room for a checkpoint")
    left = {path.name for path in (tmp_path / "w" / "checkpoints").iterdir()}
    assert left == {"1"}


def test_the_command_names_what_is_wrong(tmp_path, tiny_config):
    result = tiny.command(TRAIN, "surplus", *flags_of(tiny_config, tmp_path / "w"))
    tiny.assert_one_line_error(result, "surplus")


def test_random_vgg_is_announced(tiny_config, caplog):
    tiny_config.loss.content = 1.0
    tiny_config.vgg.weights = "random"
    params = load_vgg(tiny_config)
    assert "random" in caplog.text
    assert params["conv1_1"]["kernel"].shape == (3, 3, 3, 64)


@pytest.mark.parametrize(
    "fields",
    [{}, {"data.on_device": "always", "train.steps_per_call": 2, "loss.texture": 0.0}],
)
def test_two_processes_train_as_one_with_as_many_devices(tmp_path, tiny_config, fields):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    tiny_config.data.flip = True
    tiny_config.train.checkpoint_every_steps = 2
    tiny_config.update_from_flattened_dict(fields)
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", TRAIN, *flags_of(tiny_config, tmp_path / "two")),
                *(f"--coordinator=localhost:{port}", "--num_processes=2", f"--process_id={i}"),
            ],
            cwd=tiny.ROOT,
            env=os.environ | {"XLA_FLAGS": xla_flags(2)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    train(tiny_config, tmp_path / "one")
    for one, two in zip(*(tiny.logged(tmp_path / name) for name in ("one", "two")), strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"group"}:
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), (one["step"], name)
    assert saved_arrays(tmp_path / "two", 4).keys() == saved_arrays(tmp_path / "one", 4).keys()
