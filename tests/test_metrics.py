"""Scores against their definition in float64, by NumPy and SciPy, and against ground truth."""

import csv
import functools
import json
import pathlib

import jax
import numpy as np
import pytest
import scipy.signal
import skimage.metrics
from PIL import Image

from dped_jax import metrics
from dped_jax.evaluate import protocols

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


# ---- The definition, one image at a time, in float64 ----


def reference_terms(a, b):
    """(contrast, ssim) of two (H, W, C) images in [0, 255]."""
    size = min(11, *a.shape[:2])
    sigma = 1.5 * size / 11
    x = np.arange(size) - (size - 1) / 2
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2))[..., None]
    blur = functools.partial(scipy.signal.convolve, in2=window / window.sum(), mode="valid")
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    contrast = (2 * (blur(a * b) - mean_a * mean_b) + C2) / (variance_a + variance_b + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return contrast.mean(), (luminance * contrast).mean()


def reference_halve(x):
    rows, columns = (np.arange(0, side, 2) for side in x.shape[:2])
    next_rows, next_columns = (
        np.minimum(i + 1, side - 1) for i, side in zip((rows, columns), x.shape[:2], strict=True)
    )
    corners = [x[r][:, c] for r in (rows, next_rows) for c in (columns, next_columns)]
    return sum(corners) / 4


def reference_scales(a, b, scales=5):
    """(contrast, ssim), each (scales,), of two (H, W, C) images in [0, 1]."""
    a, b = np.float64(a) * 255, np.float64(b) * 255
    terms = []
    for _ in range(scales):
        terms.append(reference_terms(a, b))
        a, b = reference_halve(a), reference_halve(b)
    return np.array(terms).T


def reference_ms_ssim(a, b):
    contrast, ssim = reference_scales(a, b)
    return np.prod(np.maximum(np.append(contrast[:4], ssim[4]), 0) ** WEIGHTS)


def reference_psnr(a, b):
    return -10 * np.log10(np.mean((np.float64(a) - np.float64(b)) ** 2))


def pairs(*shape, noise=0.1, seed=0):
    """Smooth images and noisy copies of them with another contrast, which leave [0, 1] a little."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((shape[0], 4, 4, shape[3]))
    rows, columns = (np.linspace(0, 3, side).round().astype(int) for side in shape[1:3])
    a = coarse[:, rows][:, :, columns] * 0.7 + rng.random(shape) * 0.3
    b = a * 0.8 + 0.1 + rng.normal(0, noise, shape)
    return a.astype(np.float32), b.astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(3, 100, 100, 3), (2, 37, 53, 3), (1, 17, 200, 1), (2, 16, 16, 3)]
)
def test_scores_agree_with_the_definition(shape):
    a, b = pairs(*shape)
    contrast, ssim = (np.asarray(terms) for terms in metrics.ssim_scales(a, b))
    expected = np.stack([reference_scales(x, y) for x, y in zip(a, b, strict=True)], axis=1)
    np.testing.assert_allclose(contrast, expected[0], atol=2e-5)
    np.testing.assert_allclose(ssim, expected[1], atol=2e-5)
    ms_ssim = [reference_ms_ssim(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.ms_ssim(a, b), ms_ssim, atol=2e-5)
    psnr = [reference_psnr(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.psnr(a, b), psnr, atol=2e-5)


@pytest.mark.parametrize("shape", [(2, 40, 33, 3), (1, 17, 16, 3)])
def test_gradients_agree_with_differences_of_the_definition(shape):
    a, b = pairs(*shape)
    direction = np.random.default_rng(1).standard_normal(shape)
    h = 1e-4  # leaves h^2 of the third derivative; scores in float64 are exact beside that

    for function, reference in (
        (metrics.ms_ssim, reference_ms_ssim),
        (metrics.ssim, lambda x, y: reference_scales(x, y, scales=1)[1, 0]),
    ):
        after, before = (
            sum(reference(*images) for images in zip(a + sign * h * direction, b, strict=True))
            for sign in (1, -1)
        )
        gradient = jax.grad(lambda x, f=function: f(x, b).sum())(jax.numpy.asarray(a))
        found = np.sum(np.float64(gradient) * direction)
        size = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert found == pytest.approx((after - before) / (2 * h), abs=1e-4 * size)


def test_the_gradient_of_ms_ssim_at_negative_terms_is_finite():
    a, _ = pairs(2, 32, 32, 3)
    assert metrics.ms_ssim(a, 1 - a).max() == 0
    gradient = jax.grad(lambda x: metrics.ms_ssim(x, 1 - a).sum())(jax.numpy.asarray(a))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(2, 7, 9, 3), (2, 10, 31, 3), (1, 1, 5, 3), (2, 2, 2, 3)])
def test_ssim_window_shrinks_on_small_images(shape):
    a, b = pairs(*shape)
    expected = [reference_scales(x, y, scales=1)[1, 0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.ssim(a, b), expected, atol=2e-5)


def test_ssim_agrees_with_scikit_image():
    a, b = pairs(2, 64, 81, 3)
    for x, y, actual in zip(a, b, metrics.ssim(a, b), strict=True):
        _, full = skimage.metrics.structural_similarity(
            x,
            y,
            gaussian_weights=True,
            sigma=1.5,  # truncated at 3.5 sigma: 11x11
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=2,
            full=True,
        )
        np.testing.assert_allclose(actual, full[5:-5, 5:-5].mean(), atol=2e-5)


def test_float32_suffices_on_bright_nearly_flat_images():
    rng = np.random.default_rng(3)
    a, b = (rng.uniform(0.98, 1.0, (3, 100, 100, 3)).astype(np.float32) for _ in range(2))
    expected = [reference_ms_ssim(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.ms_ssim(a, b), expected, atol=5e-5)


def test_mean_squared_error_of_a_whole_photo_keeps_its_digits():
    a, b = pairs(1, 1200, 1600, 3)
    np.testing.assert_allclose(metrics.psnr(a, b)[0], reference_psnr(a[0], b[0]), atol=1e-4)


def test_identical_images():
    a, b = pairs(3, 24, 24, 3)
    b[1] = a[1]
    scores = jax.device_get(jax.jit(protocols.pirm_scores)(b, a))
    np.testing.assert_array_equal(metrics.psnr(a, a), [np.inf] * 3)
    assert np.isinf(scores["psnr"]).tolist() == [False, True, False]
    np.testing.assert_allclose([scores["ssim"][1], scores["ms_ssim"][1]], 1.0, atol=1e-6)
    mean, identical = protocols.summarize_psnr(scores["psnr"])
    assert identical == 1
    np.testing.assert_allclose(mean, (scores["psnr"][0] + scores["psnr"][2]) / 2, rtol=1e-6)


def test_summary_of_psnr_hides_no_failure():
    assert protocols.summarize_psnr(np.array([10.0, np.inf, 20.0, np.inf])) == (15.0, 2)
    mean, identical = protocols.summarize_psnr(np.array([np.inf, np.inf]))
    assert (np.isnan(mean), identical) == (True, 2)
    mean, identical = protocols.summarize_psnr(np.array([10.0, np.nan, np.inf]))
    assert (np.isnan(mean), identical) == (True, 1)


def test_negative_contrast_counts_as_zero():
    a, _ = pairs(2, 24, 24, 3)
    contrast, _ = metrics.ssim_scales(a, 1 - a)
    assert (np.asarray(contrast)[:, 0] < 0).all()
    np.testing.assert_array_equal(metrics.ms_ssim(a, 1 - a), [0.0, 0.0])


def test_scores_do_not_depend_on_the_batch_size():
    a, b = pairs(6, 19, 22, 3)
    score = jax.jit(protocols.pirm_scores)
    together = jax.device_get(score(a, b))
    for size in (1, 5):
        parts = [score(a[i : i + size], b[i : i + size]) for i in range(0, 6, size)]
        for name, values in together.items():
            assert values.shape == (6,)
            apart = np.concatenate([part[name] for part in parts])
            np.testing.assert_allclose(apart, values, rtol=2e-6)


def test_pirm_clips_for_psnr_only_and_dped_pools_the_batch():
    a, b = pairs(4, 20, 24, 3, noise=0.3)
    pirm, dped = protocols.pirm_scores(b, a), protocols.dped_scores(b, a)
    psnr = [reference_psnr(np.clip(y, 0, 1), x) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pirm["psnr"], psnr, atol=2e-5)
    np.testing.assert_allclose(pirm["ms_ssim"], metrics.ms_ssim(b, a), rtol=1e-6)
    np.testing.assert_allclose(dped["psnr"], reference_psnr(b, a), atol=2e-5)
    contrast, ssim = np.mean([reference_scales(y, x) for x, y in zip(a, b, strict=True)], axis=0)
    pooled = np.prod(np.append(contrast[:4], ssim[4]) ** WEIGHTS)
    np.testing.assert_allclose(dped["ms_ssim"], pooled, atol=2e-5)
    np.testing.assert_allclose(dped["ssim"], ssim[0], atol=2e-5)
    assert abs(dped["ms_ssim"] - pirm["ms_ssim"].mean()) > 1e-5  # the protocols do differ


@pytest.mark.parametrize("score", [metrics.psnr, metrics.ssim, metrics.ms_ssim])
def test_bad_shapes_are_named(score):
    with pytest.raises(ValueError, match=r"\(1, 20, 20, 3\) and \(20, 20, 3\)"):
        score(np.zeros((1, 20, 20, 3), np.float32), np.zeros((20, 20, 3), np.float32))
    with pytest.raises(ValueError, match="without pixels"):
        score(np.zeros((1, 0, 20, 3), np.float32), np.zeros((1, 0, 20, 3), np.float32))


def test_ms_ssim_names_a_size_that_is_too_small():
    image = np.zeros((1, 15, 40, 3), np.float32)
    with pytest.raises(ValueError, match=r"15x40.*16 pixels"):
        metrics.ms_ssim(image, image)


# ---- Ground truth on real patches ----


def ground_truth():
    """(rows of patch_scores.csv, phone patches, DSLR patches); skips where the data is absent."""
    scores = DATA / "golden" / "patch_scores.csv"
    if not scores.is_file():
        pytest.skip(f"the ground truth is not here: {scores}")
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    phone, dslr = (
        np.stack([_read(DATA / "dped_iphone" / camera / f"{row['id']}.jpg") for row in rows])
        for camera in ("iphone", "canon")
    )
    return rows, phone, dslr


def _read(path):
    with Image.open(path) as image:
        return np.asarray(image, np.float32) / 255


PAIR_TOLERANCES = [("psnr", "psnr", 2e-3), ("ms_ssim", "msssim", 1e-3), ("ssim", "ssim", 1e-3)]


def assert_scores_agree(scores, rows, net):
    """Each pair's scores with the columns of `net`."""
    for name, column, tolerance in PAIR_TOLERANCES:
        expected = np.array([float(row[f"{net}_{column}"]) for row in rows])
        np.testing.assert_allclose(scores[name], expected, rtol=0, atol=tolerance)


def test_scores_of_real_pairs_are_those_of_the_ground_truth():
    rows, phone, dslr = ground_truth()
    score = jax.jit(protocols.pirm_scores)
    batches = [
        jax.device_get(score(phone[i : i + 50], dslr[i : i + 50])) for i in range(0, 300, 50)
    ]
    scores = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert_scores_agree(scores, rows, "identity")
    expected = json.loads((DATA / "golden" / "scores_first300.json").read_text())["identity"]
    psnr, identical = protocols.summarize_psnr(scores["psnr"])
    assert identical == expected["identical_pairs"] == 3
    np.testing.assert_allclose(psnr, expected["psnr_mean_finite"], rtol=0, atol=2e-3)
    for name in ("ms_ssim", "ssim"):
        np.testing.assert_allclose(scores[name].mean(), expected[f"{name}_mean"], rtol=0, atol=2e-4)


def test_scores_of_the_released_network_are_those_of_the_ground_truth():
    rows, _, dslr = ground_truth()
    with np.load(DATA / "golden" / "iphone_orig_patches.npz") as file:
        enhanced = file["enhanced"]
    assert enhanced.max() > 1  # so that clipping matters
    count = len(enhanced)
    scores = jax.jit(protocols.pirm_scores)(enhanced, dslr[:count])
    assert_scores_agree(scores, rows[:count], "iphone_orig")
