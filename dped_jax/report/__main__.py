"""Shows a trained model on one page: scores, whole photographs, patches, curves, configuration.

    python -m dped_jax.report --workdir=runs/demo/model --scores=scores.json \
        --before=PHOTO_OR_FOLDER --after=PHOTO_OR_FOLDER --output=report.html

The page needs no network and no other file. Pictures are RGB, (H, W, 3) uint8.
"""

import pathlib

from absl import flags

from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.base.files import write_atomically
from dped_jax.pages import web_page
from dped_jax.report import page
from dped_jax.train.metrics_writer import read_metrics


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    workdir = pathlib.Path(FLAGS.workdir)
    config = checkpoint.read_config(workdir).to_json(indent=2)
    scores = page.read_scores(pathlib.Path(FLAGS.scores))
    given = [FLAGS.before, FLAGS.after, *([FLAGS.target] if FLAGS.target else [])]
    photos = page.read_photos(*map(pathlib.Path, given))
    metrics = read_metrics(workdir / "metrics.jsonl")
    step, patches = page.best_sample(workdir / "samples", metrics["validation"]["psnr"])
    text = web_page.render(
        "report",
        "DPED: enhanced photographs",
        FLAGS.note,
        scores=page.score_table(scores),
        photos=[(photo, page.beside_target(photo)) for photo in photos],
        own_photographs=page.own_photographs(FLAGS.page, FLAGS.output),
        step=step,
        patches=patches,
        curves=page.training_curves(metrics),
        config=config,
    )
    write_atomically(FLAGS.output, text)
    psnr = [f"{k} {scores[k]['psnr']:.2f} dB" for k in ("input", "enhanced") if k in scores]
    print(f"PSNR of the test patches: {', '.join(psnr)} (report: {FLAGS.output})")


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train.", required=True)
    flags.DEFINE_string("scores", None, "File that dped_jax.evaluate --json wrote.", required=True)
    flags.DEFINE_string("before", None, "A photograph, or a folder of them.", required=True)
    flags.DEFINE_string("after", None, "The same, enhanced.", required=True)
    flags.DEFINE_string("target", None, "The DSLR's, where there are any; of the same names.")
    flags.DEFINE_string("output", None, "HTML file to write.", required=True)
    flags.DEFINE_string("page", None, "What make web built of this model, to link if it is there.")
    flags.DEFINE_string("note", "", "Text to show above everything else.")
    command.run(main)
