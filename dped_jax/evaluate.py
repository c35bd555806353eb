"""Scores enhanced patches or photographs against those of a DSLR.

    python -m dped_jax.evaluate --workdir=runs/iphone                # its dataset's test split
    python -m dped_jax.evaluate --workdir=runs/iphone --phone_dir=D --dslr_dir=D
    python -m dped_jax.evaluate --enhanced_dir=D --data_dir=data/tfds --phone=iphone
    python -m dped_jax.evaluate --enhanced_dir=D --phone_dir=D --dslr_dir=D

Folders hold pictures with the same file stems; a dataset knows its patches by theirs. Scores are
means over the images; PSNR over those that differ from their target, the identical ones being
counted. A model that was trained on patches of the split is refused (see held_out.py); folders are
not checked for that.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags, logging

from dped_jax import checkpoint, cli, held_out, input_pipeline, metrics
from dped_jax.cli import InputError
from dped_jax.perceptual import Measure, make_measures
from dped_jax.picture_folders import Batch, MissingPicturesError, folder_batches, split_batches
from dped_jax.train_step import make_eval_step, to_float

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
      enhance: gives (N, H, W, 3) float32, unclipped, for uint8 phone images; None where the batches
        hold "enhanced" images already.
      batches: of "phone", "dslr" and perhaps "enhanced", (n, H, W, 3) uint8; "phone" may be absent.
      protocol: "pirm", one score an image; or "dped", one score a batch of 50, where a batch that
        is smaller is left out.
      measures: further scores, from `perceptual.make_measures`: of each image, clipped, whatever
        the protocol.

    Returns:
      {"input": scores, "enhanced": scores}; each holds "psnr" (dB), "ms_ssim" and "ssim", (N,)
      float arrays of one value an image or batch, and the further ones by their names.
    """
    score = jax.jit({"pirm": metrics.pirm_scores, "dped": metrics.dped_scores}[protocol])
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


def summarize(scores: Scores) -> dict[str, float]:
    """Means of scores as from `score_batches`: PSNR over finite values, with the count left out."""
    psnr, identical = metrics.summarize_psnr(scores["psnr"])
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


def _batches() -> Iterator[Batch]:
    """What the flags say is to be scored."""
    names = [name for name in ("enhanced_dir", "phone_dir", "dslr_dir") if FLAGS[name].value]
    folders = {name: pathlib.Path(FLAGS[name].value) for name in names}
    if bool(FLAGS.workdir) == bool(FLAGS.enhanced_dir):
        raise InputError("give either --workdir or --enhanced_dir")
    if "phone_dir" in folders or "dslr_dir" in folders:
        if FLAGS.data_dir or FLAGS.phone:
            raise InputError("give either --data_dir and --phone, or --phone_dir and --dslr_dir")
        if "dslr_dir" not in folders:
            raise InputError("--dslr_dir: needed with --phone_dir")
        if FLAGS.workdir and "phone_dir" not in folders:
            raise InputError("--phone_dir: needed with --workdir and --dslr_dir")
        return folder_batches(folders, DPED_BATCH_SIZE)
    if FLAGS.enhanced_dir and not (FLAGS.data_dir and FLAGS.phone):
        raise InputError("--enhanced_dir: needs --data_dir and --phone, or --dslr_dir")
    data = checkpoint.read_config(FLAGS.workdir).data if FLAGS.workdir else {}
    given = {name: FLAGS[name].value for name in ("data_dir", "phone") if FLAGS[name].value}
    config = ml_collections.ConfigDict({"data": {**data, **given}})
    source = input_pipeline.open_split(config, FLAGS.split)
    if FLAGS.enhanced_dir:
        return split_batches(source, pathlib.Path(FLAGS.enhanced_dir), DPED_BATCH_SIZE)
    if not FLAGS.allow_seen:
        for remark in held_out.check_held_out(FLAGS.workdir, config, FLAGS.split):
            logging.warning("%s", remark)
    return input_pipeline.eval_batches(source, DPED_BATCH_SIZE)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    measures = make_measures(FLAGS.perceptual, FLAGS.lpips_weights, FLAGS.niqe_weights)
    how = FLAGS.protocol, measures
    try:
        batches = _batches()
        if FLAGS.workdir:
            result, step = score_workdir(FLAGS.workdir, batches, FLAGS.step, *how)
            scored = f"{FLAGS.workdir} step {step}"
        else:
            result, scored = score(None, batches, *how), FLAGS.enhanced_dir
    except MissingPicturesError as error:
        if FLAGS.missing:
            cli.write_atomically(FLAGS.missing, "".join(f"{name}\n" for name in error.missing))
        raise
    count, unit = result["images"], "images"
    if FLAGS.protocol == "dped":
        count, unit = count // DPED_BATCH_SIZE, f"batches of {DPED_BATCH_SIZE}"
    print(f"{scored}: {count} {unit}, protocol {FLAGS.protocol}")
    for name in ("input", "enhanced"):
        if name in result:
            print(format_summary(name, result[name]))
    if FLAGS.json:
        cli.write_atomically(FLAGS.json, json.dumps(result, indent=2) + "\n")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: a folder made by dped_jax.train or convert.")
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("data_dir", None, "Where the dataset is, if not where it was in training.")
    flags.DEFINE_string("phone", None, "Which phone's dataset, if not that of training.")
    flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Split of the dataset.")
    flags.DEFINE_bool("allow_seen", False, "Score a model on patches that it was trained on.")
    flags.DEFINE_string("enhanced_dir", None, "Instead of a model: pictures that it has made.")
    flags.DEFINE_string("phone_dir", None, "Instead of a dataset: folder of phone pictures.")
    flags.DEFINE_string("dslr_dir", None, "Folder of DSLR pictures.")
    flags.DEFINE_enum("protocol", "pirm", ["pirm", "dped"], "How scores are taken (README).")
    flags.DEFINE_list("perceptual", [], "Further scores: lpips, niqe (see perceptual.py).")
    flags.DEFINE_string("lpips_weights", None, "torchvision's AlexNet file.")
    flags.DEFINE_string("niqe_weights", None, "deepinv's file of NIQE.")
    flags.DEFINE_string("json", None, "File for the scores.")
    flags.DEFINE_string("missing", None, "File for the names of pictures that lack a partner.")
    cli.run(main)
