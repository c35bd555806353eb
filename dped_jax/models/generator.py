"""The image transformation network: a fully convolutional residual network.

Images are RGB, NHWC, float32 in [0, 1]; outputs lie in 0.5 +- `output_scale` and are not clipped.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from dped_jax.models import baselines, ppcn, unet
from dped_jax.models.layers import BIAS_INIT, INITIALIZERS, Conv, Norm
from dped_jax.pixels import to_float

FIELDS = {  # of config.generator, that an architecture knows
    "resnet": {"num_blocks", "width", "norm", "output_scale", "kernel_init"},
    "unet": {"width", "num_levels", "kernel_init"},
    "ppcn_teacher": {"output_scale", "kernel_init"},
    "ppcn_student": {"output_scale", "kernel_init"},
    "srcnn": {"output_scale", "kernel_init"},
    "identity": set[str](),
}
ARCHITECTURES = tuple(FIELDS)


class Generator(nn.Module):
    """9x9 conv, residual blocks of two 3x3 convs, two 3x3 convs, 9x9 conv (section 3.2.2).

    ReLU follows every conv but the last, whose output z becomes `output_scale * tanh(z) + 0.5`.
    Inside a block conv, norm and ReLU come twice before the block's input is added. The paper uses
    batch norm (convs before it carry no bias), the release instance norm (its biases are kept,
    though they have no effect). All convs are zero-padded to 'SAME' with stride 1.

    The network is a chain of `num_sections` sections, cut before each norm. With instance norm
    `dped_jax.enhance` runs them one by one over the parts of a photograph, with `measured` norms.
    """

    num_blocks: int = 4
    width: int = 64
    norm: str = "batch"
    output_scale: float = 0.58
    kernel_init: str = "truncated_normal"
    dtype: Any = jnp.float32
    measured: bool = False

    stride = 1  # these three are for `enhance.windows`, which serves norms other than instance norm
    statistics = ()

    @property
    def reach(self) -> int:
        """Pixels around it that an output pixel depends on."""
        return 4 + 2 * self.num_blocks + 2 + 4

    def setup(self):
        """Makes the layers; their attributes' names are the parameters'."""

        def conv(features: int, size: int, use_bias: bool = True) -> nn.Conv:
            return Conv(
                features,
                (size, size),
                use_bias=use_bias,
                kernel_init=INITIALIZERS[self.kernel_init],
                bias_init=BIAS_INIT,
                dtype=self.dtype,
            )

        self.conv_first = conv(self.width, 9)
        for i in range(self.num_blocks):
            for j in range(2):
                layer = conv(self.width, 3, use_bias=self.norm != "batch")
                setattr(self, f"block{i}_conv{j}", layer)
                setattr(self, f"block{i}_norm{j}", Norm(self.norm, self.dtype, self.measured))
        self.conv_post0 = conv(self.width, 3)
        self.conv_post1 = conv(self.width, 3)
        self.conv_last = conv(3, 9)

    @property
    def num_sections(self) -> int:
        """One more than there are norms."""
        return 2 * self.num_blocks + 1

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances images.

        Args:
          images: (N, H, W, 3) float32 in [0, 1].
          train: whether batch norm uses the batch's statistics (over the mapped axis "devices")
            and updates the running ones; without effect on instance norm.

        Returns:
          (N, H, W, 3) float32 in 0.5 +- output_scale.
        """
        x, skip = images, None
        for k in range(self.num_sections):
            x, skip = self.section(k, x, skip, train)
        return x

    def section(
        self,
        k: int,
        x: jax.Array,
        skip: jax.Array | None,
        train: bool = False,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Runs the k-th section of the network.

        Args:
          k: below `num_sections`.
          x: the images for k = 0, else the activations that the section before returned.
          skip: the input of the block as the section before returned it; without effect for k = 0,
            handed on for odd k.
          train: as in `__call__`.

        Returns:
          Activations before the next norm and the input of the next norm's block, or the enhanced
          images and None.
        """

        if k == 0:
            x = skip = nn.relu(self.conv_first(x))
        else:
            i, j = divmod(k - 1, 2)
            x = nn.relu(getattr(self, f"block{i}_norm{j}")(x, train))
            if j == 1:
                x = skip = x + skip
        if k + 1 < self.num_sections:
            i, j = divmod(k, 2)
            return getattr(self, f"block{i}_conv{j}")(x), skip
        x = nn.relu(self.conv_post0(x))
        x = nn.relu(self.conv_post1(x))
        z = self.conv_last(x).astype(jnp.float32)
        return self.output_scale * jnp.tanh(z) + 0.5, None


def make_generator(config: ml_collections.ConfigDict) -> nn.Module:
    """Builds the generator that `config.generator` describes.

    Raises:
      ValueError: there is no such architecture.
    """
    options = config.generator
    dtype = jnp.dtype(config.compute_dtype)
    common = {"kernel_init": INITIALIZERS[options.kernel_init], "dtype": dtype}
    if options.architecture == "srcnn":
        return baselines.SRCNN(output_scale=options.output_scale, **common)
    if options.architecture == "identity":
        return baselines.Identity()
    if options.architecture == "unet":
        return unet.UNet(width=options.width, num_levels=options.num_levels, **common)
    if options.architecture in ("ppcn_teacher", "ppcn_student"):
        student = options.architecture == "ppcn_student"
        return ppcn.PPCN(student=student, output_scale=options.output_scale, **common)
    if options.architecture != "resnet":
        raise ValueError(
            f"generator.architecture={options.architecture!r}: use {' or '.join(ARCHITECTURES)}"
        )
    return Generator(
        num_blocks=options.num_blocks,
        width=options.width,
        norm=options.norm,
        output_scale=options.output_scale,
        kernel_init=options.kernel_init,
        dtype=dtype,
    )


def make_eval_step(config: ml_collections.ConfigDict) -> Callable[[Any, jax.Array], jax.Array]:
    """Builds the generator as it is used after training, with batch norm's running statistics.

    The returned `step(variables, images)` enhances (N, H, W, 3) uint8 images to (N, H, W, 3)
    float32, nominally in [0, 1], unclipped.
    """
    generator = make_generator(config)

    def step(variables, images):
        return generator.apply(variables, to_float(images))

    return step
