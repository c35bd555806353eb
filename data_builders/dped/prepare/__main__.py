"""From two folders of raw photos to aligned patches in the layout of the published archive.

    python -m data_builders.dped.prepare --phone_dir=D --dslr_dir=D --output_dir=D

Photos of the same stem are a pair. Each pair is aligned and cut into patches that match (sections 2
and 3.2.1 of the paper); whole scenes go to test and validation. The result appears under
`output_dir/<phone>` only when it is complete: patches, `manifest.csv`, `contact_sheet.png` and
`correlations.png`. What is finished stays in `output_dir/.prepare/<phone>`: the same command goes
on where it was stopped, and takes up photos that were added.

Processes of this machine do the work, or with --runner an Apache Beam pipeline, with Beam's own
flags on the same command line. Folders may then be of any file system that Beam's workers reach.
"""

import dataclasses
import functools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags, logging
from etils import epath

from .. import cli
from ..cli import InputError
from ..patch_pairs import (
    CAMERA_FOLDERS,
    MANIFEST_FILE,
    PATCH_SIZE,
    SPLIT_FOLDERS,
    images_by_stem,
    natural_key,
)
from . import parallel, patches, photo_pairs, publish

_SHOWN = 20  # rejected photos listed on screen; all are in the manifest


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
    run: parallel.Run,
) -> Result:
    """Aligns all pairs of two folders and writes their patches.

    Args:
      phone_dir: folder of the phone's photos.
      dslr_dir: folder of the DSLR camera's.
      output_dir: where the folder `phone` is made.
      phone: a key of `CAMERA_FOLDERS`.
      settings: of alignment and patches; None is the paper's.
      test_scenes: see `publish.assign_splits`.
      validation_scenes: likewise.
      scene_separator: see `publish.scene_of`.
      run: calls a function for all tasks; the third argument says what it does.

    Returns:
      What was made.

    Raises:
      InputError: a folder is missing or holds no photos, no photo has a partner, the output is not
        of this command or of other settings, or a flag is out of range.
      OSError: something cannot be written.
    """
    settings = settings or photo_pairs.Settings()
    phone_photos, dslr_photos = (
        images_by_stem(epath.Path(folder), photo_pairs.PHOTO_SUFFIXES)
        for folder in (phone_dir, dslr_dir)
    )
    pairs, unmatched = _match(phone_photos, dslr_photos)
    if not pairs:
        raise InputError(f"{phone_dir}: no photo has a partner of the same name in {dslr_dir}")
    scenes = [publish.scene_of(name, scene_separator) for name in dslr_photos]
    splits = publish.assign_splits(scenes, test_scenes, validation_scenes)
    target = epath.Path(output_dir) / phone
    work = epath.Path(output_dir) / ".prepare" / phone
    if target.exists() and not work.exists():
        raise InputError(f"{target}: was not made by this command: choose another --output_dir")
    _keep_settings(
        work / "settings.json",
        dataclasses.asdict(settings)
        | {"phone_dir": phone_dir, "dslr_dir": dslr_dir}
        | {"test_scenes": test_scenes, "validation_scenes": validation_scenes}
        | {"scene_separator": scene_separator},
    )
    record_dir = work / "pairs"
    record_dir.mkdir(parents=True, exist_ok=True)
    finished = {pair.name: _finished_record(pair, record_dir) for pair in pairs}
    todo = [pair for pair in pairs if finished[pair.name] is None]
    if todo:
        process = functools.partial(
            photo_pairs.process_pair, settings=settings, work_dir=os.fspath(record_dir)
        )
        run(process, todo, "aligning")
    records = [
        finished[pair.name] or photo_pairs.read_record(record_dir / f"{pair.name}.json")
        for pair in pairs
    ]
    rows = publish.make_rows(records, unmatched, splits, scene_separator)
    windows = [window for record in records for window in record["windows"]]
    changed = publish.publish(
        target,
        work,
        rows=rows,
        records=records,
        phone_photos=phone_photos,
        min_correlation=settings.min_correlation,
        run=run,
    )
    return Result(
        rows=rows,
        pairs=len(pairs),
        done_before=len(pairs) - len(todo),
        windows=len(windows),
        blank=sum(window["correlation"] is None for window in windows),
        changed=changed,
    )


def _match(
    phone: Mapping[str, epath.Path], dslr: Mapping[str, epath.Path]
) -> tuple[list[photo_pairs.PhotoPair], dict[str, str]]:
    """Pairs of the same stem, and what is wrong with each photo that has no partner."""
    pairs = [
        photo_pairs.PhotoPair(name, os.fspath(phone[name]), os.fspath(dslr[name]))
        for name in sorted(phone.keys() & dslr.keys(), key=natural_key)
    ]
    unmatched = dict.fromkeys(phone.keys() - dslr.keys(), "no DSLR photo of this name")
    unmatched |= dict.fromkeys(dslr.keys() - phone.keys(), "no phone photo of this name")
    return pairs, unmatched


def _keep_settings(file: epath.Path, settings: Mapping[str, object]) -> None:
    """Writes the settings of a new run; other ones than of the run before are refused."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        cli.write_atomically(file, json.dumps(settings, indent=2).encode())
        return
    before = json.loads(file.read_text())
    differing = [name for name in before.keys() | settings.keys()
                 if before.get(name) != settings.get(name)]  # fmt: skip
    if differing:
        name = min(differing)
        raise InputError(
            f"{file}: an earlier run had {name}={before.get(name)!r}, this one has"
            f" {settings.get(name)!r}: choose another --output_dir, or remove {file.parent}"
            f" and {file.parents[2] / file.parent.name}"
        )


def _finished_record(pair: photo_pairs.PhotoPair, record_dir: epath.Path) -> dict[str, Any] | None:
    """The record of a pair, if it is there and of these files."""
    record = photo_pairs.read_record(record_dir / f"{pair.name}.json")
    if record is None or record["retry"]:
        return None
    sizes = [epath.Path(file).stat().length for file in (pair.phone, pair.dslr)]
    return record if record["bytes"] == sizes else None


def _settings() -> photo_pairs.Settings:
    """Settings from the flags."""
    size = re.fullmatch(r"(\d+)x(\d+)", FLAGS.size)
    if not size or min(map(int, size.groups())) < PATCH_SIZE:
        raise InputError(
            f"--size={FLAGS.size}: must be WIDTHxHEIGHT, each at least 100, as 1080x800"
        )
    return photo_pairs.Settings(
        width=int(size[1]),
        height=int(size[2]),
        min_correlation=FLAGS.min_correlation,
        keep_blank=FLAGS.keep_blank,
        patch_format=FLAGS.patch_format,
        jpeg_quality=FLAGS.jpeg_quality,
    )


def _full_path(path: str) -> str:
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def main(argv: list[str]) -> None:
    """Prepares what the flags say, and prints what came of it and the next command."""
    logging.set_verbosity(logging.WARNING)
    os.environ.setdefault("EPATH_USE_TF", "false")  # s3:// and gs:// through fsspec
    if FLAGS.runner is None:

        def run(function: Callable[[Any], None], tasks: Sequence[Any], doing: str) -> None:
            parallel.run_processes(function, tasks, processes=FLAGS.processes, description=doing)
    else:

        def run(function: Callable[[Any], None], tasks: Sequence[Any], doing: str) -> None:
            del doing
            parallel.run_beam(function, tasks, runner=FLAGS.runner, options=argv[1:])

    start = time.perf_counter()
    result = prepare(
        phone_dir=_full_path(FLAGS.phone_dir),
        dslr_dir=_full_path(FLAGS.dslr_dir),
        output_dir=_full_path(FLAGS.output_dir),
        phone=FLAGS.phone,
        settings=_settings(),
        test_scenes=FLAGS.test_scenes,
        validation_scenes=FLAGS.validation_scenes,
        scene_separator=FLAGS.scene_separator,
        run=run,
    )
    _report(result, time.perf_counter() - start)


def _report(result: Result, seconds: float) -> None:
    target = epath.Path(FLAGS.output_dir) / FLAGS.phone
    new = result.pairs - result.done_before
    before = f", {result.done_before} of them before," if result.done_before else ""
    if not result.changed:
        print(f"{target} is up to date ({result.pairs} pairs):")
    else:
        rate = new / seconds
        print(f"prepared {result.pairs} pairs{before} in {seconds:.1f} s ({rate:.2f} pairs/s):")
    counts = dict.fromkeys(SPLIT_FOLDERS, 0)
    for row in result.rows:
        counts[row["split"]] += row["status"] == "kept"
    for split, count in counts.items():
        print(f"  {split:<11}{count:>8} patches")
    kept = sum(counts.values())
    print(f"  {kept} of {result.windows} windows kept; {result.blank} are blank")
    rejected = [row for row in result.rows if row["status"] == "rejected"]
    if rejected:
        print(f"{len(rejected)} photo(s) without patches, listed in {target / MANIFEST_FILE}:")
        for row in rejected[:_SHOWN]:
            print(f"  {row['photo']}: {row['reason']}")
        if len(rejected) > _SHOWN:
            print("  …")
    print(f"look at {target}/contact_sheet.png and {target}/correlations.png")
    empty = [split for split, count in counts.items() if not count]
    if empty:
        raise InputError(
            f"{target}: no patches for {' and '.join(empty)}: add photos, or hold out other numbers"
            " of scenes"
        )
    print(
        f"next: python -m data_builders.dped.build --manual_dir={FLAGS.output_dir}"
        f" --phone={FLAGS.phone} --data_dir=DATA_DIR"
    )


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("phone_dir", None, "Folder of the phone's photos.", required=True)
    flags.DEFINE_string("dslr_dir", None, "Folder of the DSLR's photos.", required=True)
    flags.DEFINE_string("output_dir", None, "Where <phone>/ is made.", required=True)
    flags.DEFINE_enum("phone", "custom", list(CAMERA_FOLDERS), "Name of the camera pair.")
    flags.DEFINE_string("size", "1080x800", "Aligned photos, at most; landscape.")
    flags.DEFINE_float(
        "min_correlation", patches.MIN_CORRELATION, "Patches are kept above it.", -1.0, 1.0
    )
    flags.DEFINE_bool(
        "keep_blank", False, "Keep blank patches (flat sky), whose correlation is undefined."
    )
    flags.DEFINE_enum("patch_format", "jpg", ["jpg", "png"], "Format of patches.")
    flags.DEFINE_integer("jpeg_quality", 100, "Of patches; 100 as published.", 1, 100)
    flags.DEFINE_integer(
        "test_scenes", -1, "Scenes held out for test; -1: 100, or a tenth of fewer than 1000."
    )
    flags.DEFINE_integer("validation_scenes", -1, "For validation; likewise.")
    flags.DEFINE_string(
        "scene_separator",
        "",
        "Photos whose names are the same up to the last such are of one scene.",
    )
    flags.DEFINE_integer("processes", os.cpu_count(), "At once, without --runner.", 1)
    flags.DEFINE_string("runner", None, "An Apache Beam runner; default: this machine.")
    cli.run(main, pass_unknown_flags=any(arg.startswith("--runner") for arg in sys.argv))
