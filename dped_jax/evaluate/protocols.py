"""The two protocols by which enhanced images are scored; they differ.

`pirm` (the PIRM-2018 kit's, the default of this project) averages scores of single images. `dped`
is what the authors' released training code logs: it pools batches. What the paper prints as SSIM
(section 4, Tables 1-3) is on the scale of MS-SSIM. Images are RGB, NHWC, float32, nominally in
[0, 1].
"""

import jax
import jax.numpy as jnp
import numpy as np

from dped_jax.metrics import combine_scales, mean_squared_error, psnr, psnr_from_mse, ssim_scales


def pirm_scores(enhanced: jax.Array, dslr: jax.Array) -> dict[str, jax.Array]:
    """Scores of each image under the `pirm` protocol: PSNR clips the output, the others do not.

    Args:
        enhanced: (N, H, W, C) float32, a generator's output; may leave [0, 1].
        dslr: (N, H, W, C) float32 in [0, 1].

    Returns:
        "psnr" (dB), "ms_ssim" and "ssim", each (N,) float32, to be averaged over images; PSNR by
        `summarize_psnr`.

    Raises:
        ValueError: not float images in [0, 1] of one shape, or a side is below 16 pixels.
    """
    contrast, similarity = ssim_scales(enhanced, dslr)
    return {
        "psnr": psnr(jnp.clip(enhanced, 0.0, 1.0), dslr),
        "ms_ssim": combine_scales(contrast, similarity),
        "ssim": similarity[:, 0],
    }


def dped_scores(enhanced: jax.Array, dslr: jax.Array) -> dict[str, jax.Array]:
    """Scores of one batch under the `dped` protocol: errors pooled over the batch, nothing clipped.

    The released training code averages these over full batches of 50 images.

    Args:
        enhanced: (N, H, W, C) float32, a generator's output; may leave [0, 1].
        dslr: (N, H, W, C) float32 in [0, 1].

    Returns:
        "psnr" (dB), "ms_ssim" and "ssim" of the batch, each a float32 scalar.

    Raises:
        ValueError: not float images in [0, 1] of one shape, or a side is below 16 pixels.
    """
    contrast, similarity = (terms.mean(axis=0) for terms in ssim_scales(enhanced, dslr))
    return {
        "psnr": psnr_from_mse(mean_squared_error(enhanced, dslr).mean()),
        "ms_ssim": combine_scales(contrast, similarity),
        "ssim": similarity[0],
    }


def summarize_psnr(values: np.ndarray) -> tuple[float, int]:
    """Mean of the finite PSNRs, and how many pairs were identical. Runs on the host.

    Args:
        values: (N,) PSNRs in dB; +inf marks an identical pair. A NaN is an error, not a perfect
            score, and makes the mean NaN.

    Returns:
        The mean in dB (NaN where every pair is identical, or none was given) and the number of
        pairs left out of it.
    """
    values = np.asarray(values, np.float64)
    identical = np.isposinf(values)
    kept = values[~identical]
    return float(kept.mean()) if kept.size else float("nan"), int(identical.sum())


# Of the PIRM 2018 challenge's track on enhancement: weights of PSNR, MS-SSIM and speed-up.
CHALLENGE_WEIGHTS = {"A": (4.0, 100.0, 2.0), "B": (1.0, 400.0, 2.0), "C": (2.0, 200.0, 2.9)}


def challenge_scores(psnr: float, ms_ssim: float, speed_up: float) -> dict[str, float]:
    """Scores A, B and C of the PIRM 2018 challenge; more is better.

    Args:
        psnr: mean over the images in dB, `pirm` protocol; counts from 21.
        ms_ssim: likewise; counts from 0.9.
        speed_up: the baseline's time over the method's; counts up to 4.
    """
    return {
        name: a * (psnr - 21.0) + b * (ms_ssim - 0.9) + c * min(speed_up, 4.0)
        for name, (a, b, c) in CHALLENGE_WEIGHTS.items()
    }
