"""Networks that the paper compares with. Images are RGB, NHWC, float32 in [0, 1]."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class SRCNN(nn.Module):
    """Dong et al. as a baseline (section 4.1): convs 9-5-5, 64 and 32 channels, ReLU between.

    As released with the PIRM-2018 kit: zero 'SAME' padding, one scalar bias for all channels of the
    last conv, output `output_scale * tanh(z) + 0.5`.
    """

    output_scale: float = 0.58
    kernel_init: Callable[..., jax.Array] = nn.initializers.truncated_normal(0.01)
    dtype: Any = jnp.float32

    stride = 1  # these three are for `enhance.windows`
    reach = 4 + 2 + 2
    statistics = ()

    def setup(self):
        """Makes the layers; their attributes' names are the parameters'."""
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        bias_init = nn.initializers.constant(0.01)
        self.conv_first = nn.Conv(64, (9, 9), bias_init=bias_init, **options)
        self.conv_middle = nn.Conv(32, (5, 5), bias_init=bias_init, **options)
        self.conv_last = nn.Conv(3, (5, 5), use_bias=False, **options)
        self.bias_last = self.param("bias_last", bias_init, (1,))

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances (N, H, W, 3) float32 images in [0, 1]; `train` is without effect."""
        del train
        x = nn.relu(self.conv_first(images))
        x = nn.relu(self.conv_middle(x))
        z = self.conv_last(x).astype(jnp.float32) + self.bias_last
        return self.output_scale * jnp.tanh(z) + 0.5


class Identity(nn.Module):
    """Leaves images as they are, to train a discriminator on the phone's own (section 3.1.2).

    Its one parameter is the constant 1: a model without arrays cannot be saved.
    """

    stride = 1
    reach = 0
    statistics = ()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Returns the images; `train` is without effect."""
        del train
        return images * jax.lax.stop_gradient(self.param("one", nn.initializers.ones, (1,)))
