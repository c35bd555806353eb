"""Refuses to score a model on patches or photographs that it was trained on.

What a model has seen is the train split of the dataset that its workdir names, and of those of the
workdirs that it was started from (`train.init_from`). The builder keeps the splits of one dataset
apart, so the dataset that a model was trained on needs no reading, wherever it lies now: its
fingerprint tells (see `train.fingerprint`). Of any other dataset the train split is
compared with the patches to be scored:

- A DSLR patch with the same bytes is the same patch: refused. Blank patches (sky) are passed over,
  since those of different photographs are often the same to the byte.
- A photograph of the same name, where both datasets name theirs, is taken for the same one:
  refused, whatever its patches look like. Cameras number their pictures alike, so two IMG_0001 need
  not be the same; only a person can tell, and says so with --allow_seen.

A dataset that was built anew with another train split since the training is refused, as nobody can
tell any more what the model has seen; of a workdir without a fingerprint, as old ones are, this is
not noticed. Copies of a patch that were encoded again are not noticed.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import ml_collections
import numpy as np
from absl import logging

from dped_jax import checkpoint, input_pipeline
from dped_jax.base.errors import InputError
from dped_jax.base.folders import some
from dped_jax.base.progress import progress_bar
from dped_jax.train import resume
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint

BLANK_RANGE = 8  # levels; a patch whose channels all vary less looks like any other blank one
SHOWN = 3  # names in a message about many


class SeenInTrainingError(InputError):
    """A model was trained on what it is to be scored on."""


def check_held_out(workdir: pathlib.Path, data_dir: str, phone: str, split: str) -> list[str]:
    """Checks that a model has not seen the patches and photographs of a split in training.

    Args:
      workdir: of the model.
      data_dir: where the dataset is that is to be scored.
      phone: which dataset.
      split: which split of it; train is not checked, since there seen patches are meant.

    Returns:
      Remarks, a line each, on what could not be checked; [] where all is well.
      Of a converted model nothing is known, and that is only logged.

    Raises:
      SeenInTrainingError: it was trained on some of them, or on their photographs.
      InputError: there is no such split.
    """
    remarks: list[str] = []
    if split == "train":
        return remarks
    scored_folder = input_pipeline.dataset_folder(data_dir, phone).resolve()
    checked: list[Any] = [(scored_folder, None)]
    digests: dict[bytes, str] = {}
    photos: set[bytes] = set()
    for model, config in _history(workdir, remarks):
        trained = config.data.data_dir, config.data.phone
        folder = input_pipeline.dataset_folder(*trained).resolve()
        recorded = resume.read_dataset(model)
        is_apart = recorded and _same_split(recorded, (data_dir, phone), split)
        if is_apart or (folder, recorded) in checked:
            continue
        checked.append((folder, recorded))
        try:
            if recorded and not _same_split(recorded, trained, "train"):
                raise InputError(f"{folder} was built anew since then, with another train split")
            source = input_pipeline.open_split(*trained, "train")
        except InputError as error:
            if folder == scored_folder:
                raise SeenInTrainingError(
                    f"{workdir}: {error}: {model} may have seen what is in its {split} split now; "
                    "score it on others, or give --allow_seen"
                ) from error
            remarks.append(f"{model}: cannot be checked for what it was trained on: {error}")
            continue
        if not digests:
            scored = input_pipeline.open_split(data_dir, phone, split)
            digests = {_digest(record): record["name"].decode() for record in scored}
            photos = {record["photo"] for record in scored} - {b""}
        seen, shared = _compare(digests, photos, source, f"checking {folder}")
        problems = [
            f"{len(found)} of the {total} {what} of the {split} split ({some(found, SHOWN)})"
            for found, total, what in (
                (seen, len(scored), "patches"),
                (shared, len(photos), "photographs"),
            )
            if found
        ]
        if problems:
            raise SeenInTrainingError(
                f"{workdir}: {' and '.join(problems)} of {scored_folder} are in the train split of "
                f"{folder}, on which {model} was trained: score it on others; or give --allow_seen,"
                " as where different photographs have the same names"
            )
    return remarks


def _history(
    workdir: pathlib.Path, remarks: list[str]
) -> Iterator[tuple[pathlib.Path, ml_collections.ConfigDict]]:
    """Yields a workdir and those that it was started from, with their configurations."""
    visited = set()
    while workdir:
        path = pathlib.Path(workdir).expanduser()
        if path.resolve() in visited:
            remarks.append(f"{path}: was started from itself; what it was before is not known")
            return
        visited.add(path.resolve())
        try:
            config = checkpoint.read_config(path)
        except InputError as error:
            remarks.append(f"{path}: cannot be checked for what it was trained on: {error}")
            return
        if _is_converted(path):
            logging.info("%s: a converted model; what it was trained on is not known", path)
            return
        yield path, config
        workdir = config.train.init_from


def _is_converted(workdir: pathlib.Path) -> bool:
    """Whether a workdir holds a generator but no state of a training, as dped_jax.convert's do."""
    folder = workdir / "checkpoints"
    return any(folder.glob("*/generator")) and not any(folder.glob("*/training"))


def _same_split(recorded: dict[str, Any], dataset: tuple[str, str], split: str) -> bool:
    """Whether a split of a dataset is, byte for byte, that of the dataset that was recorded."""
    return recorded["splits"].get(split) == dataset_fingerprint(*dataset)["splits"].get(split)


def _compare(
    digests: dict[bytes, str], photos: set[bytes], source: Sequence[dict[str, Any]], what: str
) -> tuple[set[str], set[str]]:
    """Names of the patches to be scored, and of their photographs, that a train split has too."""
    seen, shared = set(), set()
    for record in progress_bar(source, desc=what, unit=" patches", leave=False):
        if (digest := _digest(record)) in digests and not _is_blank(record["dslr"]):
            seen.add(digests[digest])
        if record["photo"] in photos:
            shared.add(record["photo"].decode())
    return seen, shared


def _digest(record: dict[str, Any]) -> bytes:
    return hashlib.blake2b(record["dslr"], digest_size=16).digest()


def _is_blank(encoded: bytes) -> bool:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return bool((np.ptp(image, axis=(0, 1)) < BLANK_RANGE).all())
