"""A dataset of generated pairs and a configuration of tiny networks, to train for a few steps."""

import json
import pathlib
import subprocess
import sys

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from configs import paper, release
from dped_jax import checkpoint
from dped_jax.models.generator import make_generator

ROOT = pathlib.Path(__file__).resolve().parents[1]


def write_pairs(folder: pathlib.Path, num: int) -> None:
    """`phone` and `dslr`, each with N.png: the phone's patch is a darker, smoother one."""
    rng = np.random.default_rng(0)
    for name in ("phone", "dslr"):
        (folder / name).mkdir(parents=True)
    for i in range(num):
        coarse = rng.uniform(40, 250, (10, 10, 3)).astype(np.float32)
        dslr = cv2.resize(coarse, (100, 100), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "dslr" / f"{i}.png"), dslr)
        cv2.imwrite(str(folder / "phone" / f"{i}.png"), 0.7 * cv2.blur(dslr, (3, 3)))


def command(module: str, *args: object, **kwargs) -> subprocess.CompletedProcess:
    """Runs `python -m module` as a user does."""
    argv = [sys.executable, "-m", module, *map(str, args)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, **kwargs)


def assert_one_line_error(result: subprocess.CompletedProcess, *words: str) -> None:
    """The command ended on bad input with one line that has all the words."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0]


def tiny_config(data_dir: pathlib.Path):
    """`paper.py` with one narrow block, a narrow discriminator and no VGG."""
    config = paper.get_config()
    config.data.data_dir = str(data_dir)
    config.data.phone = "custom"
    config.generator.num_blocks = 1
    config.generator.width = 4
    config.discriminator.width = 1 / 32
    config.loss.content = 0.0
    config.train.batch_size = 4
    config.train.num_steps = 4
    config.train.log_every_steps = 1
    config.train.eval_every_steps = 2
    config.train.checkpoint_every_steps = 1
    config.eval.batch_size = 4
    config.eval.num_pictures = 2
    return config


def logged(workdir: pathlib.Path) -> list[dict]:
    """The lines of metrics.jsonl without what no two runs have in common: time and speed."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    measured = ("time", "patches_per_second", "save_seconds")
    return [{k: v for k, v in line.items() if k not in measured} for line in lines]


def random_generator(key_number: int = 0, **fields):
    """`release.py` with these fields of the generator, and variables that are all random."""
    config = release.get_config()
    config.generator.update({"num_blocks": 1, "width": 4, "kernel_init": "he_normal"} | fields)
    network = make_generator(config)
    shapes = jax.eval_shape(network.init, jax.random.PRNGKey(0), jnp.zeros((1, 8, 8, 3)))
    init = jax.jit(network.init, compiler_options={"xla_backend_optimization_level": 1})
    variables = init(jax.random.PRNGKey(key_number), jnp.zeros((1, 8, 8, 3)))
    rng = np.random.default_rng(key_number)
    vectors = jax.tree.map(lambda leaf: rng.uniform(0.3, 1, leaf.shape).astype("f4"), shapes)
    kernels = jax.tree.map(lambda leaf: rng.normal(0, 0.03, leaf.shape).astype("f4"), shapes)
    random = jax.tree.map(
        lambda leaf, v, k: v if leaf.ndim == 1 else leaf if leaf.any() else k,  # zeros to kernels
        *(variables, vectors, kernels),
    )
    return config, {"params": random["params"], "batch_stats": random.get("batch_stats", {})}


def write_model(workdir: pathlib.Path, config, variables) -> pathlib.Path:
    """Makes a workdir of a generator."""
    checkpoint.write_config(workdir, config)
    with checkpoint.open_manager(workdir) as manager:
        checkpoint.save(manager, 0, generator=variables)
    return workdir
