"""The generators as ONNX graphs: what `dped_jax.models` computes, layer by layer.

Images are (N, C, H, W); parameters go by the names that the networks of `dped_jax.models` give.
"""

import flax.linen as nn
import numpy as np

from dped_jax.export.graph import Graph
from dped_jax.models.baselines import SRCNN, Identity
from dped_jax.models.generator import Generator
from dped_jax.models.ppcn import CONTRAST, PPCN
from dped_jax.models.unet import THUMBNAIL, WINDOW, UNet


def enhance(g: Graph, network: nn.Module, images: str) -> str:
    """Adds a network; the value it returns is that of the enhanced images."""
    if isinstance(network, UNet):
        return _unet(g, network, images)
    if isinstance(network, PPCN):
        return _ppcn(g, network, images)
    if isinstance(network, SRCNN):
        return _srcnn(g, network, images)
    if isinstance(network, Generator):
        x, skip = images, images
        for k in range(network.num_sections):
            x, skip = section(g, network, k, x, skip)
        return x
    assert isinstance(network, Identity)
    return g.op("Mul", images, g.param("one"))


def section(g: Graph, network: Generator, k: int, x: str, skip: str) -> tuple[str, str]:
    """Adds the k-th section of a `Generator`; arguments and result as of its `section`."""
    if k == 0:
        x = skip = g.op("Relu", g.conv("conv_first", x))
    else:
        i, j = divmod(k - 1, 2)
        x = g.op("Relu", g.norm(f"block{i}_norm{j}", network.norm, x))
        if j == 1:
            x = skip = g.op("Add", x, skip)
    if k + 1 < network.num_sections:
        i, j = divmod(k, 2)
        return g.conv(f"block{i}_conv{j}", x), skip
    for name in ("conv_post0", "conv_post1"):
        x = g.op("Relu", g.conv(name, x))
    return g.tanh(g.conv("conv_last", x), network.output_scale), skip


def _srcnn(g: Graph, network: SRCNN, images: str) -> str:
    x = g.op("Relu", g.conv("conv_first", images))
    x = g.op("Relu", g.conv("conv_middle", x))
    z = g.op("Add", g.conv("conv_last", x), g.param("bias_last"))
    return g.tanh(z, network.output_scale)


def _ppcn(g: Graph, network: PPCN, images: str) -> str:
    convs = norms = 0

    def leaky_relu(x: str) -> str:
        return g.op("LeakyRelu", x, alpha=0.05)

    def conv(x: str, dilation: int = 1) -> str:
        nonlocal convs
        convs += 1
        return g.conv(f"conv{convs - 1}", x, dilation=dilation)

    def norm(x: str) -> str:
        nonlocal norms
        norms += 1
        return g.norm(f"norm{norms - 1}", "instance", x)

    def block(x: str, dilation: int) -> str:
        y = leaky_relu(norm(conv(x, dilation)))
        return g.op("Add", norm(conv(y, dilation)), x)

    mean = g.mean(images)
    x = g.op("Mul", g.op("Sub", images, mean), g.constant(CONTRAST))
    x = leaky_relu(conv(g.op("Add", x, mean)))
    x = first = leaky_relu(conv(x))
    if network.student:
        x = leaky_relu(norm(conv(x, 2)))
        x = g.op("Add", leaky_relu(norm(conv(x, 2))), first)
    else:
        x = block(first, 1)
        x = g.op("Concat", x, block(x, 2), axis=1)
        x = leaky_relu(conv(x))
    return g.tanh(conv(x), network.output_scale)


def _unet(g: Graph, network: UNet, images: str) -> str:
    border = g.constant([0, 0, 1, 1] * 2, np.int64)

    def leaky_relu(x: str) -> str:
        return g.op("LeakyRelu", x, alpha=0.2)

    def conv(name: str, x: str, strides: int = 1) -> str:
        return g.conv(name, g.extend(x, border), strides=strides, same=False)

    def two_convs(name: str, x: str, strides: int = 1) -> str:
        x = leaky_relu(conv(f"{name}_conv0", x, strides))
        return leaky_relu(conv(f"{name}_conv1", x))

    size = g.size(images)
    stride = g.constant([network.stride], np.int64)
    beyond = g.op("Mod", g.op("Neg", size), stride)
    zeros = g.constant([0] * 6, np.int64)
    pixels = g.extend(images, g.op("Concat", zeros, beyond, axis=0))
    pixels = g.op("Sub", pixels, g.constant(0.5))

    levels = [two_convs("down0", g.op("SpaceToDepth", pixels, blocksize=2))]
    for i in range(1, network.num_levels):
        levels.append(two_convs(f"down{i}", levels[-1], strides=2))
    x = levels[-1]

    side = [THUMBNAIL, THUMBNAIL]
    thumbnail = g.op("AveragePool", pixels, kernel_shape=side, strides=side)
    means = g.window_means(two_convs("thumbnail", thumbnail), WINDOW)
    vector = g.mean(g.op("Relu", g.dense("thumbnail_dense", means)), THUMBNAIL)
    x = leaky_relu(g.op("Add", g.dense("join", x), g.dense("join_vector", vector)))

    scales = g.constant([1, 1, 2, 2])
    options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    for i in reversed(range(network.num_levels - 1)):
        x = g.op("Resize", x, "", scales, **options)
        x = two_convs(f"up{i}", g.op("Concat", x, levels[i], axis=1))
    x = conv("last", g.op("Mul", x, levels[0]))
    correction = g.op("DepthToSpace", x, blocksize=2, mode="DCR")
    correction = g.crop(correction, g.constant([0, 0], np.int64), size)
    return g.op("Add", images, correction)
