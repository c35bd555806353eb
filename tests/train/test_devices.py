"""Which devices share a batch, and that their number does not matter."""

import logging
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from fake_devices import xla_flags
from flax.traverse_util import flatten_dict

from configs import paper
from dped_jax.base.errors import InputError
from dped_jax.convert import vgg_files
from dped_jax.train.devices import choose_devices, map_steps, replicate
from dped_jax.train.feeds import StreamedBatches
from dped_jax.train_state import create_train_state

BATCH_SIZE, SIZE, NUM_STEPS = 50, 20, 3
USED = {1: 1, 4: 2, 8: 5}  # of so many devices, the most that divide the paper's batch


@pytest.mark.parametrize(("batch_size", "used"), [(50, 2), (8, 4), (6, 3), (7, 1), (1, 1)])
def test_as_many_devices_as_divide_the_batch_are_used(batch_size, used, caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_devices(batch_size) == jax.devices()[:used]
    warnings = [record.getMessage() for record in caplog.records]
    said = f"training on {used} of 4 devices: config.train.batch_size={batch_size} does not divide"
    assert warnings == ([] if used == 4 else [f"{said} among more"])


def test_the_number_of_devices_can_be_chosen(caplog):
    for num in (1, 2, 4):
        assert choose_devices(8, num) == jax.devices()[:num]
    assert not caplog.records
    for batch_size, num in ((8, 3), (8, 8), (8, 0), (8, -1), (50, 4)):
        possible = "1, 2, 4" if batch_size == 8 else "1, 2"
        with pytest.raises(InputError) as error:
            choose_devices(batch_size, num)
        assert str(error.value).startswith(f"--num_devices={num}: config.train.batch_size=")
        assert f"numbers of devices: {possible} (4 are here" in str(error.value)


def batch(step):
    """Random pairs; the DSLR's are brighter."""
    rng = np.random.default_rng(step)
    phone = rng.integers(0, 200, (BATCH_SIZE, SIZE, SIZE, 3), np.uint8)
    return {"phone": phone, "dslr": phone + np.uint8(40)}


def run(present):
    """paper.py with narrow networks and early VGG features in float64: arrays by step and path.

    float32 cannot tell a wrong sum over devices from rounding, where Adam makes a whole step of a
    gradient that is next to nothing.
    """
    config = paper.get_config()
    config.data.crop = SIZE
    config.generator.num_blocks, config.generator.width = 1, 4
    config.generator.kernel_init = "he_normal"
    config.discriminator.width = 1 / 32
    config.vgg.layers = (("relu1_1", 1.0),)
    assert config.train.batch_size == BATCH_SIZE
    config.compute_dtype = "float64"
    present = jax.devices()[:present]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_device_count", lambda: len(present))
        patch.setattr(jnp, "float32", jnp.float64)  # what images, logits and features are cast to
        devices = choose_devices(BATCH_SIZE)
        feed = StreamedBatches(config, devices)
        steps = map_steps(config, devices, feed)
        state = create_train_state(config, jax.random.PRNGKey(1))
        state = jax.tree.map(lambda x: jnp.float64(x) if x.dtype == np.float32 else x, state)
        vgg_params = vgg_files.random_vgg_params(0)
        for name in set(vgg_params) - {"input_scale", "input_mean", "conv1_1"}:
            vgg_params[name] = None  # not used
        state, vgg_params = replicate((state, vgg_params), devices)
        arrays = {"devices": np.array(len(devices))}
        for k in range(1, NUM_STEPS + 1):
            state, _ = steps(state, feed.place([batch(k)]), vgg_params, feed.held)
            jax.block_until_ready(state)
            for name in ("generator", "discriminator"):
                network = jax.device_get(getattr(state, name))
                (adam, *_) = network.opt_state
                parts = {"params": network.params, "mu": adam.mu, "nu": adam.nu}
                flat = flatten_dict(parts, sep="/")
                arrays |= {f"{k}/{name}/{path}": leaf for path, leaf in flat.items()}
    return arrays


# By which share of the magnitudes that it adds up the longest sum there is, over the pixels of a
# batch, can be off.
ROUNDING = BATCH_SIZE * SIZE**2 * np.finfo(np.float64).eps


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By number of devices, what a process that has eight of them computed."""
    folder = tmp_path_factory.mktemp("runs")
    environment = os.environ | {"XLA_FLAGS": xla_flags(8), "JAX_ENABLE_X64": "1"}
    environment["PYTHONPATH"] = f"{tiny.ROOT}{os.pathsep}{tiny.ROOT / 'tests'}"
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {num: dict(np.load(folder / f"{num}.npz")) for num in USED}


@pytest.mark.parametrize("num", [4, 8])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_parameters_do_not_depend_on_the_number_of_devices(runs, network, num):
    """Nor do the gradients, since Adam hides a factor: its first moment is linear in them.

    Its step is m / (sqrt(v) + 1e-8) times the learning rate, where both moments inherit the error
    of the gradient.
    """
    expected, found = runs[1], runs[num]
    assert found["devices"] == USED[num]
    paths = [p.split("/", 3)[3] for p in expected if p.startswith(f"1/{network}/params/")]
    assert len(paths) >= 10
    tolerances = dict.fromkeys(paths, 0.0)
    for k in range(1, NUM_STEPS + 1):
        one, other = (
            {part: {p: run[f"{k}/{network}/{part}/{p}"] for p in paths} for part in parts}
            for run, parts in ((expected, ("params", "mu", "nu")), (found, ("params", "mu")))
        )
        largest = max(np.abs(moment).max() for moment in one["mu"].values())
        error = ROUNDING * largest / (1 - 0.9)
        for path in paths:
            assert one["mu"][path].dtype == other["mu"][path].dtype == np.float64
            assert np.abs(one["mu"][path] - other["mu"][path]).max() <= error, path
            divisor = np.sqrt(one["nu"][path] / (1 - 0.999**k)) + 1e-8
            tolerances[path] = tolerances[path] + 5e-4 * 2 * error / divisor
            difference = np.abs(one["params"][path] - other["params"][path])
            assert np.all(difference <= tolerances[path]), path


if __name__ == "__main__":
    for number in USED:
        np.savez(os.path.join(sys.argv[1], f"{number}.npz"), **run(number))
