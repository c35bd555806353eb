"""What training tells: lines with time, learning rate and speed, TensorBoard too; how it starts."""

import errno
import json
import struct
import subprocess
import sys
import time

import jax
import pytest
import tiny
from tensorboardX.proto import event_pb2

from configs import paper
from dped_jax.base.errors import InputError
from dped_jax.train.metrics_writer import MetricsWriter, describe_start, read_metrics
from dped_jax.train_state import create_train_state, learning_rate_at


@pytest.fixture
def config():
    return paper.get_config()


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events_of(workdir) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag of a TFRecord file of events: length, checksum, event, checksum."""
    (file,), points = workdir.glob("events.out.tfevents.*"), {}
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            points.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    return points


def test_events_are_written_without_pytorch():
    """TensorboardX imports it where it is installed, for seconds in which a training waits."""
    program = "import sys, dped_jax.train.__main__, dped_jax.train.events; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tiny.ROOT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert "tensorboardX.summary" in loaded
    assert "torch" not in loaded
    assert "scipy.stats" not in loaded


def test_lines_tell_time_learning_rate_and_speed(tmp_path, config):
    config.train.batch_size, config.train.learning_rate = 8, 0.25
    before = time.time()
    with MetricsWriter(tmp_path, 0) as writer:
        time.sleep(0.2)
        writer.train_scalars(config, 2, {"total": 3.0}, num_steps=2)
        time.sleep(0.2)  # of validation, which does not count
        writer.scalars(2, "validation", {"psnr": 20.0})
        time.sleep(0.1)
        writer.train_scalars(config, 3, {"total": 2.0}, num_steps=1)
    first, scored, second = lines_of(tmp_path)
    assert (first["learning_rate"], first["total"], first["step"]) == (0.25, 3.0, 2)
    assert first["patches_per_second"] < 16 / 0.2
    assert 8 / 0.3 < second["patches_per_second"] < 8 / 0.1
    assert before <= first["time"] + 1e-3
    assert first["time"] < scored["time"] < second["time"] <= time.time() + 1e-3
    shown = events_of(tmp_path)
    for name in ("learning_rate", "patches_per_second", "total"):
        expected = [(2, first[name]), (3, second[name])]
        assert shown[f"train/{name}"] == [pytest.approx(point) for point in expected]
    curves = read_metrics(tmp_path / "metrics.jsonl")
    assert curves["train"].keys() == {
        *("total", "learning_rate", "patches_per_second", "save_seconds")
    }
    assert curves["validation"] == {"psnr": [(2, 20.0)]}


def test_what_an_interrupted_run_wrote_later_is_dropped(tmp_path, config):
    with MetricsWriter(tmp_path, 0) as writer:
        for step in (1, 2, 3):
            writer.train_scalars(config, step, {"total": 1.0}, num_steps=1)
    with MetricsWriter(tmp_path, 2) as writer:
        writer.scalars(4, "validation", {"psnr": 1.0})
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2, 4]


def test_another_file_is_no_metrics(tmp_path):
    with pytest.raises(InputError, match="no metrics yet"):
        read_metrics(tmp_path / "metrics.jsonl")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "group": "other"}\n')
    with pytest.raises(InputError, match="line 1: not metrics"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_the_learning_rate_is_that_of_the_step(config):
    options = config.train
    options.learning_rate, options.num_steps = 1e-3, 100
    assert learning_rate_at(config, 1) == learning_rate_at(config, 100) == 1e-3
    options.warmup_steps = 10
    assert learning_rate_at(config, 1) == 0  # the first update is made with the rate at count 0
    assert learning_rate_at(config, 6) == pytest.approx(0.5e-3)
    options.schedule = "cosine"
    assert learning_rate_at(config, 11) == pytest.approx(1e-3)
    assert learning_rate_at(config, 56) == pytest.approx(0.5e-3)  # half-way down the cosine


def test_the_start_is_described(tiny_config):
    tiny_config.data.crop = 0
    state = create_train_state(tiny_config, jax.random.PRNGKey(0))
    splits = {"train": {"pairs": 140_000}, "validation": {"pairs": 3}}
    told = describe_start(tiny_config, state, jax.devices()[:2], splits, 1.25e10)
    generator = 9 * 9 * 3 * 4 + 4 * (3 * 3 * 4 * 4) + 9 * 9 * 4 * 3  # kernels of one block
    for words in (
        f"2 x cpu, JAX {jax.__version__}",
        "140,000 train, 3 validation",
        "4 pairs of 100 x 100, 12.5 GFLOP a step",
        "0 of 4 done",
        "resnet",
        "bi_channel",
    ):
        assert words in told
    (line,) = (line for line in told.splitlines() if line.startswith("generator"))
    found = int(line.split()[2].replace(",", ""))
    assert generator < found < generator + 100  # and biases, shifts and scales
    tiny_config.loss.texture = 0.0
    state = create_train_state(tiny_config, jax.random.PRNGKey(0))
    assert "discriminator" not in describe_start(tiny_config, state, jax.devices(), splits, 1.0)


def test_a_disk_that_is_full_for_a_moment_is_told_at_once(tmp_path, monkeypatch):
    """A thread of the library would die of it, and its queue hold up training for ever."""
    with MetricsWriter(tmp_path, 0) as writer:
        writer.scalars(1, "train", {"total": 1.0})

        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(writer._events._py_recordio_writer, "write", full)
            with pytest.raises(OSError, match="No space left"):
                writer.scalars(2, "train", {"total": 1.0})
        for step in range(3, 200):
            writer.scalars(step, "train", {"total": 1.0})
    assert [step for step, _ in events_of(tmp_path)["train/total"]][:2] == [1, 3]
