"""PPCN, teacher and student: networks of the PIRM 2018 challenge for phones (Hui et al.).

Images are RGB, NHWC, float32 in [0, 1]; outputs lie in 0.5 +- `output_scale` and are not clipped.
Built as the authors' checkpoints have them, which `dped_jax.convert` imports.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dped_jax.models.layers import BIAS_INIT, Norm, WholeMean

CONTRAST = 1.2


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.05)


class PPCN(nn.Module):
    """Convs of 1x7 and 7x1 pixels, one or two blocks with instance norm, and a last 3x3 conv.

    The contrast of the input is raised around its mean in each channel. The teacher's blocks are
    two 3x3 convs, with norm after each and LeakyReLU between, and the block's input is added; the
    second block's have dilation 2, and a 1x1 conv joins the results of both. The student has one
    block of 1x7 and 7x1 convs with dilation 2. Zero 'SAME' padding; the last output z becomes
    `output_scale * tanh(z) + 0.5`.
    """

    student: bool = False
    output_scale: float = 0.58
    kernel_init: Callable[..., jax.Array] = nn.initializers.truncated_normal(0.01)
    dtype: Any = jnp.float32
    measured: bool = False

    stride = 1  # these three are for `enhance.windows`
    reach = 10  # 3 of the first convs, 6 of the blocks (2 + 4, or 3 with dilation 2), 1 of the last

    @property
    def statistics(self) -> tuple[tuple[str, int, int], ...]:
        """What takes statistics of the whole image, in order; all of single pixels."""
        norms = [f"norm{k}" for k in range(2 if self.student else 4)]
        return tuple((name, 1, 1) for name in ("mean", *norms))

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances images.

        Args:
          images: (N, H, W, 3) float32 in [0, 1].
          train: without effect.

        Returns:
          (N, H, W, 3) float32 in 0.5 +- output_scale.
        """
        convs = norms = 0

        def conv(x: jax.Array, features: int, size: tuple[int, int], dilation: int = 1):
            nonlocal convs
            convs += 1
            return nn.Conv(
                features,
                size,
                kernel_dilation=dilation,
                dtype=self.dtype,
                kernel_init=self.kernel_init,
                bias_init=BIAS_INIT,
                name=f"conv{convs - 1}",
            )(x)

        def norm(x: jax.Array) -> jax.Array:
            nonlocal norms
            norms += 1
            return Norm("instance", self.dtype, self.measured, name=f"norm{norms - 1}")(x, train)

        def block(x: jax.Array, dilation: int) -> jax.Array:
            y = _leaky_relu(norm(conv(x, 32, (3, 3), dilation)))
            return norm(conv(y, 16, (3, 3), dilation)) + x

        mean = WholeMean(self.measured, name="mean")(images)
        x = (images - mean) * CONTRAST + mean
        width = 8 if self.student else 16
        x = _leaky_relu(conv(x, width, (1, 7)))
        x = first = _leaky_relu(conv(x, width, (7, 1)))
        if self.student:
            x = _leaky_relu(norm(conv(x, 16, (1, 7), 2)))
            x = _leaky_relu(norm(conv(x, 8, (7, 1), 2))) + first
        else:
            x = block(first, 1)
            x = jnp.concatenate([x, block(x, 2)], axis=-1)
            x = _leaky_relu(conv(x, 16, (1, 1)))
        z = conv(x, 3, (3, 3)).astype(jnp.float32)
        return self.output_scale * jnp.tanh(z) + 0.5
