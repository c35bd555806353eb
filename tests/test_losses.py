"""The paper's equations in plain NumPy, float64, written out from the text; and SPEC's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.stats
import skimage.metrics

from dped_jax import losses, metrics


def images(seed, shape=(3, 40, 36, 3)):
    return np.random.default_rng(seed).uniform(-0.05, 1.05, shape)


def per_example(function, *batches):
    return np.array([function(*examples) for examples in zip(*batches, strict=True)])


def as_float32(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def gaussian(amplitude, size=21, sigma=3.0):
    """Equation 4, point by point."""
    half = size // 2
    kernel = np.zeros((size, size))
    for k in range(-half, half + 1):
        for m in range(-half, half + 1):
            kernel[k + half, m + half] = amplitude * np.exp(
                -(k**2) / (2 * sigma**2) - m**2 / (2 * sigma**2)
            )
    return kernel


def blurred(image, kernel):
    """Equation 3 with zeros around the image."""
    channels = [scipy.signal.correlate2d(image[..., c], kernel, mode="same") for c in range(3)]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("amplitude", [0.053, 0.0])
def test_color_loss_is_equation_2(amplitude):
    kernel = gaussian(amplitude or 1.0)
    if not amplitude:
        kernel /= kernel.sum()
    x, y = images(0), images(1)
    expected = per_example(
        lambda a, b: ((blurred(a, kernel) - blurred(b, kernel)) ** 2).sum(), x, y
    )
    factor = losses.gaussian_kernel(21, 3.0, amplitude)
    found = jax.jit(lambda a, b: losses.color_loss(a, b, factor))(*as_float32(x, y))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_printed_amplitude_sums_to_2_99_and_0_to_1():
    assert losses.gaussian_kernel(21, 3.0, 0.053).sum() ** 2 == pytest.approx(2.99, abs=0.01)
    assert losses.gaussian_kernel(21, 3.0, 0.0).sum() ** 2 == pytest.approx(1.0)


def test_release_color_loss():
    i = 7 / 21
    k1 = np.diff(scipy.stats.norm.cdf(np.linspace(-3 - i / 2, 3 + i / 2, 22)))
    kernel = np.sqrt(np.outer(k1, k1))
    kernel /= kernel.sum()
    x, y = images(0), images(1)
    expected = per_example(lambda a, b: (blurred(a - b, kernel) ** 2).sum() / 2, x, y)
    found = jax.jit(losses.release_color_loss)(*as_float32(x, y))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_content_loss_is_equation_6():
    f, g = images(0, (3, 7, 7, 32)), images(1, (3, 7, 7, 32))
    expected = per_example(lambda a, b: np.sqrt(((a - b) ** 2).sum()) / (32 * 7 * 7), f, g)
    np.testing.assert_allclose(losses.content_loss(*as_float32(f, g)), expected, rtol=1e-5)
    expected = per_example(lambda a, b: ((a - b) ** 2).sum() / (32 * 7 * 7), f, g)
    np.testing.assert_allclose(losses.release_content_loss(*as_float32(f, g)), expected, rtol=1e-5)


def test_total_variation_loss_is_equation_7():
    def equation(image):
        height, width, channels = image.shape
        total = 0.0
        for i in range(height - 1):
            for j in range(width - 1):
                across = image[i, j + 1] - image[i, j]
                down = image[i + 1, j] - image[i, j]
                total += ((across + down) ** 2).sum()
        return np.sqrt(total) / (channels * height * width)

    x = images(2, (2, 12, 15, 3))
    found = losses.total_variation_loss(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, per_example(equation, x), rtol=1e-5)


def test_release_total_variation_loss():
    x = images(2, (2, 100, 100, 3))
    expected = per_example(
        lambda a: (
            (np.diff(a, axis=1) ** 2).sum() / (100 * 99 * 3)
            + (np.diff(a, axis=0) ** 2).sum() / (99 * 100 * 3)
        ),
        x,
    )
    found = losses.release_total_variation_loss(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mse_loss():
    x, y = images(0), images(1)
    expected = per_example(lambda a, b: ((a - b) ** 2).mean(), x, y)
    np.testing.assert_allclose(losses.mse_loss(*as_float32(x, y)), expected, rtol=1e-5)


def test_l1_loss():
    x, y = images(0), images(1)
    expected = per_example(lambda a, b: np.abs(a - b).mean(), x, y)
    np.testing.assert_allclose(losses.l1_loss(*as_float32(x, y)), expected, rtol=1e-5)


def test_ssim_loss_is_one_minus_the_score_and_agrees_with_scikit_image():
    x, y = images(0), np.clip(images(0) + 0.1 * images(1), -0.05, 1.05)

    def score(a, b):
        _, full = skimage.metrics.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=1.0, channel_axis=2, full=True,
        )  # fmt: skip
        return full[5:-5, 5:-5].mean()

    found = losses.ssim_loss(*as_float32(x, y))
    np.testing.assert_allclose(found, 1 - per_example(score, x, y), atol=2e-5)  # of test_metrics
    np.testing.assert_array_equal(found, 1 - metrics.ssim(*as_float32(x, y)))


def test_ms_ssim_loss_is_one_minus_the_score():
    """Which test_metrics compares with its definition and with the PIRM kit's values."""
    x, y = as_float32(images(0), images(1))
    np.testing.assert_array_equal(losses.ms_ssim_loss(x, y), 1 - metrics.ms_ssim(x, y))


@pytest.mark.parametrize("loss", [losses.l1_loss, losses.ssim_loss, losses.ms_ssim_loss])
def test_losses_of_scores_go_from_0_for_equal_to_1_for_opposite_images(loss):
    """Stripes of black and white: their negative differs by 1 and has a correlation of -1."""
    stripes = jnp.zeros((2, 176, 176, 3)).at[:, :, ::2].set(1)
    np.testing.assert_allclose(loss(stripes, stripes), 0, atol=1e-6)
    np.testing.assert_allclose(loss(stripes, 1 - stripes), 1, atol=1e-6)


LOGITS = np.array([-3.0, -0.1, 0.0, 2.5, 60.0, -60.0])
LABELS = np.array([True, False, True, False, False, True])


def probabilities():
    return 1 / (1 + np.exp(-LOGITS))


def test_texture_loss_is_equation_5():
    expected = -np.log(probabilities())
    found = losses.texture_loss(jnp.asarray(LOGITS, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_discriminator_losses_are_cross_entropies():
    p_label = np.where(LABELS, probabilities(), 1 / (1 + np.exp(LOGITS)))
    logits = jnp.asarray(LOGITS, jnp.float32)
    found = losses.discriminator_loss(logits, jnp.asarray(LABELS))
    np.testing.assert_allclose(found, -np.log(p_label), rtol=1e-5)
    found = losses.release_discriminator_loss(logits, jnp.asarray(LABELS))
    np.testing.assert_allclose(found, -np.log(np.clip(p_label, 1e-10, 1)), rtol=1e-5)


def test_release_texture_loss_is_minus_the_loss_on_images_labelled_fake():
    found = losses.release_texture_loss(jnp.asarray(LOGITS, jnp.float32))
    p_fake = 1 / (1 + np.exp(LOGITS))
    np.testing.assert_allclose(found, np.log(np.clip(p_fake, 1e-10, 1)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.content_loss(x, jnp.full_like(x, 0.25)),
        losses.total_variation_loss,
    ],
)
def test_gradients_where_a_norm_is_zero_are_zero(loss):
    x = jnp.full((2, 8, 8, 3), 0.25)
    gradient = jax.grad(lambda x: loss(x).sum())(x)
    np.testing.assert_array_equal(gradient, np.zeros_like(x))
