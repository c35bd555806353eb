"""The U-Net against PyTorch's layers, and what its attributes promise to the tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional

from dped_jax.experiments import multiply_adds
from dped_jax.models import unet
from dped_jax.models.generator import make_generator


def random_unet(**fields):
    config, variables = tiny.random_generator(architecture="unet", **fields)
    return make_generator(config), variables


def images(*shape, seed=0):
    return np.random.default_rng(seed).random((2, *shape, 3)).astype("f4")


def in_torch(params, x, levels):
    """The network written once more, NCHW, for sizes that are multiples of its stride."""

    def conv(name, x, stride=1):
        kernel = torch.tensor(np.array(params[name]["kernel"])).permute(3, 2, 0, 1)
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(x, kernel, torch.tensor(np.array(params[name]["bias"])), stride)

    def act(x):
        return functional.leaky_relu(x, 0.2)

    def both(name, x, stride=1):
        return act(conv(f"{name}_conv1", act(conv(f"{name}_conv0", x, stride))))

    def dense(name, x):
        kernel = torch.tensor(np.array(params[name]["kernel"]))
        bias = torch.tensor(np.array(params[name].get("bias", 0)))
        return torch.einsum("nihw,io->nohw", x, kernel) + bias[..., None, None]

    x = torch.tensor(x).permute(0, 3, 1, 2)
    images, pixels = x, x - 0.5
    # PyTorch's pixel_unshuffle has the channels outside the block, this network inside.
    n, c, h, w = pixels.shape
    blocks = functional.pixel_unshuffle(pixels, 2).reshape(n, c, 4, h // 2, w // 2)
    features = [both("down0", blocks.transpose(1, 2).reshape(n, 4 * c, h // 2, w // 2))]
    for i in range(1, levels):
        features.append(both(f"down{i}", features[-1], 2))
    thumbnail = both("thumbnail", functional.avg_pool2d(pixels, 8))
    size = [min(13, n) for n in thumbnail.shape[2:]]
    vectors = torch.relu(dense("thumbnail_dense", functional.avg_pool2d(thumbnail, size, 1)))
    vector = vectors.mean((2, 3), keepdim=True)
    x = act(dense("join", features[-1]) + dense("join_vector", vector))
    for i in reversed(range(levels - 1)):
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = both(f"up{i}", torch.cat([x, features[i]], 1))
    x = conv("last", x * features[0])
    x = x.reshape(n, 4, c, h // 2, w // 2).transpose(1, 2).reshape(n, 4 * c, h // 2, w // 2)
    return (images + functional.pixel_shuffle(x, 2)).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_network_agrees_with_pytorch(levels):
    network, variables = random_unet(num_levels=levels)
    x = images(96, 144)  # rows of one window, columns of several
    found = network.apply(variables, x)
    assert np.abs(found - x).max() > 0.1
    np.testing.assert_allclose(found, in_torch(variables["params"], x, levels), atol=1e-5)


def test_other_sizes_are_extended_by_their_last_pixels():
    network, variables = random_unet()
    for height, width in ((1, 1), (7, 16), (33, 41)):
        x = images(height, width)
        beyond = [(0, 0), (0, -height % 8), (0, -width % 8), (0, 0)]
        whole = network.apply(variables, np.pad(x, beyond, mode="edge"))
        np.testing.assert_array_equal(network.apply(variables, x), whole[:, :height, :width])


def test_training_starts_from_the_images_as_they_are():
    network = unet.UNet(width=4)
    x = images(24, 16)
    np.testing.assert_array_equal(network.init_with_output(jax.random.PRNGKey(0), x)[0], x)


@pytest.mark.parametrize("levels", [1, 3])
def test_a_pixel_reaches_no_further_than_stated(levels):
    network, variables = random_unet(num_levels=levels, width=2)
    size = 2 * network.reach + 2 * network.stride
    x = images(size, size)[:1]
    mean = {"mean": jnp.ones(unet.GLOBAL_WIDTH), "var": jnp.ones(unet.GLOBAL_WIDTH)}
    stats = {"batch_stats": {"vector_mean": {"photo": mean}}}
    network = network.clone(measured=True)
    apply = jax.jit(lambda x: network.apply(variables | stats, x)[0].max(axis=-1))
    furthest = 0
    for offset in range(network.stride):
        at = size // 2 + offset
        changed = apply(x) != apply(x.copy() + (np.arange(size) == at)[None, :, None, None])
        rows = np.flatnonzero(changed.any(axis=1))
        furthest = max(furthest, at - rows.min(), rows.max() - at)
    assert network.reach - network.stride <= furthest + network.stride
    assert furthest <= network.reach


@pytest.mark.parametrize(
    ("levels", "width", "params", "macs"),
    [(2, 16, 42_220, 4_829.5), (2, 12, 29_524, 2_947.5), (3, 12, 84_028, 4_729.5)],
)
def test_size_and_cost(levels, width, params, macs):
    """Levels of w, 2w, 4w channels at 1/4, 1/16, 1/64 of the pixels; 3x3 convs but for join.

    Kernels at level 0: 12·w, w·w, (2w + w)·w, w·w and w·12. At level 1: w·2w and 2w·2w, and on the
    way up, which the lowest level has not, (4w + 2w)·2w and 2w·2w. At level 2: 2w·4w and 4w·4w. Of
    1x1 at the lowest level: from its channels to as many. The thumbnail's two: 3·32 and 32·32.
    """
    w, g, lowest = width, 32, width * 2 ** (levels - 1)
    level0, level1, level2 = 24 * w + 5 * w * w, 6 * w * w, 0
    if levels == 3:
        level1, level2 = level1 + 16 * w * w, 24 * w * w
    thumbnail, join, dense = 3 * g + g * g, lowest * lowest, g * g + g * lowest
    biases = 4 * w + 12 + 4 * w + 3 * g + lowest + (4 * w + 8 * w if levels == 3 else 0)
    kernels = 9 * (level0 + level1 + level2 + thumbnail) + join + dense
    network = unet.UNet(width=width, num_levels=levels)
    variables = network.init(jax.random.PRNGKey(0), images(8, 8))
    assert kernels + biases == params
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == params
    expected = 9 * (level0 / 4 + level1 / 16 + (level2 + thumbnail) / 64) + join / 4**levels
    assert expected == macs
    # A vector is made of each window. Convs compute a row and a column more on each side, of the
    # thumbnail, the smallest, n + 2 for n.
    n = multiply_adds.SIDE // 8
    exact = expected + ((n - 12) ** 2 * g * g + g * lowest) / multiply_adds.SIDE**2
    assert exact <= multiply_adds.macs_per_pixel(network) <= exact * (1 + 2 / n) ** 2
