"""What the benchmarks measure is what they say."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import torch

from dped_jax import checkpoint
from dped_jax.base import writing
from dped_jax.base.pictures import Picture


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, tiny.ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_peak_memory_is_the_commands_own(tmp_path):
    workdir = tiny.write_model(tmp_path / "w", *tiny.random_generator())
    writing.write(tmp_path / "a.png", Picture(np.full((100, 150, 3), 99, np.uint8)))
    held = np.ones(3_000_000_000, np.uint8)  # of this process, far beyond the command's
    measured = benchmark("enhance").run_command(workdir, tmp_path / "a.png", [])
    assert 0.1 < measured["peak_gb"] < held.nbytes / 2e9


@pytest.mark.parametrize("case", ["release:2", "mobile:2"])
def test_the_step_in_pytorch_is_ours(case, tmp_path, monkeypatch):
    """Losses of three steps, which depend on gradients and optimisers.

    They may differ by a hundredth of what a step changes: rounding is far below, and a term or a
    factor left out far above.
    """
    monkeypatch.setattr(jax.random, "bernoulli", lambda key, shape: jnp.ones(shape, bool))
    monkeypatch.setattr(torch, "rand", torch.zeros)  # below 1/2: the labels are all True, too
    steps = benchmark("pytorch_steps")
    config = steps.config_of(case)
    config.generator.update({"width": 4, "num_blocks": 1, "kernel_init": "he_normal"})
    config.discriminator.width = 1 / 16
    made = [make(config, tmp_path) for make in (steps.make_ours, steps.make_pytorch)]
    ours, theirs = np.array([[step() for _ in range(3)] for step in made])
    assert np.abs(ours - theirs).max() < 0.01 * np.abs(np.diff(ours)).min(), (ours, theirs)


def test_the_configs_of_the_table_exist():
    for name in benchmark("train").CONFIGS:
        assert (tiny.ROOT / "configs" / f"{name}.py").exists()


def test_what_is_asked_of_mobile_is_judged(tmp_path, monkeypatch, capsys):
    enhance, seen = benchmark("enhance"), []

    def run_command(workdir, photo, flags):
        seen.append((workdir.name, photo.stem))
        seconds = {"mobile": 5.0, "released": 59.0}[workdir.name]
        return {"seconds": seconds, "cpu": 2 * seconds, "peak_gb": 1.1 if photo.stem == "12" else 3}

    monkeypatch.setattr(enhance, "run_command", run_command)
    monkeypatch.setattr(enhance, "make_photo", lambda *_: None)
    enhance.print_mobile(tmp_path, tmp_path / "photo.png", 2)
    assert seen == [("mobile", "12"), ("released", "12")] * 2 + [("mobile", "50")]
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines == [
        "mobile.py  5.00 s (met: at most 8), 10.0 CPU s, peak 1.10 GB (met: at most 1.2)",
        "released / mobile.py  11.80 times (MISSED: at least 12), 11.8 in CPU s",
        "50 MP by mobile.py  5.0 s, peak 3.00 GB (MISSED: at most 2)",
    ]
    networks = [
        checkpoint.read_config(tmp_path / name).generator for name in ("mobile", "released")
    ]
    assert [network.architecture for network in networks] == ["unet", "resnet"]
    assert networks[1].norm == "instance"
