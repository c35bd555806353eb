"""VGG-19 up to relu5_4, the feature extractor of the content loss, and readers of its weight files.

Contract: images are RGB, NHWC, float32 with a nominal range of [0, 1], whatever the weights were
trained on. Its parameters are one pytree of float32 arrays, `vgg_params`:

    {"input_scale": (3,), "input_mean": (3,), "conv1_1": {"kernel": (3, 3, in, out) HWIO,
     "bias": (out,)}, … "conv5_4": {…}}

and the network's input is `images * input_scale - input_mean`. Of files that expect BGR, the reader
flips the input channels of conv1_1. The arrays are NumPy's: put them on the devices once, before a
loop. This module does not fetch weights and does not train them.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dped_jax.kernels.convolution import conv_general_dilated
from dped_jax.kernels.pooling import max_pool

_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
Conv = functools.partial(
    nn.Conv, conv_general_dilated=functools.partial(conv_general_dilated, is_exact=False)
)
_CHANNELS = [3] + [channels for convolutions, channels in _BLOCKS for _ in range(convolutions)]
_NAMES = [f"{b}_{i}" for b, (n, _) in enumerate(_BLOCKS, 1) for i in range(1, n + 1)]

VGG19_RELU_LAYERS = tuple(f"relu{name}" for name in _NAMES)
# HWIO. With the biases (out,) they add up to 20,024,384 parameters.
VGG19_KERNEL_SHAPES = {
    f"conv{name}": (3, 3, *_CHANNELS[i : i + 2]) for i, name in enumerate(_NAMES)
}
# Where weights come from; `convert.vgg_files` reads them.
WEIGHT_FILES = (
    "use imagenet-vgg-verydeep-19.mat (vlfeat.org/matconvnet/models), vgg19-dcbb9e9d.pth "
    "(download.pytorch.org/models), model.safetensors (huggingface.co/timm/vgg19.tv_in1k) or "
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 (Keras)"
)


class VGG19(nn.Module):
    """The convolution stack of VGG-19 up to some ReLU layers; later layers are not computed.

    3x3 convolutions with zero 'SAME' padding, 2x2 max pooling with stride 2 and 'SAME' borders, so
    that odd sizes round up (100 → 50 → 25 → 13 → 7). Parameters are named conv1_1 … conv5_4.

    Attributes:
        layers: of "relu1_1" … "relu5_4".
        dtype: of the computation; parameters stay float32.
    """

    layers: tuple[str, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> dict[str, jax.Array]:
        """Features of normalised inputs by layer, (N, H, W, 3) → (N, h, w, C) in `dtype`."""
        for layer in self.layers:
            if layer not in VGG19_RELU_LAYERS:
                raise ValueError(
                    f"unknown VGG-19 layer {layer!r}: one of {', '.join(VGG19_RELU_LAYERS)}"
                )
        features, found = inputs, {}
        depth = 1 + max(map(VGG19_RELU_LAYERS.index, self.layers))
        for name, (*kernel_size, _, channels) in list(VGG19_KERNEL_SHAPES.items())[:depth]:
            if name.endswith("_1") and name != "conv1_1":
                features = max_pool(features)
            conv = Conv(channels, kernel_size, padding="SAME", dtype=self.dtype, name=name)
            features = nn.relu(conv(features))
            layer = name.replace("conv", "relu")
            if layer in self.layers:
                found[layer] = features
        return found


def extract_features(
    vgg_params: dict[str, Any], images: jax.Array, layer: str, dtype: Any = jnp.float32
) -> jax.Array:
    """Activations of one ReLU layer of VGG-19; see `extract_layers`."""
    return extract_layers(vgg_params, images, (layer,), dtype)[layer]


def extract_layers(
    vgg_params: dict[str, Any],
    images: jax.Array,
    layers: tuple[str, ...],
    dtype: Any = jnp.float32,
) -> dict[str, jax.Array]:
    """Activations of ReLU layers of VGG-19 (paper, section 3.1.3: relu5_2; release: relu5_4).

    Args:
        vgg_params: the pytree that `load_vgg_params` returns.
        images: (N, H, W, 3) float32 RGB, nominally in [0, 1].
        layers: of "relu1_1" … "relu5_4".
        dtype: of the convolutions; the input is normalised in float32 before.

    Returns:
        By layer (N, ceil(H / 2^b), ceil(W / 2^b), C) float32, at least 0; b is the layer's block
        less one.

    Raises:
        ValueError: a layer does not exist; the message lists those that do.
    """
    inputs = images * vgg_params["input_scale"] - vgg_params["input_mean"]
    convolutions = {name: vgg_params[name] for name in VGG19_KERNEL_SHAPES}
    features: Any = VGG19(tuple(layers), dtype).apply({"params": convolutions}, inputs)
    return {layer: jnp.asarray(found, jnp.float32) for layer, found in features.items()}
