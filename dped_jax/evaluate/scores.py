"""Scores of enhanced images against those of a DSLR, and of the models that made them.

Scores are means over the images; PSNR over those that differ from their target, the identical ones
being counted.
"""

import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.evaluate import protocols
from dped_jax.evaluate.batches import Batch
from dped_jax.evaluate.perceptual import Measure
from dped_jax.models.generator import make_eval_step
from dped_jax.pixels import to_float

SCORES = {  # how a score is called and written
    "psnr": ("PSNR (dB)", ".2f"),
    "ms_ssim": ("MS-SSIM", ".4f"),
    "ssim": ("SSIM", ".4f"),
}
DPED_BATCH_SIZE = 50  # of the `dped` protocol, part of its definition
Scores = dict[str, np.ndarray]  # values by metric
Measures = dict[str, Measure]
Enhance = Callable[[np.ndarray], jax.Array]


def _padded(images: np.ndarray, size: int) -> np.ndarray:
    """Repeats the last image up to a batch of `size`, so that one compiled program serves all."""
    return np.concatenate([images, np.repeat(images[-1:], size - len(images), axis=0)])


def score_batches(
    enhance: Enhance | None,
    batches: Iterable[Batch],
    protocol: str = "pirm",
    measures: Measures | None = None,
) -> dict[str, Scores]:
    """Scores the input and the enhanced images of batches.

    Args:
      enhance: gives (N, H, W, 3) float32, unclipped, for phone images; None where the batches
        hold "enhanced" images already.
      batches: of "phone", "dslr" and perhaps "enhanced", (n, H, W, 3) uint8 or uint16; "phone"
        may be absent.
      protocol: "pirm", one score an image; or "dped", one score a batch of 50, where a batch that
        is smaller is left out.
      measures: further scores, from `perceptual.make_measures`: of each image, clipped, whatever
        the protocol.

    Returns:
      {"input": scores, "enhanced": scores}; each holds "psnr" (dB), "ms_ssim" and "ssim", (N,)
      float arrays of one value an image or batch, and the further ones by their names.
    """
    score = jax.jit({"pirm": protocols.pirm_scores, "dped": protocols.dped_scores}[protocol])
    collected: dict[str, dict[str, list]] = {}
    sizes: dict[tuple[int, ...], int] = {}
    for batch in batches:
        num, *shape = batch["dslr"].shape
        if protocol == "dped" and num < DPED_BATCH_SIZE:
            continue
        sizes[*shape] = max(num, sizes.get(tuple(shape), 0))
        padded = {name: _padded(images, sizes[*shape]) for name, images in batch.items()}
        compared = {}
        if "phone" in padded:
            compared["input"] = to_float(padded["phone"])
        if enhance:
            compared["enhanced"] = enhance(padded["phone"])
        elif "enhanced" in padded:
            compared["enhanced"] = to_float(padded["enhanced"])
        target = to_float(padded["dslr"])
        for name, images in compared.items():
            values_of = score(images, target)
            for metric, measure in (measures or {}).items():
                values_of[metric] = measure(jnp.clip(images, 0.0, 1.0), target)
            for metric, values in values_of.items():
                kept = np.atleast_1d(np.asarray(values))[:num]
                collected.setdefault(name, {}).setdefault(metric, []).append(kept)
    return {
        name: {metric: np.concatenate(values) for metric, values in scores.items()}
        for name, scores in collected.items()
    }


def summarize(scores: Scores) -> dict[str, Any]:
    """Means of scores as from `score_batches`: PSNR over finite values, with the count left out."""
    psnr, identical = protocols.summarize_psnr(scores["psnr"])
    means = {name: float(np.mean(values, dtype=np.float64)) for name, values in scores.items()}
    return means | {"psnr": psnr, "identical_pairs": identical}


def format_summary(name: str, summary: dict[str, float]) -> str:
    """One line of a result for people to read."""
    psnr = math.nan if summary["psnr"] is None else summary["psnr"]
    line = (
        f"{name:<10} PSNR {psnr:6.3f} dB   MS-SSIM {summary['ms_ssim']:.4f}   "
        f"SSIM {summary['ssim']:.4f}"
    )
    for metric in ("lpips", "niqe"):
        if metric in summary:
            line += f"   {metric.upper()} {summary[metric]:.4f}"
    identical = summary["identical_pairs"]
    return line + (f"   ({identical} identical pairs left out of PSNR)" if identical else "")


def score(
    enhance: Enhance | None,
    batches: Iterable[Batch],
    protocol: str = "pirm",
    measures: Measures | None = None,
) -> dict[str, Any]:
    """Scores batches; arguments as `score_batches`.

    Returns:
      The object of --json: "protocol", "images" (how many were scored), and the summaries "input"
      (where there are phone images) and "enhanced", as from `summarize`, but with None for a PSNR
      of identical pairs alone, since JSON has no NaN.

    Raises:
      InputError: protocol "dped" without a full batch; and what reading the batches raises.
    """
    scores = score_batches(enhance, batches, protocol, measures)
    if not scores:
        raise InputError(f"--protocol=dped: needs a full batch of {DPED_BATCH_SIZE} images")
    count = len(scores["enhanced"]["psnr"])
    summaries = {name: summarize(values) for name, values in scores.items()}
    for summary in summaries.values():
        if math.isnan(summary["psnr"]):
            summary["psnr"] = None
    images = count * (DPED_BATCH_SIZE if protocol == "dped" else 1)
    return {"protocol": protocol, "images": images} | summaries


def load_enhance(
    workdir: pathlib.Path, which: str = "best"
) -> tuple[ml_collections.ConfigDict, Enhance, int]:
    """Loads the model of a workdir as a function for `score_batches`.

    Args:
      workdir: made by dped_jax.train or dped_jax.convert.
      which: "best" by validation PSNR, "newest", or a step.

    Returns:
      Its configuration, the function, and the checkpoint's step.

    Raises:
      InputError: no such model.
    """
    config, variables, step = checkpoint.load_generator(workdir, which)
    eval_step = jax.jit(make_eval_step(config))
    return config, lambda phone: eval_step(variables, phone), step


def score_workdir(
    workdir: pathlib.Path,
    batches: Iterable[Batch],
    which: str = "best",
    protocol: str = "pirm",
    measures: Measures | None = None,
) -> tuple[dict[str, Any], int]:
    """Scores the model of a workdir.

    Args:
      workdir: as `load_enhance`.
      batches: as for `score_batches`, with "phone".
      which: as `load_enhance`.
      protocol: "pirm" or "dped".
      measures: from `perceptual.make_measures`.

    Returns:
      The result as from `score`, and the checkpoint's step.

    Raises:
      InputError: no such model; and as `score`.
    """
    _, enhance, step = load_enhance(workdir, which)
    return score(enhance, batches, protocol, measures), step
