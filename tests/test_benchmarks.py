"""What the benchmarks measure is what they say."""

import importlib.util

import numpy as np
import tiny

from dped_jax.images import photo_files
from dped_jax.images.photo_files import Photo


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, tiny.ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_peak_memory_is_the_commands_own(tmp_path):
    workdir = tiny.write_model(tmp_path / "w", *tiny.random_generator())
    photo_files.write(tmp_path / "a.png", Photo(np.full((100, 150, 3), 99, np.uint8)))
    held = np.ones(3_000_000_000, np.uint8)  # of this process, far beyond the command's
    measured = benchmark("enhance").run_command(workdir, tmp_path / "a.png", [])
    assert 0.1 < measured["peak_gb"] < held.nbytes / 2e9


def test_the_configs_of_the_table_exist():
    for name in benchmark("train").CONFIGS:
        assert (tiny.ROOT / "configs" / f"{name}.py").exists()
