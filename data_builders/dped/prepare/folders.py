"""From two folders of photos to the folder of their patches."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from .. import cli, locks
from ..cli import InputError
from . import photo_pairs, publish, splits
from .pairing import Pairing, by_name
from .parallel import Run


@dataclasses.dataclass(frozen=True)
class Result:
    """What `prepare` made.

    Attributes:
      rows: of the manifest.
      pairs: photos with a partner.
      done_before: pairs that were finished when it began.
      windows: examined.
      blank: of these, blank.
      changed: False if everything was there already.
    """

    rows: list[dict[str, Any]]
    pairs: int
    done_before: int
    windows: int
    blank: int
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
    pairing = pairing or by_name(phone_dir, dslr_dir, scene_separator)
    pairs = [pairing.pair(name) for name in pairing.files]
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
        records, done_before = _process(pairs, settings, work / "pairs", run)
        rows = splits.make_rows(records, pairing.unmatched, split_of, pairing.scenes)
        changed = publish.publish(
            target,
            work,
            rows=rows,
            records=records,
            phone_photos={pair.name: pair.phone for pair in pairs},
            settings=settings,
            run=run,
        )
    windows = [window for record in records for window in record["windows"]]
    return Result(
        rows=rows,
        pairs=len(pairs),
        done_before=done_before,
        windows=len(windows),
        blank=sum(window["correlation"] is None for window in windows),
        changed=changed,
    )


def _alone(work: epath.Path) -> contextlib.AbstractContextManager[None]:
    """Keeps other processes out of a folder; object stores have no locks."""
    if "://" in os.fspath(work):
        return contextlib.nullcontext()
    work.parent.mkdir(parents=True, exist_ok=True)
    return locks.locked(
        Path(work.parent) / f"{work.name}.lock", f"{work.parent.parent / work.name}"
    )


def _keep_settings(file: epath.Path, settings: Mapping[str, object]) -> None:
    """Writes the settings of a new run; other ones than of the run before are refused."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        cli.write_atomically(file, json.dumps(settings, indent=2).encode())
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


def _process(
    pairs: Sequence[photo_pairs.PhotoPair],
    settings: photo_pairs.Settings,
    record_dir: epath.Path,
    run: Run,
) -> tuple[list[dict[str, Any]], int]:
    """The records of all pairs, and how many were there already."""
    record_dir.mkdir(parents=True, exist_ok=True)
    work_dir = os.fspath(record_dir)
    finished = {pair.name: photo_pairs.finished_record(pair, work_dir) for pair in pairs}
    todo = [pair for pair in pairs if finished[pair.name] is None]
    if todo:
        process = functools.partial(photo_pairs.process_pair, settings=settings, work_dir=work_dir)
        run(process, todo, "aligning")
    records: list[Any] = [
        finished[pair.name] or photo_pairs.read_record(record_dir / f"{pair.name}.json")
        for pair in pairs
    ]
    return records, len(pairs) - len(todo)
