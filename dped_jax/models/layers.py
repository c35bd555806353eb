"""What several networks are made of: convolutions, initialisers and norms."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dped_jax.kernels.convolution import conv_general_dilated

INITIALIZERS = {
    "truncated_normal": nn.initializers.truncated_normal(0.01),
    "he_normal": nn.initializers.he_normal(),
}
Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
DEVICES = "devices"  # the axis over which a training step is mapped
NORMS = ("batch", "instance", "none")
BIAS_INIT = nn.initializers.constant(0.01)


class Norm(nn.Module):
    """Batch norm over all devices, instance norm, or none; epsilon 1e-3, two-pass biased variance.

    With `measured`, instance norm takes mean and variance from the collection `batch_stats`, where
    somebody has put those of a whole photograph, instead of its input's. Its input is sown as
    `entering`, for them to be measured.
    """

    kind: str
    dtype: Any = jnp.float32
    measured: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises (N, H, W, C); `train` as in `Generator`. An unknown kind: ValueError."""
        if self.kind not in NORMS:
            raise ValueError(f"norm {self.kind!r}: use {' or '.join(NORMS)}")
        options = {"epsilon": 1e-3, "use_fast_variance": False, "dtype": self.dtype}
        if self.kind == "none":
            return x
        if self.kind == "instance":
            self.sow("entering", "InstanceNorm_0_input", x)
        if self.kind == "instance" and not self.measured:
            return nn.InstanceNorm(**options)(x)
        name = "InstanceNorm_0" if self.kind == "instance" else None
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.99,
            axis_name=DEVICES if train else None,
            name=name,
            **options,
        )(x)


class WholeMean(nn.Module):
    """Mean of each channel over the whole image; `measured` as in `Norm`."""

    measured: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) to (N, 1, 1, C) float32."""
        self.sow("entering", "photo_input", x)
        if self.measured:
            mean = self.get_variable("batch_stats", "photo")["mean"]
            return jnp.broadcast_to(mean, (x.shape[0], 1, 1, x.shape[-1]))
        return jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32)
