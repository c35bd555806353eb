"""The image transformation network: a fully convolutional residual network.

Images are RGB, NHWC, float32 in [0, 1]; outputs lie in 0.5 +- `output_scale` and are not clipped.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from dped_jax.models import baselines

INITIALIZERS = {
    "truncated_normal": nn.initializers.truncated_normal(0.01),
    "he_normal": nn.initializers.he_normal(),
}
BIAS_INIT = nn.initializers.constant(0.01)


class Norm(nn.Module):
    """Batch norm over all devices, or instance norm; epsilon 1e-3, two-pass biased variance."""

    kind: str
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises (N, H, W, C); `train` as in `Generator`."""
        if self.kind == "instance":
            norm = nn.InstanceNorm(epsilon=1e-3, use_fast_variance=False, dtype=self.dtype)
            return norm(x)
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.99,
            epsilon=1e-3,
            use_fast_variance=False,
            axis_name="devices" if train else None,
            dtype=self.dtype,
        )(x)


class Generator(nn.Module):
    """9x9 conv, residual blocks of two 3x3 convs, two 3x3 convs, 9x9 conv (section 3.2.2).

    ReLU follows every conv but the last, whose output z becomes `output_scale * tanh(z) + 0.5`.
    Inside a block conv, norm and ReLU come twice before the block's input is added. The paper uses
    batch norm (convs before it carry no bias), the release instance norm (its biases are kept,
    though they have no effect). All convs are zero-padded to 'SAME' with stride 1.
    """

    num_blocks: int = 4
    width: int = 64
    norm: str = "batch"
    output_scale: float = 0.58
    kernel_init: str = "truncated_normal"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances images.

        Args:
          images: (N, H, W, 3) float32 in [0, 1].
          train: whether batch norm uses the batch's statistics (over the mapped axis "devices")
            and updates the running ones; without effect on instance norm.

        Returns:
          (N, H, W, 3) float32 in 0.5 +- output_scale.
        """

        def conv(features: int, size: int, name: str, use_bias: bool = True) -> nn.Conv:
            return nn.Conv(
                features,
                (size, size),
                use_bias=use_bias,
                kernel_init=INITIALIZERS[self.kernel_init],
                bias_init=BIAS_INIT,
                dtype=self.dtype,
                name=name,
            )

        x = nn.relu(conv(self.width, 9, "conv_first")(images))
        for i in range(self.num_blocks):
            skip = x
            for j in range(2):
                name = f"block{i}_conv{j}"
                x = conv(self.width, 3, name, use_bias=self.norm == "instance")(x)
                x = nn.relu(Norm(self.norm, self.dtype, name=f"block{i}_norm{j}")(x, train))
            x = x + skip
        x = nn.relu(conv(self.width, 3, "conv_post0")(x))
        x = nn.relu(conv(self.width, 3, "conv_post1")(x))
        z = conv(3, 9, "conv_last")(x).astype(jnp.float32)
        return self.output_scale * jnp.tanh(z) + 0.5


def make_generator(config: ml_collections.ConfigDict) -> nn.Module:
    """Builds the generator that `config.generator` describes.

    Raises:
      ValueError: a field has a value that this program does not know.
    """
    options = config.generator
    dtype = jnp.dtype(config.compute_dtype)
    if options.kernel_init not in INITIALIZERS:
        raise ValueError(
            f"generator.kernel_init={options.kernel_init!r}: use one of {sorted(INITIALIZERS)}"
        )
    if options.architecture == "srcnn":
        return baselines.SRCNN(
            output_scale=options.output_scale,
            kernel_init=INITIALIZERS[options.kernel_init],
            dtype=dtype,
        )
    if options.architecture != "resnet":
        raise ValueError(f"generator.architecture={options.architecture!r}: use resnet or srcnn")
    if options.norm not in ("batch", "instance"):
        raise ValueError(f"generator.norm={options.norm!r}: use batch or instance")
    return Generator(
        num_blocks=options.num_blocks,
        width=options.width,
        norm=options.norm,
        output_scale=options.output_scale,
        kernel_init=options.kernel_init,
        dtype=dtype,
    )
