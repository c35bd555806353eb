"""The baselines of section 4.1: what their networks are and what they minimise."""

import jax
import numpy as np
import pytest

from configs import johnson, paper, srcnn
from dped_jax.convert import vgg_files
from dped_jax.models import vgg
from dped_jax.models.baselines import Identity
from dped_jax.models.generator import make_eval_step, make_generator
from dped_jax.train_state import create_train_state
from dped_jax.train_step import make_train_step


def first_step(config, pairs):
    """Enhanced images before the first update, and its metrics; one device, whole batch norm."""
    state = create_train_state(config, jax.random.PRNGKey(0))
    vgg_params = vgg_files.random_vgg_params(0)
    step = jax.pmap(
        make_train_step(config),
        axis_name="devices",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=jax.devices()[:1],
    )
    batch = {name: images[None] for name, images in zip(("phone", "dslr"), pairs, strict=True)}
    _, metrics = step(state, batch, vgg_params)
    return state, jax.device_get(metrics)


@pytest.fixture(scope="module")
def pairs(real_pairs):
    return tuple(images[:2] for images in real_pairs)


def test_dong_minimises_the_squared_error_with_three_layers(pairs):
    config = srcnn.get_config()
    state, metrics = first_step(config, pairs)
    kernels = [leaf.shape for leaf in jax.tree.leaves(state.generator.params) if leaf.ndim == 4]
    assert sorted(kernels) == [(5, 5, 32, 3), (5, 5, 64, 32), (9, 9, 3, 64)]
    assert sum(leaf.size for leaf in jax.tree.leaves(state.generator.params)) == 69_249
    assert state.discriminator is None
    enhanced = np.asarray(make_eval_step(config)(state.generator.variables, pairs[0]))
    expected = np.mean((enhanced - pairs[1] / 255.0) ** 2)
    assert metrics == pytest.approx({"mse": expected, "total": expected}, rel=1e-5)


def test_johnson_minimises_vgg_features_alone_with_our_network(pairs):
    config = johnson.get_config()
    assert config.generator == paper.get_config().generator
    config.generator.norm = "instance"  # as in evaluation, for the comparison below
    state, metrics = first_step(config, pairs)
    assert state.discriminator is None
    enhanced = make_eval_step(config)(state.generator.variables, pairs[0])
    features = [
        np.asarray(vgg.extract_features(vgg_files.random_vgg_params(0), np.float32(x), "relu2_2"))
        for x in (enhanced, pairs[1] / 255)
    ]
    assert features[0].shape == (2, 50, 50, 128)
    expected = np.mean((features[0] - features[1]) ** 2)
    assert metrics == pytest.approx({"content": expected, "total": expected}, rel=1e-4)


def test_identity(pairs):
    config = paper.get_config()
    config.generator.architecture = "identity"
    network = make_generator(config)
    assert isinstance(network, Identity)
    images = np.float32(pairs[0]) / 255
    variables = network.init(jax.random.PRNGKey(0), images)
    np.testing.assert_array_equal(network.apply(variables, images), images)
    grads = jax.grad(lambda v: network.apply(v, images).sum())(variables)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads))
