"""Figures 8, 9 and 11 to 18: whole photographs, as they were and as several methods make them.

    python -m dped_jax.experiments.photographs --photos_dir=photos --output_dir=runs/photographs \
        --methods=Ours=runs/iphone,SRCNN=runs/srcnn,APE=photos_ape [--dslr_dir=photos_dslr]

A method is a workdir, whose generator enhances the photographs here (kept in output_dir/NAME, which
can be given as a folder the next time), or a folder of what some other program or person made of
them, matched by file stem. The DSLR's photographs may differ in size or framing: they are shown
then, and compared in numbers only where the size is that of the photograph. Photographs are JPEG,
PNG, TIFF or WebP.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags

from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.folders import matching_pictures, natural_key, pictures_by_stem, some
from dped_jax.base.pictures import read_pixels
from dped_jax.base.pictures import size as picture_size
from dped_jax.enhance import activations
from dped_jax.enhance.worker import (
    Crop,
    Settings,
    Worker,
    enhance_files,
    parse_crop,
    use_compilation_cache,
    window_of,
)
from dped_jax.evaluate.scores import SCORES, score_batches
from dped_jax.pages import outputs, sheets, web_page

TITLE = "Figures 8, 9 and 11 to 18: whole photographs"
THUMBNAIL = 320  # pixels a side of the contact sheet's pictures, at most
INPUT, TARGET = "input", "DSLR"  # names of columns that no method may have
Paths = dict[str, pathlib.Path]
Pictures = dict[str, Any]  # (H, W, 3) uint8 by column; None where there is none


def parse_methods(listed: Sequence[str]) -> Paths:
    """Reads name=path entries of --methods.

    Raises:
      InputError: one is written in another way, a name cannot be that of a folder or comes twice,
        or there is nothing at a path.
    """
    methods: Paths = {}
    for entry in listed:
        name, separator, path = entry.partition("=")
        if not (name and separator and path):
            raise InputError(f"--methods: {entry!r}: write NAME=WORKDIR or NAME=FOLDER")
        if "/" in name or name.startswith(".") or name in (INPUT, TARGET, *methods):
            raise InputError(f"--methods: the name {name!r} is taken or names no folder; change it")
        if not pathlib.Path(path).is_dir():
            raise InputError(f"--methods={entry}: no such folder")
        methods[name] = pathlib.Path(path)
    if not methods:
        raise InputError("--methods: is empty; give at least one NAME=WORKDIR or NAME=FOLDER")
    return methods


def is_workdir(path: pathlib.Path) -> bool:
    """Whether a folder is a model, not pictures."""
    return (path / "config.json").exists()


def enhance_photos(photos: Paths, workdir: pathlib.Path, folder: pathlib.Path) -> tuple[Paths, int]:
    """Enhances photographs with the best checkpoint of a workdir.

    Returns:
      The PNG files in `folder` by stem, and the step of the checkpoint.

    Raises:
      InputError: the workdir holds no model, or a photograph cannot be read or enhanced.
    """
    config, variables, step = checkpoint.load_generator(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    written = {stem: folder / f"{stem}.png" for stem in photos}
    devices = jax.local_devices()[: len(photos)]
    settings = Settings(memory=activations.default_memory() / len(devices))
    workers = [Worker(config, variables, device, settings) for device in devices]
    failures, _ = enhance_files([(photos[stem], written[stem]) for stem in photos], workers)
    if failures:
        more = f" (and {len(failures) - 1} more photographs)" if failures[1:] else ""
        raise InputError(failures[0] + more)
    return written, step


def unmatched(name: str, photos: Paths, pictures: Paths) -> list[str]:
    """Lines on what a folder lacks of the photographs, and on what it holds besides.

    Raises:
      InputError: no name matches.
    """
    missing, others = photos.keys() - pictures.keys(), pictures.keys() - photos.keys()
    if len(missing) == len(photos):
        flag = "dslr_dir" if name == TARGET else "methods"
        raise InputError(
            f"--{flag}: {name} holds none of the photographs; names are to be equal but for the"
            f" suffix (as {min(photos)}, where it has {min(pictures)})"
        )
    lines = [f"{name}: no picture of {stem}" for stem in sorted(missing, key=natural_key)]
    if others:
        lines.append(f"{name}: pictures of no photograph, left out: {some(others, len(others))}")
    return lines


def score(shown: Pictures) -> dict[str, dict[str, float | None]]:
    """Scores the pictures that have the size of the DSLR's, by protocol `pirm`.

    Returns:
      PSNR (None where identical), MS-SSIM and SSIM by column; empty where the photograph itself
      differs from the DSLR's in size, or there is none.
    """
    target = shown.get(TARGET)
    if target is None or target.shape != shown[INPUT].shape:
        return {}
    names = [k for k, x in shown.items() if k != TARGET and x is not None]
    names = [name for name in names if shown[name].shape == target.shape]
    batches = ({"dslr": target[None], "enhanced": shown[name][None]} for name in names)
    found = score_batches(None, batches)["enhanced"]
    return {
        name: {k: float(found[k][i]) if math.isfinite(found[k][i]) else None for k in SCORES}
        for i, name in enumerate(names)
    }


def score_table(scores: dict[str, dict[str, float | None]]) -> list[list[str]]:
    """The rows of a table of what `score` gives, the header first; none of nothing."""
    rows = [
        [name, *("identical" if v is None else f"{v:{SCORES[k][1]}}" for k, v in values.items())]
        for name, values in scores.items()
    ]
    return [["", *(label for label, _ in SCORES.values())], *rows] if rows else []


def section(stem: str, pictures: Pictures, scores: list[list[str]], side: int) -> dict[str, Any]:
    """What the page shows of a photograph: pictures by column, shrunk, and their sizes."""
    there = {name: image for name, image in pictures.items() if image is not None}
    return {
        "stem": stem,
        "pictures": pictures | {name: sheets.fit(x, side, side) for name, x in there.items()},
        "sizes": {name: image.shape[1::-1] for name, image in there.items()},
        "scores": scores,
    }


def read_pictures(paths: dict[str, pathlib.Path | None], crop: Crop | None) -> Pictures:
    """Reads a photograph's pictures by column, in 8 bits; crops those that have its size.

    Raises:
      InputError: a file is damaged, or the crop lies outside.
    """
    pictures: Pictures = {}
    size = None
    for name, path in paths.items():
        pixels = read_pixels(path, deep=False) if path else None
        if pixels is not None:
            size = size or pixels.shape  # the photograph itself comes first
            if crop and pixels.shape == size:
                pixels = pixels[window_of(crop, *size[:2])]
        pictures[name] = pixels
    return pictures


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    use_compilation_cache()
    methods = parse_methods(FLAGS.methods)
    crop = parse_crop(FLAGS.crop) if FLAGS.crop else None
    photos_dir, output_dir = pathlib.Path(FLAGS.photos_dir), pathlib.Path(FLAGS.output_dir)
    paths = [p["photos_dir"] for p in matching_pictures({"photos_dir": photos_dir})]
    photos = {path.stem: path for path in paths}
    for path in paths:
        picture_size(path)  # what is no photograph is told before the work
    folders = {name: path for name, path in methods.items() if not is_workdir(path)}
    columns = {name: pictures_by_stem(path, f"methods={name}") for name, path in folders.items()}
    if FLAGS.dslr_dir:
        columns[TARGET] = pictures_by_stem(pathlib.Path(FLAGS.dslr_dir), "dslr_dir")
    lines = [line for name, found in columns.items() for line in unmatched(name, photos, found)]
    steps = {}
    for name, path in methods.items():
        if name not in folders:
            if (output_dir / name).resolve() == photos_dir.resolve():
                raise InputError(f"--output_dir={output_dir}: {name} in it is --photos_dir itself")
            columns[name], steps[name] = enhance_photos(photos, path, output_dir / name)

    order = [*methods, *([TARGET] if FLAGS.dslr_dir else [])]
    sections, rows, scores = [], [], {}
    for stem, path in photos.items():
        others = {name: columns[name].get(stem) for name in order}
        shown = read_pictures({INPUT: path, **others}, crop)
        scores[stem] = score(shown)
        sections.append(section(stem, shown, score_table(scores[stem]), FLAGS.page_side))
        cells = [x if x is None else sheets.fit(x, THUMBNAIL, THUMBNAIL) for x in shown.values()]
        rows.append((stem, cells))
    contact_sheet = sheets.grid([INPUT, *order], rows)
    result = {"experiment": TITLE, "photographs": list(photos), "crop": FLAGS.crop}
    result["methods"] = {
        name: {"path": str(path), "step": steps.get(name)} for name, path in methods.items()
    }
    result |= {"dslr_dir": FLAGS.dslr_dir, "missing": lines, "scores": scores}

    page = web_page.render(
        "photographs", TITLE, contact_sheet=contact_sheet, photos=sections, missing=lines
    )
    outputs.write_report(output_dir, result, page)
    outputs.write_picture(output_dir / "contact_sheet.png", contact_sheet)
    print("\n".join([*lines, f"{len(photos)} photographs (report: {output_dir}/report.html)"]))


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("photos_dir", None, "Folder of photographs.", required=True)
    flags.DEFINE_list("methods", None, "NAME=WORKDIR or NAME=FOLDER, by commas.", required=True)
    flags.DEFINE_string("dslr_dir", None, "Folder of the DSLR's photographs, where there are any.")
    flags.DEFINE_string("output_dir", None, "Folder for results and report.", required=True)
    flags.DEFINE_string("crop", None, "Show WIDTHxHEIGHT of the middle, or +LEFT+TOP, of each.")
    flags.DEFINE_integer("page_side", 1000, "Pixels a side of the page's pictures, at most.", 1)
    command.run(main)
