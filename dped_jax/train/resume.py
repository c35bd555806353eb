"""What a workdir was trained with, and what of it may change when the training goes on.

config.json           the configuration, as of the last start
config_history.jsonl  what it was before: a line whenever fields were changed, {"step": the last
                      one with these values, "earlier": {field: value}}
dataset.json          of the dataset, see `train.fingerprint`
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections
from flax.traverse_util import flatten_dict

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.base.files import locked, write_atomically

# Without effect on parameters and scores. `eval.num_pairs` has one: the best of scores on different
# pairs is not the best model.
FREE = {
    "data.decode_once",
    "data.on_device",
    "train.remat",
    "train.steps_per_call",
    "train.log_every_steps",
    "train.eval_every_steps",
    "train.checkpoint_every_steps",
    "train.keep_checkpoints",
    "eval.batch_size",
    "eval.num_pictures",
}
# Fields that older workdirs lack, with what was done before there was a choice.
SINCE = {"matmul_precision": "default"}


@contextlib.contextmanager
def alone(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps other trainings out of a workdir, which is made where it does not exist.

    Raises:
      InputError: another one is there.
    """
    if jax.process_index() != 0:  # it is of the training that process 0 has let in
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        with locked(workdir / "lock", f"--workdir={workdir}"):
            yield
    finally:
        with contextlib.suppress(OSError):
            workdir.rmdir()  # where nothing came of it


def read_dataset(workdir: pathlib.Path) -> dict[str, Any] | None:
    """The fingerprint of the dataset that a workdir was trained on, None where it has none.

    Raises InputError where it is damaged.
    """
    path = pathlib.Path(workdir) / "dataset.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else None
    except (ValueError, TypeError) as error:
        remedy = "remove it if the dataset is surely the one of before"
        raise InputError(f"{path}: damaged ({error}); {remedy}") from error


def compare(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, dataset: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Compares a configuration, and its dataset where given, with what a workdir was made with.

    Returns:
      Earlier values of the fields that differ, as they may; {} for a new workdir.

    Raises:
      InputError: fields differ that have an effect on what was computed; names them all. Or the
        dataset is another.
    """
    path = workdir / "config.json"
    if not path.exists():
        return {}
    there = checkpoint.read_config(workdir)
    theirs, ours = (flatten_dict(json.loads(c.to_json()), sep=".") for c in (there, config))
    theirs = SINCE | theirs
    recorded = read_dataset(workdir)
    free = FREE | ({"train.num_steps"} if config.train.schedule == "constant" else set())
    if dataset and recorded:
        free |= {"data.data_dir"}
    differing = [
        name for name in sorted(theirs.keys() | ours.keys()) if theirs.get(name) != ours.get(name)
    ]
    refused = [
        f"{name} ({theirs.get(name, 'absent')!r} there, {ours.get(name, 'absent')!r} here)"
        for name in differing
        if name not in free
    ]
    remedy = f"use another --workdir, with --config.train.init_from={workdir} to go on from there"
    if refused:
        raise InputError(f"{path}: made with another configuration: {', '.join(refused)}; {remedy}")
    if dataset and recorded and dataset != recorded:
        raise InputError(
            f"config.data.data_dir={config.data.data_dir}: not the dataset on which {workdir} was "
            f"trained ({_difference(recorded, dataset)}); bring that one back, or {remedy}"
        )
    return {name: theirs.get(name) for name in differing}


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Names the splits that differ, and their numbers of pairs."""
    splits = [
        f"{name}: {there.get('pairs', 0)} pairs there, {here.get('pairs', 0)} here"
        for name in sorted(theirs["splits"].keys() | ours["splits"].keys())
        if (there := theirs["splits"].get(name, {})) != (here := ours["splits"].get(name, {}))
    ]
    return ", ".join(splits) or f"{theirs['name']} {theirs['version']}"


def record(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, dataset: dict[str, Any], step: int
) -> None:
    """Writes what training goes on with from a step, and what was changed for that.

    Raises:
      InputError: see `compare`.
      OSError: it cannot be written.
    """
    earlier = compare(workdir, config, dataset)
    if jax.process_index() != 0:
        return
    if earlier:
        with (workdir / "config_history.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "earlier": earlier}) + "\n")
    checkpoint.write_config(workdir, config)
    write_atomically(workdir / "dataset.json", json.dumps(dataset, indent=2) + "\n")
