"""The layout of a workdir, known to this file and `resume` alone.

    config.json        the resolved configuration, with its CRC-32; resume.py has what is beside it
    checkpoints/STEP/  orbax: items `generator` (parameters, running statistics; averaged where the
                       config says so), `training` (all else that training needs; absent in a
                       converted model), `meta` (position of the data, CRC-32 of every array) and,
                       where it was scored, `metrics` with their CRC-32
    unreadable/        checkpoints and scores that were damaged, moved out of the way

Kept are the newest and the best by validation PSNR. Arrays are saved from a copy in host memory, in
the background, and restored to host memory, whatever devices they were on.
"""

import contextlib
import json
import math
import operator
import pathlib
import shutil
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flax.serialization
import jax
import ml_collections
import numpy as np
import tensorstore
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict

from dped_jax.base.errors import InputError
from dped_jax.base.files import check_space, write_atomically
from dped_jax.base.sealed import seal, unseal, with_tuples
from dped_jax.models.generator import make_generator

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

Tree = dict[str, Any]


class UnreadableError(Exception):
    """A checkpoint is damaged."""


def write_config(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Writes the configuration of a workdir, which is made where it does not exist."""
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(seal(json.loads(config.to_json())), indent=2)
    write_atomically(workdir / "config.json", text + "\n")


def read_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """Reads the configuration of a workdir.

    Raises:
      InputError: the folder is not a workdir, or the file is damaged.
    """
    path = pathlib.Path(workdir) / "config.json"
    try:
        return ml_collections.ConfigDict(with_tuples(unseal(path.read_text()))).lock()
    except FileNotFoundError as error:
        remedy = "dped_jax.train and dped_jax.convert make one"
        raise InputError(f"{path}: no such file: {workdir} is not a workdir; {remedy}") from error
    except ValueError as error:
        remedy = "bring it back from a copy; if you changed it yourself, remove crc32 from it"
        raise InputError(f"{path}: damaged, not a configuration ({error}); {remedy}") from error


def read_scores(workdir: pathlib.Path) -> tuple[dict[int, float], list[pathlib.Path]]:
    """Validation PSNR of the checkpoints that have one, by step, and folders of damaged scores."""
    scores, damaged = {}, []
    for step in list_steps(workdir):
        folder = workdir / "checkpoints" / str(step) / "metrics"
        try:
            scores[step] = float(unseal((folder / "metrics").read_text())["psnr"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            damaged.append(folder)
    return scores, damaged


def add_scores(workdir: pathlib.Path, step: int, metrics: dict[str, float]) -> None:
    """Adds to a checkpoint the validation scores that it was saved without."""
    folder = workdir / "checkpoints" / str(step) / "metrics"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "metrics", json.dumps(seal(metrics)))


def open_manager(workdir: pathlib.Path, keep: int = 1):
    """Opens the checkpoints of a workdir for writing; `keep` newest and the best are kept."""
    import orbax.checkpoint as ocp  # which takes as long as reading a checkpoint without it
    from orbax.checkpoint.checkpoint_managers import preservation_policy

    ranking = operator.itemgetter("psnr")
    newest = preservation_policy.LatestN(keep)
    unscored = {"keep_checkpoints_without_metrics": False}
    best = preservation_policy.BestN(get_metric_fn=ranking, n=1, **unscored)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.AnyPreservationPolicy([newest, best]),
        best_fn=ranking,
        **unscored,
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """Arrays of a state by path, copied to the host (a state's own buffers are donated)."""
    flat = flatten_dict(flax.serialization.to_state_dict(tree), sep="/")
    return {path: np.array(leaf) for path, leaf in flat.items() if leaf is not None}


def _checksums(items: dict[str, dict[str, np.ndarray]]) -> dict[str, int]:
    return {
        f"{item}/{path}": zlib.crc32(np.ascontiguousarray(array))
        for item, arrays in items.items()
        for path, array in arrays.items()
    }


def save(
    manager: "ocp.CheckpointManager",
    step: int,
    *,
    generator: Tree,
    training: Tree | None = None,
    data_state: Tree | None = None,
    metrics: dict[str, float] | None = None,
) -> None:
    """Saves a checkpoint, whole or not at all; returns when all is copied (see `finish`).

    Args:
      manager: from `open_manager`.
      step: its number.
      generator: `params` and `batch_stats`.
      training: the rest of a training state, None for a model that cannot be trained on.
      data_state: state of the input iterator.
      metrics: validation scores, with `psnr` in dB.

    Raises:
      InputError: an array is not finite; nothing is written.
      OSError: it, or the one before, could not be written; older checkpoints are untouched.
    """
    import orbax.checkpoint as ocp

    items = {"generator": _flat(generator)} | ({"training": _flat(training)} if training else {})
    args = {item: ocp.args.StandardSave(unflatten_dict(a, sep="/")) for item, a in items.items()}
    args["meta"] = ocp.args.JsonSave({"checksums": _checksums(items), "data_state": data_state})
    for item, arrays in items.items():
        for path, array in arrays.items():
            if not np.isfinite(array).all():
                raise InputError(f"step {step}: {item}/{path} is not finite and is not saved")
    num_bytes = sum(array.nbytes for arrays in items.values() for array in arrays.values())
    if jax.process_index() == 0:
        check_space(manager.directory, num_bytes)
    if metrics and (metrics["psnr"] is None or math.isnan(metrics["psnr"])):
        metrics = None
    metrics = metrics and seal(metrics)
    with _writing(manager, step):
        manager.save(step, args=ocp.args.Composite(**args), metrics=metrics, force=True)


def finish(manager: "ocp.CheckpointManager") -> None:
    """Waits until what `save` has begun is written.

    Raises:
      OSError: it could not be; older checkpoints are untouched.
    """
    with _writing(manager, "the last checkpoint"):
        manager.wait_until_finished()


@contextlib.contextmanager
def _writing(manager: "ocp.CheckpointManager", what: object) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        for partial in manager.directory.glob("*orbax-checkpoint-tmp*"):
            shutil.rmtree(partial, ignore_errors=True)
        reason = str(error).partition(" [")[0]  # a specification follows
        raise OSError(f"{manager.directory}: saving {what} failed: {reason}") from error


def _read_arrays(folder: pathlib.Path, paths: list[str]) -> dict[str, np.ndarray]:
    """Arrays by path that orbax has saved as an item, read as orbax reads them."""
    layout = json.loads((folder / "_METADATA").read_text())
    driver = "zarr3" if layout["use_zarr3"] else "zarr"
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/"}
    context = tensorstore.Context()
    reads = {}
    for path in paths:
        spec = {"driver": driver, "kvstore": kvstore | {"path": path.replace("/", ".") + "/"}}
        reads[path] = tensorstore.open(spec, read=True, context=context)
    arrays = {path: opened.result().read() for path, opened in reads.items()}
    return {path: array.result() for path, array in arrays.items()}


def restore(workdir: pathlib.Path, step: int, items: list[str]) -> dict[str, Tree]:
    """Restores items as flat trees of checked arrays by path, and `meta`.

    Raises:
      UnreadableError: the checkpoint is damaged.
    """
    folder = (workdir / "checkpoints" / str(step)).absolute()
    try:
        meta = json.loads((folder / "meta" / "metadata").read_text())
        result = {}
        for item in items:
            paths = [
                path.partition("/")[2] for path in meta["checksums"] if path.split("/")[0] == item
            ]
            result[item] = _read_arrays(folder / item, paths)
    except Exception as error:  # whatever tensorstore makes of a damaged file
        reason = str(error).partition(" [tensorstore_spec")[0]
        raise UnreadableError(reason.partition("\n")[0]) from error
    for path, checksum in _checksums(result).items():
        if checksum != meta["checksums"][path]:
            raise UnreadableError(f"{path} does not have its checksum")
    return result | {"meta": meta}


def fill(template: Any, arrays: dict[str, np.ndarray], where: object) -> Any:
    """Puts arrays by path, as "params/conv_first/kernel", into a tree of the same structure.

    Raises InputError where one is absent or of another shape: names it, after `where`.
    """
    flat = flatten_dict(flax.serialization.to_state_dict(template), sep="/", keep_empty_nodes=True)
    for path, leaf in flat.items():
        if not hasattr(leaf, "shape"):
            continue
        array = arrays.get(path)
        if array is None or array.shape != leaf.shape:
            found = "absent" if array is None else f"{array.shape}, not {leaf.shape}"
            raise InputError(f"{where}: {path} is {found}: another network was saved there")
        flat[path] = array
    return flax.serialization.from_state_dict(template, unflatten_dict(flat, sep="/"))


def list_steps(workdir: pathlib.Path) -> list[int]:
    """Steps of the checkpoints of a workdir, ascending; none where there is no workdir."""
    # Not by a manager: opening one waits for all processes, which may not all find the folder yet.
    return sorted(int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit())


def load_generator(
    workdir: pathlib.Path, which: str = "best"
) -> tuple[ml_collections.ConfigDict, Tree, int]:
    """Loads the generator of a workdir.

    Args:
      workdir: made by dped_jax.train or dped_jax.convert.
      which: "best" by validation PSNR (the newest where none was scored), "newest", or a step.

    Returns:
      The configuration, the generator's variables (`params`, `batch_stats`), and the step.

    Raises:
      InputError: no workdir, no such checkpoint, a damaged one, or one of another network.
    """
    workdir = pathlib.Path(workdir)
    config, steps = read_config(workdir), list_steps(workdir)
    if not steps:
        raise InputError(f"{workdir}: holds no checkpoint yet")
    scores, damaged = read_scores(workdir)
    for folder in damaged:
        logging.warning("%s: damaged; taken for not scored", folder)
    named = {"newest": steps[-1], "best": max(scores, key=scores.__getitem__, default=steps[-1])}
    step = named.get(which, int(which) if which.isdigit() else None)
    if step not in steps:
        raise InputError(f"--step={which}: {workdir} has best, newest and {steps}")
    where, others = workdir / "checkpoints" / str(step), [s for s in steps if s != step]
    try:
        arrays = restore(workdir, step, ["generator"])["generator"]
    except UnreadableError as error:
        if not where.exists():  # the training that goes on there has deleted it
            return load_generator(workdir, which)
        remedy = f"--step chooses another of {others}"
        raise InputError(f"{where}: damaged ({error}); {remedy}") from error
    init, images = make_generator(config).init, jax.ShapeDtypeStruct((1, 16, 16, 3), "float32")
    expected = jax.eval_shape(lambda x: init(jax.random.PRNGKey(0), x), images)
    kept = {name: expected[name] for name in ("params", "batch_stats") if name in expected}
    fill(kept, arrays, where)
    return config, {"params": {}, "batch_stats": {}} | unflatten_dict(arrays, sep="/"), step
