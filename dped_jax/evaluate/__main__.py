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
import pathlib
from collections.abc import Iterator

from absl import flags, logging

from dped_jax import checkpoint, input_pipeline
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.base.folders import MissingPicturesError, pictures_by_stem
from dped_jax.evaluate import held_out
from dped_jax.evaluate.batches import Batch, folder_batches, split_batches, with_progress
from dped_jax.evaluate.perceptual import make_measures
from dped_jax.evaluate.protocols import challenge_scores
from dped_jax.evaluate.scores import DPED_BATCH_SIZE, format_summary, score, score_workdir


def _batches() -> Iterator[Batch]:
    """What the flags say is to be scored."""
    names = [name for name in ("enhanced_dir", "phone_dir", "dslr_dir") if getattr(FLAGS, name)]
    folders = {name: pathlib.Path(getattr(FLAGS, name)) for name in names}
    if bool(FLAGS.workdir) == bool(FLAGS.enhanced_dir):
        raise InputError("give either --workdir or --enhanced_dir")
    if "phone_dir" in folders or "dslr_dir" in folders:
        if FLAGS.data_dir or FLAGS.phone:
            raise InputError("give either --data_dir and --phone, or --phone_dir and --dslr_dir")
        if "dslr_dir" not in folders:
            raise InputError("--dslr_dir: needed with --phone_dir")
        if FLAGS.workdir and "phone_dir" not in folders:
            raise InputError("--phone_dir: needed with --workdir and --dslr_dir")
        num = len(pictures_by_stem(folders["dslr_dir"], "dslr_dir"))
        return with_progress(folder_batches(folders, DPED_BATCH_SIZE), num)
    if FLAGS.enhanced_dir and not (FLAGS.data_dir and FLAGS.phone):
        raise InputError("--enhanced_dir: needs --data_dir and --phone, or --dslr_dir")
    trained = checkpoint.read_config(FLAGS.workdir).data if FLAGS.workdir else {}
    data_dir, phone = FLAGS.data_dir or trained["data_dir"], FLAGS.phone or trained["phone"]
    source = input_pipeline.open_split(data_dir, phone, FLAGS.split)
    if FLAGS.enhanced_dir:
        batches = split_batches(source, pathlib.Path(FLAGS.enhanced_dir), DPED_BATCH_SIZE)
        return with_progress(batches, len(source))
    if not FLAGS.allow_seen:
        for remark in held_out.check_held_out(FLAGS.workdir, data_dir, phone, FLAGS.split):
            logging.warning("%s", remark)
    return with_progress(input_pipeline.eval_batches(source, DPED_BATCH_SIZE), len(source))


def _speed_up() -> float | None:
    """How many times as fast as the challenge's baseline the method is; None where not given."""
    times = FLAGS.seconds, FLAGS.baseline_seconds
    if times == (None, None):
        return None
    if None in times:
        raise InputError("--seconds and --baseline_seconds are given together or not at all")
    if FLAGS.protocol != "pirm":
        raise InputError("--seconds: the challenge's scores are of --protocol=pirm")
    return FLAGS.baseline_seconds / FLAGS.seconds


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    speed_up = _speed_up()
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
            write_atomically(FLAGS.missing, "".join(f"{name}\n" for name in error.missing))
        raise
    count, unit = result["images"], "images"
    if FLAGS.protocol == "dped":
        count, unit = count // DPED_BATCH_SIZE, f"batches of {DPED_BATCH_SIZE}"
    print(f"{scored}: {count} {unit}, protocol {FLAGS.protocol}")
    for name in ("input", "enhanced"):
        if name in result:
            print(format_summary(name, result[name]))
    psnr, ms_ssim = (result["enhanced"][metric] for metric in ("psnr", "ms_ssim"))
    if speed_up is not None and psnr is not None:
        result["challenge"] = challenge_scores(psnr, ms_ssim, speed_up)
        listed = "   ".join(f"{name} {value:.2f}" for name, value in result["challenge"].items())
        print(f"PIRM 2018  {listed}   (speed-up {speed_up:.2f})")
    if FLAGS.json:
        write_atomically(FLAGS.json, json.dumps(result, indent=2) + "\n")


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
    flags.DEFINE_float("seconds", None, "Time of the method on some photo: PIRM 2018 scores.", 1e-9)
    flags.DEFINE_float("baseline_seconds", None, "Time of the challenge's baseline on it.", 1e-9)
    flags.DEFINE_string("json", None, "File for the scores.")
    flags.DEFINE_string("missing", None, "File for the names of pictures that lack a partner.")
    command.run(main)
