"""Section 3.1.2: how well discriminators of two images and of one tell phone from DSLR patches.

    python -m dped_jax.experiments.discriminators --config=configs/discriminators.py \
        --output_dir=runs/discriminators

Trains what `config.models` lists, by dped_jax.train with the phone's patches in place of enhanced
ones; the same command resumes. Writes accuracies.csv, accuracies.png, results.json and report.html
to the output folder, and to models/ the workdirs.
"""

import pathlib
from typing import Any

import ml_collections
from absl import flags
from matplotlib.figure import Figure

from dped_jax import check_config, config_files
from dped_jax.base import command
from dped_jax.base.memory import keep_freed_memory
from dped_jax.experiments import training
from dped_jax.pages import charts, outputs, web_page
from dped_jax.train.metrics_writer import read_metrics

TITLE = "Telling phone from DSLR patches (section 3.1.2)"


def accuracies(workdir: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """Accuracy in [0, 1] by step, on "train" batches and the "validation" split, from a workdir."""
    groups = read_metrics(workdir / "metrics.jsonl")
    return {group: series["discriminator_accuracy"] for group, series in groups.items()}


def reaches(series: list[tuple[float, float]], accuracy: float) -> float | None:
    """The first step at which a series is at least at an accuracy, None where it never is."""
    return next((step for step, value in series if value >= accuracy), None)


def summarize(config: ml_collections.ConfigDict, output_dir: pathlib.Path) -> dict[str, Any]:
    """What results.json holds: for every model its accuracies by step, and the paper's."""
    results = {}
    for name, entry in config.models.items():
        series = accuracies(output_dir / "models" / name)
        held_out = series["validation"]
        results[name] = {
            "title": entry.title,
            "batch_size": entry.model.train.batch_size,
            "num_steps": held_out[-1][0],
            "final_accuracy": held_out[-1][1],
            "best_accuracy": max(value for _, value in held_out),
            "published": entry.published and list(entry.published),
            "reaches_published_at_step": entry.published and reaches(held_out, entry.published[0]),
            "held_out": held_out,
            "train": series["train"],
        }
    return {"experiment": TITLE, "phone": config.phone, "models": results}


def draw(models: dict[str, dict[str, Any]]) -> dict[str, Figure]:
    """Charts of the accuracies by step, from what `summarize` gives."""
    groups = {"Held-out patches": "held_out", "Training batches": "train"}
    return {
        title: charts.line_chart("accuracy", {m["title"]: m[group] for m in models.values()})
        for title, group in groups.items()
    }


def run(config: ml_collections.ConfigDict, output_dir: pathlib.Path) -> None:
    """Trains what is to be trained and writes everything; raises InputError as `train.train`."""
    for name, entry in config.models.items():
        check_config.check(entry.model, f"config.models.{name}.model")
    for name, entry in config.models.items():
        training.ensure_trained(entry.model, output_dir / "models" / name)
    results = summarize(config, output_dir)
    rows = [
        {"model": name, "patches": split, "step": step, "accuracy": value}
        for name, model in results["models"].items()
        for split in ("train", "held_out")
        for step, value in model[split]
    ]
    outputs.write_csv(output_dir / "accuracies.csv", list(rows[0]), rows)
    curves = draw(results["models"])
    outputs.write_chart(output_dir / "accuracies.png", curves["Held-out patches"])
    models, phone = results["models"], results["phone"]
    page = web_page.render("discriminators", TITLE, models=models, phone=phone, curves=curves)
    outputs.write_report(output_dir, results, page)
    for model in results["models"].values():
        print(f"{model['final_accuracy']:6.1%} after {model['num_steps']} steps: {model['title']}")
    print(f"report: {output_dir}/report.html")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    keep_freed_memory()
    run(FLAGS.config, pathlib.Path(FLAGS.output_dir))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    config_files.define_flag("discriminators.py", "The comparison.")
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    command.run(main)
