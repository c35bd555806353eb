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

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances (N, H, W, 3) float32 images in [0, 1]; `train` is without effect."""
        del train
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        bias_init = nn.initializers.constant(0.01)
        x = nn.relu(nn.Conv(64, (9, 9), bias_init=bias_init, name="conv_first", **options)(images))
        x = nn.relu(nn.Conv(32, (5, 5), bias_init=bias_init, name="conv_middle", **options)(x))
        z = nn.Conv(3, (5, 5), use_bias=False, name="conv_last", **options)(x).astype(jnp.float32)
        z = z + self.param("bias_last", bias_init, (1,))
        return self.output_scale * jnp.tanh(z) + 0.5
