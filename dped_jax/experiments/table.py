"""Tables 2 and 3: methods and phones, scored by one protocol.

    python -m dped_jax.experiments.table --config=configs/table2.py --output_dir=runs/table2

Trains what the config lists and is not there yet, in output_dir/models; the same command goes on
after an interruption. Scores are those of protocol `pirm` (README). A method that has no result for
a phone is a dash with a footnote. `config.minutes` gives every training the same time
instead of its number of steps, `config.costs` adds what the networks cost. Writes results.json,
scores.csv, sheets of pictures and report.html.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
import numpy as np
from absl import flags, logging

from dped_jax import config_files, input_pipeline
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.folders import MissingPicturesError, matching_pictures
from dped_jax.base.memory import keep_freed_memory
from dped_jax.evaluate import held_out, perceptual
from dped_jax.evaluate.batches import folder_batches, split_batches
from dped_jax.evaluate.scores import (
    Measures,
    Scores,
    format_summary,
    load_enhance,
    score_batches,
    summarize,
)
from dped_jax.experiments import costs, table_page, table_sheets
from dped_jax.experiments.methods import (
    NotThereError,
    check,
    filled,
    find_method,
    is_trained,
    plan,
    set_steps,
)
from dped_jax.pages import outputs
from dped_jax.pixels import to_integers

BATCH_SIZE = 50


def open_pairs(config: ml_collections.ConfigDict, phone: str) -> tuple[table_sheets.Batches, Any]:
    """Opens the pictures that are scored for a phone.

    Returns:
      A function that yields batches of "phone" and "dslr", and of "enhanced" where it is given
      a folder; and the dataset's data_dir and phone, None for folders.

    Raises:
      InputError: there is no such dataset or folder.
    """
    if config.phone_dir or config.dslr_dir:
        names = ("phone_dir", "dslr_dir")
        folders = {name: pathlib.Path(filled(config[name], phone=phone)) for name in names}
        matching_pictures(folders)

        def from_folders(enhanced_dir):
            enhanced = {"enhanced_dir": enhanced_dir} if enhanced_dir else {}
            return folder_batches(folders | enhanced, BATCH_SIZE)

        return from_folders, None
    source = input_pipeline.open_split(config.data_dir, phone, config.split)

    def from_split(enhanced_dir):
        if enhanced_dir:
            return split_batches(source, enhanced_dir, BATCH_SIZE)
        return input_pipeline.eval_batches(source, BATCH_SIZE)

    return from_split, (config.data_dir, phone)


def score_method(
    config: ml_collections.ConfigDict,
    path: pathlib.Path,
    is_folder: bool,
    pairs: table_sheets.Batches,
    dataset: tuple[str, str] | None,
    *,
    measures: Measures,
) -> tuple[dict[str, Scores], dict[str, Any], Callable]:
    """Scores one method on the pictures of one phone.

    Returns:
      What `score_batches` returns, what is to be noted of the method, and a function that
      gives the (n, H, W, 3) uint8 pictures of a batch of pairs.

    Raises:
      InputError: the model has seen these photographs in training; pictures are missing.
    """
    if is_folder:
        scores = score_batches(None, pairs(path), measures=measures)
        return scores, {"enhanced_dir": str(path)}, lambda batch: batch["enhanced"]
    model, enhance, step = load_enhance(path, config.step)
    remarks = []
    if dataset and not config.allow_seen:
        remarks = held_out.check_held_out(path, *dataset, config.split)
    scores = score_batches(enhance, pairs(None), measures=measures)
    noted = {"workdir": str(path), "step": step, "remarks": remarks}
    if model.loss.content and model.vgg.weights == "random":
        noted["vgg"] = "random"
    return scores, noted, lambda batch: to_integers(np.asarray(enhance(batch["phone"])))


def summarize_seeds(
    runs: list[dict[str, Any]], metrics: Sequence[str], columns: Sequence[str]
) -> dict[str, Any]:
    """Means of the scores and costs of a method's runs.

    With several runs also the "range" of each score, largest - smallest. A cost that they do not
    have is None.
    """
    if not runs:
        return {}
    summary: dict[str, Any] = {m: float(np.mean([run[m] for run in runs])) for m in metrics}
    for column in columns:
        values = [run.get(column) for run in runs]
        summary[column] = None if None in values else float(np.mean(values))
    if len(runs) > 1:
        summary["range"] = {m: float(np.ptp([run[m] for run in runs])) for m in metrics}
    return summary


def list_metrics(config: ml_collections.ConfigDict) -> list[str]:
    """The scores of the table, in its order."""
    return [*table_page.METRICS, *config.perceptual]


def run_phone(
    config: ml_collections.ConfigDict,
    phone: str,
    output_dir: pathlib.Path,
    measures: Measures,
) -> tuple[dict[str, Any], list[table_sheets.Sheet], int]:
    """Trains and scores all methods for one phone.

    Returns:
      The phone's part of results.json, its sheets, and how many methods failed.
    """
    methods: dict[str, Any] = {
        name: {"runs": [], "trained": is_trained(config.methods[name])} for name in config.rows
    }
    result: dict[str, Any] = {"images": None, "input": None, "methods": methods}
    try:
        pairs, dataset = open_pairs(config, phone)
    except InputError as error:
        logging.warning("%s: %s", phone, error)
        for entry in methods.values():
            entry["note"] = str(error)
        return result, [], 0
    shown, num_failed = {}, 0
    for name, seed in plan(config):
        title, entry = config.methods[name].title, methods[name]
        if "note" in entry:
            continue
        try:
            path, is_folder = find_method(config, name, phone, seed, output_dir / "models")
            scores, noted, enhance = score_method(
                config, path, is_folder, pairs, dataset, measures=measures
            )
            if not is_folder:
                file = output_dir / "measured.json"
                noted |= costs.measure_costs(config.costs, path, config.step, name, file)
        except InputError as error:
            logging.warning("%s, %s: %s", title, phone, error)
            num_failed += not isinstance(error, NotThereError)
            entry["note"] = str(error)
            if isinstance(error, MissingPicturesError):
                entry["missing"] = error.missing
            continue
        summary = summarize(scores["enhanced"])
        print(format_summary(f"{title}, {phone}, seed {seed}:", summary))
        entry["runs"].append(noted | {"seed": seed} | summary)
        result["images"] = len(scores["enhanced"]["psnr"])
        result["input"] = summarize(scores["input"])
        psnr, folder = scores["enhanced"]["psnr"], path if is_folder else None
        shown.setdefault(name, table_sheets.Method(title, psnr, folder, enhance))
    for entry in methods.values():
        entry.update(summarize_seeds(entry["runs"], list_metrics(config), config.costs))
    if not shown:
        return result, [], num_failed
    (output_dir / phone).mkdir(exist_ok=True)
    listed = [shown[name] for name in config.rows if name in shown]
    drawn = table_sheets.draw_sheets(
        pairs,
        listed,
        shown.get(config.ours, listed[-1]),
        config.num_pictures,
        output_dir / phone,
    )
    return result, drawn, num_failed


def make_table(config: ml_collections.ConfigDict, output_dir: pathlib.Path) -> None:
    """Trains, scores and writes everything.

    Raises:
      InputError: a method failed (all others are in the files nevertheless), or none has a result.
    """
    check(config)
    measures = perceptual.make_measures(
        config.perceptual, config.lpips_weights, config.niqe_weights
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    set_steps(config, output_dir)
    phones, drawn, failed = {}, {}, 0
    for phone in config.phones:
        phones[phone], drawn[phone], failures = run_phone(config, phone, output_dir, measures)
        failed += failures
    methods = {name: config.methods[name] for name in config.rows}
    results = {
        "experiment": config.title,
        "protocol": "pirm",
        "metrics": list_metrics(config),
        "costs": list(config.costs),
        "split": "folders" if config.phone_dir else config.split,
        "titles": {name: method.title for name, method in methods.items()},
        "published": {name: method.published.to_dict() for name, method in methods.items()},
        "phones": phones,
    }
    compared = {}
    for phone in phones if "macs_per_pixel" in config.costs else ():
        rows = {methods[name].title: row for name, row in phones[phone]["methods"].items()}
        if chart := costs.draw(f"{config.title}, {phone}", rows):
            compared[phone] = chart
            outputs.write_chart(output_dir / phone / "quality.png", chart)
    columns = ["phone", "method", "seed", *results["metrics"], "identical_pairs", *config.costs]
    lines = table_page.csv_rows(results)
    outputs.write_csv(output_dir / "scores.csv", [*columns, "note"], lines)
    outputs.write_report(output_dir, results, table_page.make_page(results, drawn, compared))
    print(f"report: {output_dir}/report.html")
    found = [method for phone in phones.values() for method in phone["methods"].values()]
    notes = [method["note"] for method in found if "note" in method]
    if failed or len(notes) == len(found):
        raise InputError(
            f"{len(notes)} of {len(found)} results are missing, see {output_dir}/report.html; "
            f"the first: {notes[0]}"
        )


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    keep_freed_memory()
    make_table(FLAGS.config, pathlib.Path(FLAGS.output_dir))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    config_files.define_flag("table2.py", "The table.")
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    command.run(main)
