"""From two folders of photos to the folder of their patches."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.files import locked, write_atomically

from .. import manifest
from ..layout import MANIFEST_FILE
from . import photo_pairs, publish, records, splits
from .pairing import Pairing, by_name, list_cameras
from .parallel import Run, Tasks
from .summary import Summary


@dataclasses.dataclass(frozen=True)
class Result:
    """What `prepare` made.

    Attributes:
      summary: counts of windows and patches, photos without.
      pairs: photos with a partner.
      done_before: pairs that were finished when it began.
      changed: False if everything was there already.
    """

    summary: Summary
    pairs: int
    done_before: int
    changed: bool


def prepare(
    *,
    phone_dir: str,
    dslr_dir: str,
    output_dir: str,
    phone: str = "custom",
    settings: photo_pairs.Settings | None = None,
    test_scenes: int = -1,
    validation_scenes: int = -1,
    scene_separator: str = "",
    pairing: Pairing | None = None,
    run: Run,
) -> Result:
    """Aligns all pairs of two folders and writes their patches.

    Args:
      phone_dir: folder of the phone's photos.
      dslr_dir: folder of the DSLR camera's.
      output_dir: where the folder `phone` is made.
      phone: a key of `CAMERA_FOLDERS`.
      settings: of alignment and patches; None is the paper's.
      test_scenes: see `splits.assign_splits`.
      validation_scenes: likewise.
      scene_separator: see `splits.scene_of`.
      pairing: the pairs of these folders; None is those of the same name.
      run: calls a function for all tasks; the third argument says what it does.

    Returns:
      What was made.

    Raises:
      InputError: a folder is missing or holds no photos, no photo has a partner, the output is not
        of this command or of other settings, or a flag is out of range.
      OSError: something cannot be written.
    """
    settings = settings or photo_pairs.Settings()
    if pairing is None:
        pairing = by_name(list_cameras({phone: phone_dir}, dslr_dir), phone, scene_separator)
    split_of = splits.assign_splits(pairing.scenes.values(), test_scenes, validation_scenes)
    target = epath.Path(output_dir) / phone
    work = epath.Path(output_dir) / ".prepare" / phone
    if target.exists() and not work.exists():
        raise InputError(f"{target}: was not made by this command: choose another --output_dir")
    with _alone(work):
        _keep_settings(
            work / "settings.json",
            dataclasses.asdict(settings)
            | {"phone_dir": phone_dir, "dslr_dir": dslr_dir}
            | {"test_scenes": test_scenes, "validation_scenes": validation_scenes}
            | {"scene_separator": scene_separator},
        )
        record_dir = os.fspath(work / "pairs")
        done_before = len(pairing.files) - _process(pairing, settings, record_dir, run)
        summary = Summary(settings.min_correlation)
        finished = summary.of_records(_read_records(pairing, record_dir))
        rows = splits.make_rows(finished, pairing.unmatched, split_of, pairing.scenes)
        manifest.write(work / MANIFEST_FILE, summary.of_rows(rows))
        changed = publish.publish(
            target, work, summary=summary, pairing=pairing, settings=settings, run=run
        )
    return Result(summary, len(pairing.files), done_before, changed)


def _alone(work: epath.Path) -> contextlib.AbstractContextManager[None]:
    """Keeps other processes out of a folder; object stores have no locks."""
    if "://" in os.fspath(work):
        return contextlib.nullcontext()
    work.parent.mkdir(parents=True, exist_ok=True)
    return locked(Path(work.parent) / f"{work.name}.lock", f"{work.parent.parent / work.name}")


def _keep_settings(file: epath.Path, settings: Mapping[str, object]) -> None:
    """Writes the settings of a new run; other ones than of the run before are refused."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(settings, indent=2).encode())
        return
    try:
        before = {"keep_aligned": False} | dict(json.loads(file.read_text()))  # old ones lack it
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{file}: damaged ({error}): remove it if this command has the flags of the run before"
        ) from error
    differing = [name for name in before.keys() | settings.keys()
                 if before.get(name) != settings.get(name)]  # fmt: skip
    if differing:
        name = min(differing)
        raise InputError(
            f"{file}: an earlier run had {name}={before.get(name)!r}, this one has"
            f" {settings.get(name)!r}: choose another --output_dir, or remove {file.parent}"
            f" and {file.parents[2] / file.parent.name}"
        )


def _process(pairing: Pairing, settings: photo_pairs.Settings, record_dir: str, run: Run) -> int:
    """Makes the records that are not there; how many."""
    epath.Path(record_dir).mkdir(parents=True, exist_ok=True)
    todo = [
        name
        for name in pairing.files
        if photo_pairs.finished_record(pairing.pair(name), record_dir) is None
    ]
    if todo:
        process = functools.partial(
            photo_pairs.process_pair, settings=settings, work_dir=record_dir
        )
        run(process, Tasks(todo, pairing.pair), "aligning")
    return len(todo)


def _read_records(pairing: Pairing, record_dir: str) -> Iterator[dict[str, Any]]:
    """The records of all pairs, one by one."""
    for name in pairing.files:
        record = records.read(f"{record_dir}/{name}")
        if record is None:
            raise InputError(
                f"{record_dir}/{name}.json: damaged or removed: the same command makes it again"
            )
        yield record
