"""A U-Net for phones: a few thousand multiply-adds a pixel, all at half resolution or less.

Images are RGB, NHWC, float32 in [0, 1]. The output is the input plus a correction: near [0, 1], not
clipped. Sizes that are no multiple of `stride` are extended at the bottom and on the right, and the
result is cut back; the last pixel is repeated there, as beyond all borders.

The whole image enters in one place: as the mean of a vector made of each of its windows of 100x100
pixels, as patches are. (Made of the whole at once it leaves photographs darker than their patches.)
All else is local, so that a photograph can be enhanced in parts once that mean is known.
"""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dped_jax.kernels.resampling import conv_of_extended, extend, upsample
from dped_jax.models.layers import BIAS_INIT, Conv, WholeMean

THUMBNAIL = 8  # pixels of the image to one of its thumbnail, in each direction
GLOBAL_WIDTH = 32  # channels of its features
WINDOW = 13  # pixels of the thumbnail that hold a patch of 100x100, in each direction


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


def space_to_depth(x: jax.Array) -> jax.Array:
    """Makes channels of blocks of 2x2 pixels: (N, 2H, 2W, C) to (N, H, W, 4C)."""
    n, rows, columns, channels = x.shape
    x = x.reshape(n, rows // 2, 2, columns // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows // 2, columns // 2, 4 * channels)


def depth_to_space(x: jax.Array) -> jax.Array:
    """The inverse of `space_to_depth`."""
    n, rows, columns, channels = x.shape
    x = x.reshape(n, rows, columns, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * rows, 2 * columns, channels // 4)


def _window_means(x: jax.Array, axis: int) -> jax.Array:
    """Means of `WINDOW` neighbours along an axis, of all if there are fewer; none reach beyond.

    Sizes may be symbols, as exporting has them.
    """
    size, side = x.shape[axis], tuple(WINDOW if i == axis else 1 for i in (1, 2))
    sums = nn.pool(x, 0.0, jax.lax.add, side, (1, 1), tuple((0, n - 1) for n in side))
    inside = jax.lax.slice_in_dim(sums, 0, jax.core.max_dim(size - WINDOW + 1, 1), axis=axis)
    return inside / jnp.float32(jax.core.min_dim(size, WINDOW))


class UNet(nn.Module):
    """Levels of two 3x3 convs each at 1/2, 1/4, ... of the resolution, down and up again.

    Pixels come in and go out as blocks of 2x2. Each level halves the resolution by a stride and
    doubles the channels; LeakyReLU throughout, no norm. Two 3x3 convs make features of the
    thumbnail, a dense layer a vector of their mean in each window (an image smaller than a window
    is one); the mean of these joins the lowest level. On the way up, the level below is upsampled
    bilinearly and joined with the features of the way down. The last features are multiplied with
    the first, as in RSGUNet (Huang et al., PIRM 2018), and a 3x3 conv gives the correction.
    """

    width: int = 16
    num_levels: int = 2
    kernel_init: Callable[..., jax.Array] = nn.initializers.he_normal()
    dtype: Any = jnp.float32
    measured: bool = False
    shrunk: bool = False  # images are thumbnails already, and only the vector is computed

    thumbnail = THUMBNAIL  # this and what follows: `enhance.windows`

    @property
    def statistics(self) -> tuple[tuple[str, int, int], ...]:
        """What takes statistics of the whole image."""
        return (("vector_mean", 1 if self.shrunk else THUMBNAIL, WINDOW),)

    @property
    def stride(self) -> int:
        """Pixels of the grid that the network computes on: of its lowest level, its thumbnail."""
        return 1 if self.shrunk else max(2**self.num_levels, THUMBNAIL)

    @property
    def reach(self) -> int:
        """Pixels around it that an output pixel depends on, or more."""
        if self.shrunk:
            return 2
        sides = [2 ** (i + 1) for i in range(self.num_levels)]  # of a level's pixel
        down = 2 * sides[0] + sum(a + b for a, b in itertools.pairwise(sides))
        up = sum(2 * a + b for a, b in itertools.pairwise(sides)) + sides[0]
        # Counted from the lowest level's pixel that holds the output pixel, at either end of it.
        return max(down + up + sides[-1] - 1, 2 * THUMBNAIL)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Enhances images.

        Args:
          images: (N, H, W, 3) float32 in [0, 1].
          train: without effect.

        Returns:
          (N, H, W, 3) float32, nominally in [0, 1].
        """
        del train

        def conv(name: str, x: jax.Array, features: int, **options: Any) -> jax.Array:
            given = {"kernel_init": self.kernel_init, "bias_init": BIAS_INIT, "dtype": self.dtype}
            if self.measured:  # no gradient is asked for
                given |= {"padding": (1, 1), "conv_general_dilated": conv_of_extended}
                return Conv(features, (3, 3), name=name, **given | options)(x)
            layer = Conv(features, (3, 3), padding="VALID", name=name, **given | options)
            return layer(extend(x, (1, 1), (1, 1)))

        def two_convs(name: str, x: jax.Array, features: int, strides: int = 1) -> jax.Array:
            x = _leaky_relu(conv(f"{name}_conv0", x, features, strides=strides))
            return _leaky_relu(conv(f"{name}_conv1", x, features))

        def dense(name: str, x: jax.Array, features: int, use_bias: bool = True) -> jax.Array:
            options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
            return nn.Dense(features, use_bias=use_bias, name=name, **options)(x)

        height, width = images.shape[1:3]
        pixels = extend(images, (0, -height % self.stride), (0, -width % self.stride)) - 0.5
        widths = [self.width * 2**i for i in range(self.num_levels)]

        size = (1, 1) if self.shrunk else (THUMBNAIL, THUMBNAIL)
        thumbnail = two_convs("thumbnail", nn.avg_pool(pixels, size, size), GLOBAL_WIDTH)
        for axis in (1, 2):
            thumbnail = _window_means(thumbnail.astype(jnp.float32), axis)
        vectors = nn.relu(dense("thumbnail_dense", thumbnail, GLOBAL_WIDTH))
        vector = WholeMean(self.measured, name="vector_mean")(vectors)
        if self.shrunk:
            return images

        levels = [two_convs("down0", space_to_depth(pixels), widths[0])]
        for i, features in enumerate(widths[1:], start=1):
            levels.append(two_convs(f"down{i}", levels[-1], features, strides=2))

        vector = dense("join_vector", vector, widths[-1], use_bias=False)
        x = _leaky_relu(dense("join", levels[-1], widths[-1]) + vector)

        for i in reversed(range(self.num_levels - 1)):
            x = jnp.concatenate([upsample(x), levels[i]], axis=-1)
            x = two_convs(f"up{i}", x, widths[i])
        zeros = nn.initializers.zeros_init()  # the training starts from the image as it is
        x = conv("last", x * levels[0], 12, kernel_init=zeros, bias_init=zeros)
        correction = depth_to_space(x)[:, :height, :width].astype(jnp.float32)
        return images + correction
