"""Tables 2 and 3: methods and phones, scored by one protocol.

    python -m dped_jax.experiments.table --config=configs/table2.py --output_dir=runs/table2

Trains what the config lists and is not there yet, in output_dir/models; the same command goes on
after an interruption. Scores are those of protocol `pirm` (README). A method that has no result for
a phone is a dash with a footnote. Writes results.json, scores.csv, sheets of pictures and
report.html.
"""

import pathlib
import string
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import flags, logging
from ml_collections import config_flags

from dped_jax import checkpoint, cli, evaluate, held_out, input_pipeline, picture_folders, tiles
from dped_jax.cli import InputError
from dped_jax.experiments import outputs, sheets, table_page, training
from dped_jax.train_step import make_eval_step

METRICS = ("psnr", "ms_ssim", "ssim")
BATCH_SIZE = 50
Batches = Callable[[pathlib.Path | None], Iterator[picture_folders.Batch]]


class NotThereError(InputError):
    """A method was not given for a phone: a dash in the table, not a failure."""


def filled(path: str, **values: object) -> str:
    """Fills the {phone}, {seed} and {models} of a path of the config.

    Raises:
      InputError: the path has other fields.
    """
    names = {name for _, name, _, _ in string.Formatter().parse(path) if name is not None}
    if not names <= values.keys():
        raise InputError(f"config: {path!r}: write only {{phone}}, {{seed}} and {{models}} in it")
    return path.format(**values)


def open_pairs(config: ml_collections.ConfigDict, phone: str) -> tuple[Batches, Any]:
    """Opens the pictures that are scored for a phone.

    Returns:
      A function that yields batches of "phone" and "dslr", and of "enhanced" where it is given
      a folder; and the configuration of the dataset, None for folders.

    Raises:
      InputError: there is no such dataset or folder.
    """
    if config.phone_dir or config.dslr_dir:
        names = ("phone_dir", "dslr_dir")
        folders = {name: pathlib.Path(filled(config[name], phone=phone)) for name in names}
        picture_folders.matching_images(folders)

        def from_folders(enhanced_dir):
            enhanced = {"enhanced_dir": enhanced_dir} if enhanced_dir else {}
            return picture_folders.folder_batches(folders | enhanced, BATCH_SIZE)

        return from_folders, None
    dataset = ml_collections.ConfigDict({"data": {"data_dir": config.data_dir, "phone": phone}})
    source = input_pipeline.open_split(dataset, config.split)

    def from_split(enhanced_dir):
        if enhanced_dir:
            return picture_folders.split_batches(source, enhanced_dir, BATCH_SIZE)
        return input_pipeline.eval_batches(source, BATCH_SIZE)

    return from_split, dataset


def find_method(
    config: ml_collections.ConfigDict, name: str, phone: str, seed: int, models: pathlib.Path
) -> tuple[pathlib.Path, bool]:
    """Finds a method's workdir, trained if need be, or its folder of pictures.

    Returns:
      The path, and whether it is a folder of pictures.

    Raises:
      NotThereError: a workdir or folder that the config names does not exist.
      InputError: the training failed.
    """
    method = config.methods[name]
    values = {"phone": phone, "seed": seed, "models": models}
    for field in ("workdir", "enhanced_dir"):
        if method[field]:
            path = pathlib.Path(filled(method[field], **values))
            if not path.is_dir():
                raise NotThereError(f"config.methods.{name}.{field}: no folder {path}")
            return path, field == "enhanced_dir"
    if method.model is None:
        raise InputError(f"config.methods.{name}: give its model, workdir or enhanced_dir")
    model = method.model.copy_and_resolve_references()
    model.seed = seed
    model.data.data_dir, model.data.phone = config.data_dir, phone
    model.vgg.weights = config.vgg_weights
    model.train.init_from = filled(model.train.init_from, **values)
    workdir = models / f"{name}_{phone}_{seed}"
    training.ensure_trained(model, workdir)
    return workdir, False


def score_method(
    config: ml_collections.ConfigDict, path: pathlib.Path, is_folder: bool, pairs: Batches, dataset
) -> tuple[dict[str, evaluate.Scores], dict[str, Any], Callable]:
    """Scores one method on the pictures of one phone.

    Returns:
      What `evaluate.score_batches` returns, what is to be noted of the method, and a function that
      gives the (n, H, W, 3) uint8 pictures of a batch of pairs.

    Raises:
      InputError: the model has seen these photographs in training; pictures are missing.
    """
    if is_folder:
        scores = evaluate.score_batches(None, pairs(path))
        return scores, {"enhanced_dir": str(path)}, lambda batch: batch["enhanced"]
    model, variables, step = checkpoint.load_generator(path, config.step)
    remarks = held_out.check_held_out(path, dataset, config.split) if dataset else []
    eval_step = jax.jit(make_eval_step(model))

    def enhance(images):
        return eval_step(variables, images)

    scores = evaluate.score_batches(enhance, pairs(None))
    noted = {"workdir": str(path), "step": step, "remarks": remarks}
    if model.loss.content and model.vgg.weights == "random":
        noted["vgg"] = "random"
    return scores, noted, lambda batch: tiles.to_integers(np.asarray(enhance(batch["phone"])))


def summarize_seeds(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of the scores of a method's runs, and of several their "range", largest - smallest."""
    if not runs:
        return {}
    summary = {metric: float(np.mean([run[metric] for run in runs])) for metric in METRICS}
    if len(runs) > 1:
        summary["range"] = {m: float(np.ptp([run[m] for run in runs])) for m in METRICS}
    return summary


def picked(batches: Iterator[picture_folders.Batch], indices: np.ndarray) -> picture_folders.Batch:
    """The pairs of these indices, in their order, of all that batches yield.

    Pictures of one size only: those that differ from the first in size are left out.
    """
    found, start = {}, 0
    for batch in batches:
        num = len(batch["dslr"])
        for i in indices[(indices >= start) & (indices < start + num)]:
            found[int(i)] = {name: images[i - start] for name, images in batch.items()}
        start += num
    rows = [found[int(i)] for i in indices]
    rows = [row for row in rows if row["dslr"].shape == rows[0]["dslr"].shape]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def draw_sheets(
    config: ml_collections.ConfigDict, output_dir: pathlib.Path, phone: str, pairs: Batches, shown
) -> list[dict[str, Any]]:
    """Draws sheets of input, each method and target: evenly chosen pairs, and the worst ones.

    Args:
      config: the table's.
      output_dir: where PNG files go.
      phone: named in the files' names.
      pairs: from `open_pairs`.
      shown: for each method its title, PSNR of every picture, folder or None, and the function
        from `score_method`; the worst are those of the last method.

    Returns:
      For each sheet its "title", "file", "images" as numbers from 0 in the order of the pairs, and
      the columns "input", "enhanced" (of the last method) and "target".
    """
    title, psnr, *_ = shown[-1]
    even = np.linspace(0, len(psnr) - 1, min(config.num_pictures, len(psnr))).astype(int)
    worst = sheets.worst(psnr, config.num_pictures)
    drawn = []
    for kind, heading, indices in (
        ("typical", "Evenly chosen patches", np.unique(even)),
        ("worst", f"The worst of {title} by PSNR", worst),
    ):
        if not len(indices):
            continue
        chosen = picked(pairs(None), indices)
        columns = {"input": chosen["phone"]}
        for name, _, folder, enhance in shown:
            columns[name] = enhance(picked(pairs(folder), indices) if folder else chosen)
        columns["target (DSLR)"] = chosen["dslr"]
        labels = [f"{psnr[i]:.2f} dB" for i in indices]
        file = f"{kind}_{phone}.png"
        picture = sheets.sheet(columns, labels)
        outputs.write_picture(output_dir / file, picture)
        drawn.append(
            {
                "title": heading,
                "file": file,
                "picture": picture,
                "images": [int(i) for i in indices],
                "before": chosen["phone"],
                "after": columns[title],
            }
        )
    return drawn


def plan(config: ml_collections.ConfigDict) -> list[tuple[str, int]]:
    """Methods and seeds in the order of work: the whole table for the first seed, then the next."""

    def seeds(name: str) -> tuple[int, ...]:
        method = config.methods[name]
        trained = method.model is not None and not (method.workdir or method.enhanced_dir)
        return (method.seeds or config.seeds) if trained else config.seeds[:1]

    entries = [(k, name, seed) for name in config.rows for k, seed in enumerate(seeds(name))]
    return [(name, seed) for _, name, seed in sorted(entries, key=lambda entry: entry[0])]


def run_phone(
    config: ml_collections.ConfigDict, phone: str, output_dir: pathlib.Path
) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """Trains and scores all methods for one phone.

    Returns:
      The phone's part of results.json, its sheets, and how many methods failed.
    """
    methods: dict[str, Any] = {name: {"runs": []} for name in config.rows}
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
            scores, noted, enhance = score_method(config, path, is_folder, pairs, dataset)
        except InputError as error:
            logging.warning("%s, %s: %s", title, phone, error)
            num_failed += not isinstance(error, NotThereError)
            entry["note"] = str(error)
            if isinstance(error, picture_folders.MissingPicturesError):
                entry["missing"] = error.missing
            continue
        summary = evaluate.summarize(scores["enhanced"])
        print(evaluate.format_summary(f"{title}, {phone}, seed {seed}:", summary))
        entry["runs"].append(noted | {"seed": seed} | summary)
        result["images"] = len(scores["enhanced"]["psnr"])
        result["input"] = evaluate.summarize(scores["input"])
        folder = path if is_folder else None
        shown.setdefault(name, (title, scores["enhanced"]["psnr"], folder, enhance))
    for entry in methods.values():
        entry.update(summarize_seeds(entry["runs"]))
    listed = [shown[name] for name in config.rows if name in shown]
    drawn = draw_sheets(config, output_dir, phone, pairs, listed) if listed else []
    return result, drawn, num_failed


def make_table(config: ml_collections.ConfigDict, output_dir: pathlib.Path) -> None:
    """Trains, scores and writes everything.

    Raises:
      InputError: a method failed (all others are in the files nevertheless), or none has a result.
    """
    unknown = [name for name in config.rows if name not in config.methods]
    if unknown or not config.rows:
        raise InputError(
            f"config.rows={config.rows}: no such method; there are {', '.join(config.methods)}"
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    phones, drawn, failed = {}, {}, 0
    for phone in config.phones:
        phones[phone], drawn[phone], failures = run_phone(config, phone, output_dir)
        failed += failures
    methods = {name: config.methods[name] for name in config.rows}
    results = {
        "experiment": config.title,
        "protocol": "pirm",
        "split": "folders" if config.phone_dir else config.split,
        "titles": {name: method.title for name, method in methods.items()},
        "published": {name: method.published.to_dict() for name, method in methods.items()},
        "phones": phones,
    }
    outputs.write_json(output_dir / "results.json", results)
    header = ["phone", "method", "seed", *METRICS, "identical_pairs", "note"]
    outputs.write_csv(output_dir / "scores.csv", header, table_page.csv_rows(results))
    cli.write_atomically(output_dir / "report.html", table_page.make_page(results, drawn))
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
    make_table(FLAGS.config, pathlib.Path(FLAGS.output_dir))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", "configs/table2.py", "The table.")
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    cli.run(main)
