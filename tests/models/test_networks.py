"""Parameter counts, and the networks against plain NumPy and PyTorch where that is installed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from configs import paper, release, small
from dped_jax.models import baselines, discriminator
from dped_jax.models.generator import Generator, make_generator
from dped_jax.models.layers import Norm


def count(network, channels, size=100):
    images = jnp.zeros((1, size, size, channels))
    variables = jax.eval_shape(network.init, jax.random.PRNGKey(0), images)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameter_counts():
    assert count(make_generator(release.get_config()), 3) == 401_475
    assert count(make_generator(small.get_config()), 3) == 71_331
    # As the release's, less the 8 biases that batch norm makes superfluous.
    assert count(make_generator(paper.get_config()), 3) == 401_475 - 8 * 64
    assert count(baselines.SRCNN(), 3) == 69_249
    assert count(discriminator.make_discriminator(release.get_config()), 1) == 7_361_122
    # Convs 3x3, batch norms, 13x13x256 to 1024 to 1.
    channels = [2, 64, 64, 128, 128, 256, 256]
    convs = sum(9 * a * b + 3 * b for a, b in itertools.pairwise(channels))
    dense = 13 * 13 * 256 * 1024 + 1024 + 1025
    assert count(discriminator.make_discriminator(paper.get_config()), 2) == convs + dense


def plain_conv(x, kernel, bias):
    """Zero-padded 'SAME' convolution of one (H, W, C) image, float64."""
    out = np.zeros((*x.shape[:2], kernel.shape[-1]))
    for o in range(kernel.shape[-1]):
        for c in range(x.shape[-1]):
            out[..., o] += scipy.signal.correlate2d(x[..., c], kernel[..., c, o], mode="same")
    return out + bias


def test_generator_with_batch_norm_against_numpy():
    network = Generator(num_blocks=1, width=4, norm="batch", kernel_init="he_normal")
    rng = np.random.default_rng(0)
    image = rng.random((12, 11, 3))
    variables = network.init(jax.random.PRNGKey(0), jnp.zeros((1, 12, 11, 3)))
    variables = jax.tree.map(lambda x: x + 0.3 * rng.random(x.shape).astype("f4"), variables)
    found = network.apply(variables, jnp.asarray(image[None], jnp.float32))[0]

    p, s = jax.tree.map(lambda x: np.asarray(x, np.float64), (
        variables["params"], variables["batch_stats"]
    ))  # fmt: skip

    def layer(name, x):
        return plain_conv(x, p[name]["kernel"], p[name].get("bias", 0))

    def norm(name, x):
        scale, stats = p[name]["BatchNorm_0"], s[name]["BatchNorm_0"]
        return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-3) * scale["scale"] + scale["bias"]

    x = np.maximum(layer("conv_first", image), 0)
    skip = x
    x = np.maximum(norm("block0_norm0", layer("block0_conv0", x)), 0)
    x = np.maximum(norm("block0_norm1", layer("block0_conv1", x)), 0) + skip
    x = np.maximum(layer("conv_post0", x), 0)
    x = np.maximum(layer("conv_post1", x), 0)
    expected = 0.58 * np.tanh(layer("conv_last", x)) + 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_norms_of_large_means_are_accurate(kind):
    """Mean 30, deviation 0.05: the fast variance would be off by 2e-2."""
    x = np.random.default_rng(0).normal(30, 0.05, (2, 32, 32, 3))
    norm = Norm(kind)
    variables = norm.init(jax.random.PRNGKey(0), jnp.zeros(x.shape), train=False)
    mapped = jax.vmap(
        lambda x: norm.apply(variables, x, train=True, mutable=["batch_stats"])[0],
        axis_name="devices",
    )
    images = np.float32(x)
    found = mapped(jnp.asarray(images)[None])[0]
    axes = (0, 1, 2) if kind == "batch" else (1, 2)
    x = images.astype(np.float64)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(var + 1e-3), atol=2e-4)


def test_grayscale_weights():
    images = np.random.default_rng(0).random((2, 4, 5, 3))
    expected = images @ np.array([0.2989, 0.5870, 0.1140])
    found = discriminator.to_grayscale(jnp.asarray(images, jnp.float32))[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bi_channel_discriminator_against_torch():
    torch = pytest.importorskip("torch", reason="the independent implementation")
    network = discriminator.PaperDiscriminator(width=0.125)
    images = np.random.default_rng(0).random((3, 50, 50, 2), np.float32)
    variables = network.init(jax.random.PRNGKey(0), jnp.zeros((1, 50, 50, 2)))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: x + 0.2 * rng.random(x.shape).astype("f4"), variables)
    found = jax.jit(network.apply)(variables, images)

    p, s = jax.tree.map(lambda x: torch.from_numpy(np.array(x)), (
        variables["params"], variables["batch_stats"]
    ))  # fmt: skip
    functional = torch.nn.functional
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    for i in range(6):
        kernel = p[f"conv{i}"]["kernel"].permute(3, 2, 0, 1)
        if i % 2:  # 'SAME' at stride 2 pads below and right first
            total = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
            padding = [total // 2, total - total // 2] * 2
        else:
            padding = [1, 1, 1, 1]
        x = functional.conv2d(
            functional.pad(x, padding), kernel, p[f"conv{i}"]["bias"], stride=1 + i % 2
        )
        norm, stats = p[f"norm{i}"]["BatchNorm_0"], s[f"norm{i}"]["BatchNorm_0"]
        x = functional.batch_norm(
            functional.leaky_relu(x, 0.2),
            stats["mean"],
            stats["var"],
            norm["scale"],
            norm["bias"],
            eps=1e-3,
        )
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = functional.leaky_relu(x @ p["dense0"]["kernel"] + p["dense0"]["bias"], 0.2)
    expected = (x @ p["dense1"]["kernel"] + p["dense1"]["bias"])[:, 0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3)
