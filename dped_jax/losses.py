"""The loss terms of the paper (section 3.1) and of the authors' release.

Images are RGB, NHWC, float32 in [0, 1] (enhanced ones may leave that range a little). Every
function returns one value per example, (N,) float32, unweighted; the train step weights and reduces
them over the global batch, once. Names beginning with `release_` are the release's definitions.
Arrays of another shape, dtype or range are a ValueError.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from dped_jax import metrics
from dped_jax.pixels import check_images


def gaussian_kernel(size: int, sigma: float, amplitude: float) -> np.ndarray:
    """The factor g of the separable blur kernel G = g g^T (eq. 4).

    Args:
      size: extent in pixels, odd.
      sigma: standard deviation in pixels.
      amplitude: A of eq. 4; the printed 0.053 makes G sum to 2.99. 0 normalises the sum to 1.

    Returns:
      (size,) float64.
    """
    k = np.arange(size) - size // 2
    kernel = np.exp(-(k**2) / (2 * sigma**2))
    return kernel * np.sqrt(amplitude) if amplitude else kernel / kernel.sum()


def release_blur_kernel() -> np.ndarray:
    """The factor g, (21,) float64, of the release's blur kernel G = g g^T, which sums to 1.

    The release takes the square root of an outer product of Gaussian bin masses, so its kernel is
    wider than sigma 3: about 4.7 pixels.
    """
    size, num_sigmas = 21, 3
    half = num_sigmas + (2 * num_sigmas + 1) / size / 2
    masses = np.diff(scipy.special.ndtr(np.linspace(-half, half, size + 1)))
    return np.sqrt(masses) / np.sqrt(masses).sum()


def blur(images: jax.Array, kernel: np.ndarray) -> jax.Array:
    """Blurs with the separable kernel g g^T and zero 'SAME' padding (eq. 3).

    Args:
      images: (N, H, W, C) float32.
      kernel: (size,) factor g, size odd.

    Returns:
      (N, H, W, C) float32.
    """

    def band_matrix(length: int) -> jax.Array:
        rows = [np.eye(length, k=k - len(kernel) // 2) * g for k, g in enumerate(kernel)]
        return jnp.asarray(np.sum(rows, axis=0), jnp.float32)

    down, across = band_matrix(images.shape[1]), band_matrix(images.shape[2])
    # Products with band matrices: on every backend faster than convolving single channels.
    highest = jax.lax.Precision.HIGHEST
    images = jnp.einsum("ih,nhwc->niwc", down, images, precision=highest)
    return jnp.einsum("jw,nhwc->nhjc", across, images, precision=highest)


def _sum_of_squares(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(x), axis=(1, 2, 3))


def _norm(x: jax.Array) -> jax.Array:
    """Euclidean norm per example with gradient 0, not NaN, at 0."""
    squares = _sum_of_squares(x)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def mse_loss(enhanced: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error over pixels and channels (section 4.1, appendix 9)."""
    check_images(enhanced, target)
    return jnp.mean(jnp.square(enhanced - target), axis=(1, 2, 3))


def l1_loss(enhanced: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error over pixels and channels."""
    check_images(enhanced, target)
    return jnp.mean(jnp.abs(enhanced - target), axis=(1, 2, 3))


def ssim_loss(enhanced: jax.Array, target: jax.Array) -> jax.Array:
    """1 - SSIM as `metrics.ssim` has it, in [0, 1]: a negative SSIM counts as 0."""
    return 1 - jnp.maximum(metrics.ssim(enhanced, target), 0)


def ms_ssim_loss(enhanced: jax.Array, target: jax.Array) -> jax.Array:
    """1 - MS-SSIM as `metrics.ms_ssim` has it, in [0, 1]; sides of at least 16 pixels."""
    return 1 - metrics.ms_ssim(enhanced, target)


def color_loss(enhanced: jax.Array, target: jax.Array, kernel: np.ndarray) -> jax.Array:
    """Squared distance of the blurred images, summed (eq. 2); `kernel` as `blur` takes it."""
    check_images(enhanced, target)
    return _sum_of_squares(blur(enhanced - target, kernel))


def release_color_loss(enhanced: jax.Array, target: jax.Array) -> jax.Array:
    """Half the squared distance of the images blurred with the release's kernel."""
    return color_loss(enhanced, target, release_blur_kernel()) / 2


def content_loss(enhanced_features: jax.Array, target_features: jax.Array) -> jax.Array:
    """Distance of VGG features, not squared, over C*H*W (eq. 6); its gradient at 0 is 0.

    Args:
      enhanced_features: (N, H, W, C) float32.
      target_features: the same shape.
    """
    size = np.prod(enhanced_features.shape[1:])
    return _norm(enhanced_features - target_features) / size


def release_content_loss(enhanced_features: jax.Array, target_features: jax.Array) -> jax.Array:
    """Squared distance of VGG features over C*H*W; arguments as `content_loss`."""
    size = np.prod(enhanced_features.shape[1:])
    return _sum_of_squares(enhanced_features - target_features) / size


def total_variation_loss(enhanced: jax.Array) -> jax.Array:
    """Norm of the sum of both gradients over C*H*W (eq. 7), where both neighbours exist."""
    check_images(enhanced)
    corner = enhanced[:, :-1, :-1]
    gradients = (enhanced[:, :-1, 1:] - corner) + (enhanced[:, 1:, :-1] - corner)
    return _norm(gradients) / np.prod(enhanced.shape[1:])


def release_total_variation_loss(enhanced: jax.Array) -> jax.Array:
    """Mean squared horizontal difference plus mean squared vertical difference."""
    check_images(enhanced)
    across = jnp.mean(jnp.square(enhanced[:, :, 1:] - enhanced[:, :, :-1]), axis=(1, 2, 3))
    down = jnp.mean(jnp.square(enhanced[:, 1:] - enhanced[:, :-1]), axis=(1, 2, 3))
    return across + down


def texture_loss(logits: jax.Array) -> jax.Array:
    """-log D(enhanced, target) (eq. 5).

    Args:
      logits: (N,) the discriminator's, of "the first image is the DSLR's", the first being the
        enhanced one.
    """
    return -jax.nn.log_sigmoid(logits)


def release_texture_loss(logits: jax.Array) -> jax.Array:
    """log(1 - D(enhanced)), the saturating form: minus the discriminator's own loss on it."""
    return -release_discriminator_loss(logits, jnp.zeros(logits.shape, bool))


def discriminator_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of the discriminator (section 3.1.2).

    Args:
      logits: (N,) of "the (first) image is the DSLR's".
      labels: (N,) bool, whether it is.
    """
    return -jax.nn.log_sigmoid(jnp.where(labels, logits, -logits))


def release_discriminator_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy with the probability clipped to [1e-10, 1]; as `discriminator_loss`."""
    return jnp.minimum(discriminator_loss(logits, labels), -np.log(1e-10))
