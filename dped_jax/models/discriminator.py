"""The two discriminators. They see grayscale images only, NHWC, float32 in [0, 1]."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from dped_jax.models.layers import BIAS_INIT, INITIALIZERS, Conv, Norm


def to_grayscale(images: jax.Array) -> jax.Array:
    """Luma 0.2989 R + 0.5870 G + 0.1140 B (as the release): (N, H, W, 3) to (N, H, W, 1)."""
    return images @ jnp.array([[0.2989], [0.5870], [0.1140]], images.dtype)


class PaperDiscriminator(nn.Module):
    """The paper's discriminator: of two images at once, or its counterpart of one (section 3.1.2).

    Six 3x3 convs (kernel size unstated) of 64, 64, 128, 128, 256, 256 channels, the second of each
    two with stride 2, each followed by LeakyReLU and batch norm; fully connected 1024 and 1.
    Initial weights are He normal (unstated).
    """

    width: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Tells which of two images is the DSLR's, or whether a single one is.

        Args:
          images: (N, H, W, 2) float32 in [0, 1]: two grayscale images as channels; or (N, H, W, 1).
          train: see `Generator`.

        Returns:
          (N,) float32 logits of "the first channel is the DSLR image".
        """
        x = images
        kernel_init = INITIALIZERS["he_normal"]
        for i, features in enumerate((64, 64, 128, 128, 256, 256)):
            strides = 1 + i % 2
            x = Conv(
                round(features * self.width),
                (3, 3),
                strides,
                kernel_init=kernel_init,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            x = Norm("batch", self.dtype, name=f"norm{i}")(nn.leaky_relu(x, 0.2), train)
        x = x.reshape(x.shape[0], -1)
        hidden = nn.Dense(
            round(1024 * self.width), kernel_init=kernel_init, dtype=self.dtype, name="dense0"
        )(x)
        logits = nn.Dense(1, dtype=self.dtype, name="dense1")(nn.leaky_relu(hidden, 0.2))
        return logits[:, 0].astype(jnp.float32)


class SingleChannelDiscriminator(nn.Module):
    """The release's discriminator of one image.

    Convs 48 k11 s4 (no norm), 128 k5 s2, 192 k3, 192 k3, 128 k3 s2, each LeakyReLU then instance
    norm; fully connected 1024 and 2. 7,361,122 parameters on 100x100 images at width 1.
    """

    width: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Tells a DSLR image from another.

        Args:
          images: (N, H, W, 1) float32 in [0, 1].
          train: without effect.

        Returns:
          (N,) float32 logits of "this is a DSLR image".
        """
        options = {
            "kernel_init": INITIALIZERS["truncated_normal"],
            "bias_init": BIAS_INIT,
            "dtype": self.dtype,
        }
        x = images
        layers = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
        for i, (features, size, strides) in enumerate(layers):
            width = round(features * self.width)
            x = Conv(width, (size, size), strides, name=f"conv{i}", **options)(x)
            x = nn.leaky_relu(x, 0.2)
            if i > 0:
                x = Norm("instance", self.dtype, name=f"norm{i}")(x, train)
        x = x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(nn.Dense(round(1024 * self.width), name="dense0", **options)(x), 0.2)
        # Softmax over two columns is a sigmoid of their difference; column 0 is P(DSLR).
        columns = nn.Dense(2, name="dense1", **options)(x).astype(jnp.float32)
        return columns[:, 0] - columns[:, 1]


ARCHITECTURES = {
    "bi_channel": PaperDiscriminator,
    "counterpart": PaperDiscriminator,
    "single_channel": SingleChannelDiscriminator,
}


def make_discriminator(config: ml_collections.ConfigDict) -> nn.Module:
    """Builds the discriminator that `config.discriminator` describes.

    Raises:
      ValueError: there is no such architecture.
    """
    name, width = config.discriminator.architecture, config.discriminator.width
    if name not in ARCHITECTURES:
        raise ValueError(f"discriminator.architecture={name!r}: use {' or '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](width=width, dtype=jnp.dtype(config.compute_dtype))
