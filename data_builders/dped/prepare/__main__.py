"""From two folders of raw photos to aligned patches in the layout of the published archive.

    python -m data_builders.dped.prepare --phone_dir=D --dslr_dir=D --output_dir=D

Photos of the same stem are a pair. Each pair is aligned and cut into patches that match (sections 2
and 3.2.1 of the paper); whole scenes go to test and validation. The result appears under
`output_dir/<phone>` only when it is complete: patches, `manifest.csv`, `contact_sheet.png` and
`correlations.png`; with --keep_aligned also the whole aligned photos, in `aligned/SPLIT`. What is
finished stays in `output_dir/.prepare/<phone>`: the same command goes on where it was stopped, and
takes up photos that were added.

Processes of this machine do the work, or with --runner an Apache Beam pipeline, with Beam's own
flags on the same command line. Folders may then be of any file system that Beam's workers reach.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags, logging
from etils import epath

from .. import cli
from ..cli import InputError
from ..layout import CAMERA_FOLDERS, MANIFEST_FILE, PATCH_SIZE, SPLIT_FOLDERS
from . import folders, parallel, patches, photo_pairs

_PHONE_DIR = flags.DEFINE_string("phone_dir", None, "Folder of the phone's photos.", required=True)
_DSLR_DIR = flags.DEFINE_string("dslr_dir", None, "Folder of the DSLR's photos.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where <phone>/ is made.", required=True)
_PHONE = flags.DEFINE_enum("phone", "custom", list(CAMERA_FOLDERS), "Name of the camera pair.")
_SIZE = flags.DEFINE_string("size", "1080x800", "Aligned photos, at most; landscape.")
_MIN_CORRELATION = flags.DEFINE_float(
    "min_correlation", patches.MIN_CORRELATION, "Patches are kept above it.", -1.0, 1.0
)
_KEEP_BLANK = flags.DEFINE_bool(
    "keep_blank", False, "Keep blank patches (flat sky), whose correlation is undefined."
)
_PATCH_FORMAT = flags.DEFINE_enum("patch_format", "jpg", ["jpg", "png"], "Format of patches.")
_JPEG_QUALITY = flags.DEFINE_integer("jpeg_quality", 100, "Of patches; 100 as published.", 1, 100)
_KEEP_ALIGNED = flags.DEFINE_bool(
    "keep_aligned", False, "Write the whole aligned photos, too, as PNG."
)
_TEST_SCENES = flags.DEFINE_integer(
    "test_scenes", -1, "Scenes held out for test; -1: 100, or a tenth of fewer than 1000."
)
_VALIDATION_SCENES = flags.DEFINE_integer("validation_scenes", -1, "For validation; likewise.")
_SCENE_SEPARATOR = flags.DEFINE_string(
    "scene_separator",
    "",
    "Photos whose names are the same up to the last such are of one scene.",
)
_PROCESSES = flags.DEFINE_integer("processes", os.cpu_count(), "At once, without --runner.", 1)
_RUNNER = flags.DEFINE_string("runner", None, "An Apache Beam runner; default: this machine.")
cli.refuse_empty(_PHONE_DIR, _DSLR_DIR, _OUTPUT_DIR)


def _settings() -> photo_pairs.Settings:
    """Settings from the flags."""
    size = re.fullmatch(r"(\d+)x(\d+)", _SIZE.value)
    if not size or min(map(int, size.groups())) < PATCH_SIZE:
        raise InputError(
            f"--size={_SIZE.value}: must be WIDTHxHEIGHT, each at least 100, as 1080x800"
        )
    return photo_pairs.Settings(
        width=int(size[1]),
        height=int(size[2]),
        min_correlation=_MIN_CORRELATION.value,
        keep_blank=_KEEP_BLANK.value,
        patch_format=_PATCH_FORMAT.value,
        jpeg_quality=_JPEG_QUALITY.value,
        keep_aligned=_KEEP_ALIGNED.value,
    )


def _full_path(path: str) -> str:
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def main(argv: list[str]) -> None:
    """Prepares what the flags say, and prints what came of it and the next command."""
    logging.set_verbosity(logging.WARNING)
    os.environ.setdefault("EPATH_USE_TF", "false")  # s3:// and gs:// through fsspec
    runner, processes = _RUNNER.value, _PROCESSES.value or 1
    if runner is None:

        def run(function: Callable[[Any], None], tasks: Sequence[Any], doing: str) -> None:
            parallel.run_processes(function, tasks, processes=processes, description=doing)
    else:

        def run(function: Callable[[Any], None], tasks: Sequence[Any], doing: str) -> None:
            del doing
            parallel.run_beam(function, tasks, runner=runner, options=argv[1:])

    start = time.perf_counter()
    result = folders.prepare(
        phone_dir=_full_path(_PHONE_DIR.value),
        dslr_dir=_full_path(_DSLR_DIR.value),
        output_dir=_full_path(_OUTPUT_DIR.value),
        phone=_PHONE.value,
        settings=_settings(),
        test_scenes=_TEST_SCENES.value,
        validation_scenes=_VALIDATION_SCENES.value,
        scene_separator=_SCENE_SEPARATOR.value,
        run=run,
    )
    _report(result, time.perf_counter() - start)


def _report(result: folders.Result, seconds: float) -> None:
    target = epath.Path(_OUTPUT_DIR.value) / _PHONE.value
    new = result.pairs - result.done_before
    before = f", {result.done_before} of them before," if result.done_before else ""
    if not result.changed:
        print(f"{target} is up to date ({result.pairs} pairs):")
    else:
        rate = new / seconds
        print(f"prepared {result.pairs} pairs{before} in {seconds:.1f} s ({rate:.2f} pairs/s):")
    counts = dict.fromkeys(SPLIT_FOLDERS, 0)
    for row in result.rows:
        if row["status"] == "kept":
            counts[row["split"]] += 1
    for split, count in counts.items():
        print(f"  {split:<11}{count:>8} patches")
    kept = sum(counts.values())
    print(f"  {kept} of {result.windows} windows kept; {result.blank} are blank")
    rejected = [row for row in result.rows if row["status"] == "rejected"]
    if rejected:
        print(f"{len(rejected)} photo(s) without patches, listed in {target / MANIFEST_FILE}:")
        cli.print_problems([(row["photo"], row["reason"]) for row in rejected])
    print(f"look at {target}/contact_sheet.png and {target}/correlations.png")
    empty = [split for split, count in counts.items() if not count]
    if empty:
        raise InputError(
            f"{target}: no patches for {' and '.join(empty)}: add photos, or hold out other numbers"
            " of scenes"
        )
    print(
        f"next: {cli.command('build')} --manual_dir={_OUTPUT_DIR.value}"
        f" --phone={_PHONE.value} --data_dir=DATA_DIR"
    )


if __name__ == "__main__":
    cli.run(main, pass_unknown_flags=any(arg.startswith("--runner") for arg in sys.argv))
