"""The joint update: independence of the device count, and what moves what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import mobile, paper, release
from dped_jax.convert import vgg_files
from dped_jax.kernels import convolution
from dped_jax.train_state import create_train_state, make_optimizer
from dped_jax.train_step import count_flops, draw_labels, make_train_step

NUM_PAIRS, SIZE, NUM_STEPS = 8, 20, 3


def small(config):
    """Both networks narrow; VGG features of an early layer."""
    config.generator.num_blocks = 1
    config.generator.width = 8
    config.generator.kernel_init = "he_normal"
    config.discriminator.width = 0.125
    config.vgg.weights = "random"
    config.vgg.layers = (("relu1_1", 1.0),)
    config.data.crop = SIZE
    config.train.batch_size = NUM_PAIRS
    return config


def pairs(seed=0, num=NUM_PAIRS, size=SIZE):
    """Random pairs with structure at two scales; the DSLR's are sharper and brighter."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(30, 190, (num, 5, 5, 3)).repeat(size // 5, 1).repeat(size // 5, 2)
    detail = rng.uniform(-30, 30, blocks.shape)
    return {"phone": np.uint8(blocks + 0.5 * detail), "dslr": np.uint8(blocks + detail + 35)}


def lively(state):
    """The state with a discriminator whose units are on both sides of zero.

    At the release's initial weights a unit's bias outweighs its inputs, LeakyReLU is linear, and
    the instance norm behind it takes the bias's gradient away but for rounding.
    """
    params = {
        name: layer | {"kernel": layer["kernel"] * 30} if name.startswith("conv") else layer
        for name, layer in state.discriminator.params.items()
    }
    return state.replace(discriminator=state.discriminator.replace(params=params))


def start(config):
    return lively(create_train_state(config, jax.random.PRNGKey(1)))


@functools.cache
def early_vgg_params():
    """Random ones up to relu2_2: of all 20 million, every step would be given copies."""
    params = vgg_files.random_vgg_params(0)
    later = tuple(f"conv{block}" for block in (3, 4, 5))
    return {name: None if name.startswith(later) else value for name, value in params.items()}


def run(config, state, num_devices, num_steps=NUM_STEPS):
    """States and metrics of a few steps."""
    step = jax.pmap(
        make_train_step(config),
        axis_name="devices",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=jax.devices()[:num_devices],
    )
    vgg_params = early_vgg_params()
    states, metrics = [state], []
    for i in range(num_steps):
        batch = pairs(2 * i)
        if config.train.discriminator_batch == "next":
            batch["next"] = pairs(2 * i + 1)
        batch = jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)
        state, values = step(state, batch, vgg_params)
        jax.block_until_ready(state)
        states.append(state)
        metrics.append(jax.device_get(values))
    return states, metrics


@pytest.fixture(scope="module", params=[paper, release], ids=["paper", "release"])
def runs(request):
    """(config, {number of devices: (states, metrics)}), of steps that compute in float64.

    float32 cannot tell a wrong sum over devices from rounding, where Adam makes a whole step of a
    gradient that is next to nothing.
    """
    config = small(request.param.get_config())
    config.compute_dtype = "float64"
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jnp, "float32", jnp.float64)  # what images, logits and features are cast to
        state = start(config)
        state = jax.tree.map(lambda x: jnp.float64(x) if x.dtype == np.float32 else x, state)
        return config, {num: run(config, state, num) for num in (1, 4)}


# By which share of the magnitudes that it adds up the longest sum there is, over the pixels of a
# batch, can be off.
ROUNDING = NUM_PAIRS * SIZE**2 * np.finfo(np.float64).eps


def assert_close(expected, found, atol):
    assert expected.dtype == found.dtype == np.float64
    assert np.all(np.abs(expected - found) <= atol), np.max(np.abs(expected - found) / atol)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_one_and_four_devices_give_the_same_parameters(runs, network):
    """And the same gradients, since Adam hides a factor: its first moment is linear in them.

    Its step is m / (sqrt(v) + 1e-8) times the learning rate, where both moments inherit the error
    of the gradient.
    """
    config, results = runs
    one, four = ([getattr(state, network) for state in results[num][0]] for num in (1, 4))
    tolerances = jax.tree.map(np.zeros_like, one[0].params)
    for k, states in enumerate(zip(one[1:], four[1:], strict=True), 1):
        expected, found = jax.device_get(states)
        adam = expected.opt_state[0]
        error = ROUNDING * max(np.abs(leaf).max() for leaf in jax.tree.leaves(adam.mu)) / 0.1

        def enlarged(tolerance, v, error=error, correction=1 - 0.999**k):
            share = 2 * error / (np.sqrt(v / correction) + 1e-8)
            return tolerance + config.train.learning_rate * share

        tolerances = jax.tree.map(enlarged, tolerances, adam.nu)
        errors = jax.tree.map(lambda leaf, error=error: np.full_like(leaf, error), adam.mu)
        jax.tree.map(assert_close, adam.mu, found.opt_state[0].mu, errors)
        jax.tree.map(assert_close, expected.params, found.params, tolerances)


def test_one_and_four_devices_give_the_same_metrics(runs):
    _, results = runs
    for one, four in zip(results[1][1], results[4][1], strict=True):
        assert one.keys() == four.keys()
        for name in one:
            assert four[name] == pytest.approx(one[name], rel=ROUNDING), name


def test_all_devices_hold_equal_shards(runs):
    _, results = runs
    state = results[4][0][-1]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        shards = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(shards) == 4
        for shard in shards[1:]:
            np.testing.assert_array_equal(shard, shards[0], err_msg=jax.tree_util.keystr(path))


def test_a_step_changes_both_networks_and_counts(runs):
    config, results = runs
    before, after = results[1][0][:2]
    for network in ("generator", "discriminator"):
        old, new = (getattr(state, network) for state in (before, after))
        for name in ("params", "opt_state"):
            moved = jax.tree.map(
                lambda a, b: bool(np.any(a != b)), getattr(old, name), getattr(new, name)
            )
            assert all(jax.tree.leaves(moved)), (network, name)
    assert int(after.step) == 1
    if config.generator.norm == "batch":
        old, new = before.generator.batch_stats, after.generator.batch_stats
        assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), old, new)))


def test_the_total_is_the_weighted_sum(runs):
    config, results = runs
    for metrics in results[1][1]:
        names = ("color", "texture", "content", "tv")
        expected = sum(config.loss[name] * metrics[name] for name in names)
        assert metrics["total"] == pytest.approx(expected, rel=1e-5)
        assert 0 <= metrics["discriminator_accuracy"] <= 1


def test_terms_of_weight_zero_are_not_computed():
    config = small(paper.get_config())
    config.loss.texture = config.loss.content = config.loss.tv = config.loss.color = 0.0
    config.loss.mse = 2.0
    state = create_train_state(config, jax.random.PRNGKey(0))
    assert state.discriminator is None
    step = jax.pmap(
        make_train_step(config), axis_name="devices", in_axes=(None, 0, None), out_axes=None
    )
    batch = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), pairs())
    state, metrics = step(state, batch, None)
    assert metrics.keys() == {"mse", "total"}
    assert metrics["total"] == pytest.approx(2 * metrics["mse"])


def test_content_over_several_layers_is_their_weighted_sum():
    config = small(paper.get_config())
    config.loss.texture = config.loss.tv = config.loss.color = 0.0

    def content(*layers):
        config.vgg.layers = layers
        state = create_train_state(config, jax.random.PRNGKey(1))
        return run(config, state, 1, num_steps=1)[1][0]["content"]

    low, high = content(("relu1_2", 1.0)), content(("relu2_2", 1.0))
    both = content(("relu1_2", 2.0), ("relu2_2", 0.5))
    assert both == pytest.approx(2 * low + 0.5 * high, rel=1e-5)


def test_the_average_follows_the_variables():
    config = mobile.get_config()
    config.generator.update({"width": 4, "num_levels": 1})
    config.train.update({"batch_size": NUM_PAIRS, "warmup_steps": 0, "ema_decay": 0.15})
    state = create_train_state(config, jax.random.PRNGKey(1))
    states, metrics = run(config, state, 4)
    expected = jax.tree.map(np.float64, states[0].generator.variables)
    for step, state in enumerate(states[1:]):
        decay = min(0.15, (1 + step) / (10 + step))  # 0.1, then 0.15
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * np.float64(new),
            expected, state.generator.variables,
        )  # fmt: skip
        assert state.model is state.averaged
        for found, value in zip(*map(jax.tree.leaves, (state.averaged, expected)), strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-7)  # rounding of float32
    assert metrics[0].keys() == {"l1", "ms_ssim", "total"}


def test_activations_computed_again_change_nothing_and_take_less_memory():
    config = small(release.get_config())
    config.train.discriminator_batch = "same"
    arguments = start(config), jax.tree.map(lambda x: x[None], pairs())
    vgg_params = early_vgg_params()

    def run_step(remat):
        config.train.remat = remat
        step = jax.vmap(make_train_step(config), axis_name="devices", in_axes=(None, 0, None))
        compiled = jax.jit(step).lower(*arguments, vgg_params).compile()
        _, metrics = compiled(*arguments, vgg_params)
        return [compiled.memory_analysis().temp_size_in_bytes, *jax.tree.leaves(metrics)]

    expected, found = run_step(False), run_step(True)
    assert found[0] < expected[0]
    # Of sums over a batch's pixels, in another order at most.
    np.testing.assert_allclose(found[1:], expected[1:], rtol=NUM_PAIRS * SIZE**2 * 2.0**-23)


def test_bfloat16_keeps_parameters_and_losses_in_float32():
    config = small(paper.get_config())
    full = run(config, start(config), 1, num_steps=1)
    config.compute_dtype = "bfloat16"
    half = run(config, start(config), 1, num_steps=1)
    for leaf in jax.tree.leaves((half[0][-1].generator, half[0][-1].discriminator)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    for name, value in half[1][0].items():
        assert value.dtype == np.float32
        if name != "discriminator_accuracy":
            assert value == pytest.approx(full[1][0][name], rel=0.05), name
            assert value != full[1][0][name], f"{name} was not computed in bfloat16"


def test_labels_do_not_depend_on_the_device_count_and_change_by_step():
    key = jax.random.PRNGKey(3)
    draws = [draw_labels(jax.random.fold_in(key, step), 64) for step in range(2)]
    assert 10 < int(draws[0].sum()) < 54
    assert bool(jnp.any(draws[0] != draws[1]))


def test_weight_decay_takes_kernels_only_and_clipping_the_whole_gradient():
    config = paper.get_config()
    config.train.update({"learning_rate": 0.1, "weight_decay": 0.5, "clip_norm": 2.0})
    optimizer = make_optimizer(config)
    params = {"kernel": jnp.full((3, 1), 4.0), "bias": jnp.full((1,), 4.0)}
    opt_state = optimizer.init(params)
    # Its norm, 6, is clipped to 2; Adam's first step has the size of the learning rate.
    gradient = {"kernel": jnp.full((3, 1), 3.0), "bias": jnp.full((1,), 3.0)}
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    np.testing.assert_allclose(updates["bias"], -0.1, rtol=1e-5)
    np.testing.assert_allclose(updates["kernel"], -0.1 - 0.1 * 0.5 * 4, rtol=1e-5)
    moment = optax.tree.get(opt_state, "mu")["bias"]
    np.testing.assert_allclose(moment, 0.1 * 3 * 2 / 6, rtol=1e-5)  # b1 is 0.9


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_learning_rate_schedules(schedule):
    """Adam's first step has the size of the learning rate; a gradient of 1 throughout keeps it.

    In float64, since in float32 1 - 0.999 is off by 1e-5; the rate itself is a float32, of a cosine
    and a product, and Adam adds 1e-8 to its divisor.
    """
    config = paper.get_config()
    config.train.update(
        {"schedule": schedule, "learning_rate": 0.1, "warmup_steps": 4, "num_steps": 10}
    )
    optimizer = make_optimizer(config)
    sizes = []
    with jax.enable_x64(True):
        params = jnp.zeros(())
        opt_state = optimizer.init(params)
        for _ in range(11):
            updates, opt_state = optimizer.update(jnp.ones(()), opt_state, params)
            sizes.append(-float(updates))
    after = {"constant": np.ones(7), "cosine": 0.5 * (1 + np.cos(np.pi * np.arange(7) / 6))}
    expected = 0.1 * np.concatenate([[0, 0.25, 0.5, 0.75], after[schedule]])
    tolerance = 0.1 * (2 * np.finfo(np.float32).eps + 1e-8)
    np.testing.assert_allclose(sizes, expected, rtol=0, atol=tolerance)


def test_flops_are_those_of_the_convolutions(tiny_config, monkeypatch):
    """Multiply-adds are done again for weights and inputs, not the first ones.

    They are counted as written out, not as Winograd's products save them on CPU.
    """
    monkeypatch.setattr(convolution, "_LEAST_WIDTH", 8)
    monkeypatch.setattr(convolution, "_LEAST_PRODUCTS", 1)
    tiny_config.generator.width = 16
    options = tiny_config.loss
    options.mse, options.color, options.texture, options.tv = 1.0, 0.0, 0.0, 0.0
    tiny_config.generator.num_blocks, tiny_config.train.batch_size = 0, 6
    state = create_train_state(tiny_config, jax.random.PRNGKey(0))
    first, post, last = 9 * 9 * 3 * 16, 3 * 3 * 16 * 16, 9 * 9 * 16 * 3
    expected = 2 * 6 * 100 * 100 * (2 * first + 3 * (post + post + last))
    # Less at the borders, where kernels reach into zeros (2 to 4 % of 9x9), and a few per value
    # and channel for activations, biases and the loss.
    assert count_flops(tiny_config, state, None) == pytest.approx(expected, rel=0.1)
