"""From two folders of raw photos to aligned patches in the layout of the published archive.

    python -m data_builders.dped.prepare --phone_dir=D --dslr_dir=D --output_dir=D

Photos of the same stem are a pair, or, with --pair_by=time, photos that were taken at the same time
and show the same; --pairs=FILE says it by hand. Each pair is aligned and cut into patches that
match (sections 2 and 3.2.1 of the paper); whole scenes go to test and validation. Several phones
beside one DSLR camera share the split: --phone_dir=iphone=D,sony=D. The result appears under
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
from collections.abc import Callable, Collection
from typing import Any

from absl import flags, logging
from etils import epath

from dped_jax.base import command
from dped_jax.base.errors import InputError

from ..layout import CAMERA_FOLDERS, MANIFEST_FILE, PATCH_SIZE, command_line
from . import beam, folders, pairing, pairing_by_time, parallel, patches, photo_pairs


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
        keep_aligned=FLAGS.keep_aligned,
    )


def _full_path(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def main(argv: list[str]) -> None:
    """Prepares what the flags say, and prints what came of it and the next command."""
    logging.set_verbosity(logging.WARNING)
    os.environ.setdefault("EPATH_USE_TF", "false")  # s3:// and gs:// through fsspec
    runner, processes = FLAGS.runner, FLAGS.processes or 1
    if runner is None:

        def run(function: Callable[[Any], None], tasks: Collection[Any], doing: str) -> None:
            parallel.run_processes(function, tasks, processes=processes, description=doing)
    else:

        def run(function: Callable[[Any], None], tasks: Collection[Any], doing: str) -> None:
            del doing
            beam.run_beam(function, tasks, runner=runner, options=argv[1:])

    phone_dirs, dslr_dir = _phone_dirs(), _full_path(FLAGS.dslr_dir)
    settings, empty = _settings(), []
    pairings = _find_pairs(phone_dirs, dslr_dir, run)
    for phone, phone_dir in phone_dirs.items():
        start = time.perf_counter()
        result = folders.prepare(
            phone_dir=phone_dir,
            dslr_dir=dslr_dir,
            output_dir=_full_path(FLAGS.output_dir),
            phone=phone,
            settings=settings,
            test_scenes=FLAGS.test_scenes,
            validation_scenes=FLAGS.validation_scenes,
            scene_separator=FLAGS.scene_separator,
            pairing=pairings[phone],
            run=run,
        )
        empty += _report(phone, result, time.perf_counter() - start)
    if empty:
        raise InputError("; ".join(empty) + ": add photos, or hold out other numbers of scenes")


def _phone_dirs() -> dict[str, str]:
    """Folder of each phone's photos, by the phone's name."""
    parts = [part.partition("=") for part in FLAGS.phone_dir.split(",")]
    if "/" in parts[0][0] or not parts[0][1]:
        return {FLAGS.phone: _full_path(FLAGS.phone_dir)}
    if flags.FLAGS["phone"].present:
        raise InputError("--phone goes with one folder: --phone_dir names the phones itself")
    for name, _, folder in parts:
        if name not in CAMERA_FOLDERS or not folder:
            raise InputError(
                f"--phone_dir={FLAGS.phone_dir}: {name!r} is no NAME=FOLDER with a name of"
                f" {', '.join(CAMERA_FOLDERS)}"
            )
    if len({name for name, _, _ in parts}) < len(parts):
        raise InputError(f"--phone_dir={FLAGS.phone_dir}: a phone is named twice")
    return {name: _full_path(folder) for name, _, folder in parts}


def _find_pairs(
    phone_dirs: dict[str, str], dslr_dir: str, run: parallel.Run
) -> dict[str, pairing.Pairing]:
    """The pairs of each phone, as the flags say."""
    separator, output_dir = FLAGS.scene_separator, _full_path(FLAGS.output_dir)
    cameras = pairing.list_cameras(phone_dirs, dslr_dir, FLAGS.raw_and_jpeg)
    if FLAGS.pairs:
        rows = pairing.read_table(epath.Path(_full_path(FLAGS.pairs)), cameras)
        return pairing.from_rows(rows, cameras, separator)
    if FLAGS.pair_by == "name":
        return {phone: pairing.by_name(cameras, phone, separator) for phone in phone_dirs}
    rows, clocks = pairing_by_time.by_time(
        cameras, output_dir, max_seconds=FLAGS.max_seconds, run=run
    )
    for phone, clock in clocks.items():
        found = [row.seconds for row in rows if row.camera == phone and row.seconds is not None]
        print(
            f"paired {len(found)} photos of {phone} by time: the DSLR's clock is"
            f" {clock.offset:+.1f} s from the phone's, {86400 * clock.drift:+.2f} s a day; pairs"
            f" are within {max(map(abs, found), default=0):.1f} s"
        )
    print(f"look at {FLAGS.output_dir}/{pairing_by_time.TABLE_FILE}; corrected, give it as --pairs")
    return pairing.from_rows(rows, cameras, separator)


def _report(phone: str, result: folders.Result, seconds: float) -> list[str]:
    """Prints what was made of one phone's photos; returns what is wrong with it."""
    target = epath.Path(FLAGS.output_dir) / phone
    new = result.pairs - result.done_before
    before = f", {result.done_before} of them before," if result.done_before else ""
    if not result.changed:
        print(f"{target} is up to date ({result.pairs} pairs):")
    else:
        rate = new / seconds
        print(f"prepared {result.pairs} pairs{before} in {seconds:.1f} s ({rate:.2f} pairs/s):")
    summary = result.summary
    for split, count in summary.patches.items():
        print(f"  {split:<11}{count:>8} patches")
    kept = sum(summary.patches.values())
    print(f"  {kept} of {summary.windows} windows kept; {summary.blank} are blank")
    if summary.rejected:
        where = f"listed in {target / MANIFEST_FILE}"
        print(f"{len(summary.rejected)} photo(s) without patches, {where}:")
        command.print_problems(summary.rejected)
    print(f"look at {target}/contact_sheet.png and {target}/correlations.png")
    empty = [split for split, count in summary.patches.items() if not count]
    if empty:
        return [f"{target}: no patches for {' and '.join(empty)}"]
    output, copy = FLAGS.output_dir, ""
    if "://" in output:
        output, copy = "COPY", f"copy {target} to COPY/{phone} on a disk, then "
    print(
        f"next: {copy}{command_line('build')} --manual_dir={output} --phone={phone}"
        " --data_dir=DATA_DIR"
    )
    return []


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string(
        "phone_dir",
        None,
        "Folder of the phone's photos; or several, as iphone=D,sony=D.",
        required=True,
    )
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
    flags.DEFINE_bool("keep_aligned", False, "Write the whole aligned photos, too, as PNG.")
    flags.DEFINE_integer(
        "test_scenes", -1, "Scenes held out for test; -1: 100, or a tenth of fewer than 1000."
    )
    flags.DEFINE_integer("validation_scenes", -1, "For validation; likewise.")
    flags.DEFINE_string(
        "scene_separator",
        "",
        "Photos whose names are the same up to the last such are of one scene.",
    )
    flags.DEFINE_enum("pair_by", "name", ["name", "time"], "How photos find partners.")
    flags.DEFINE_float(
        "max_seconds", pairing_by_time.MAX_SECONDS, "Between partners, with --pair_by=time.", 0.0
    )
    flags.DEFINE_string(
        "pairs", None, "Table of pairs, as --pair_by=time writes it; instead of finding them."
    )
    flags.DEFINE_enum(
        "raw_and_jpeg",
        "jpeg",
        ["jpeg", "raw"],
        "Which is taken of a photo that is there as camera raw and as JPEG, HEIC or the like.",
    )
    flags.DEFINE_integer("processes", os.cpu_count(), "At once, without --runner.", 1)
    flags.DEFINE_string("runner", None, "An Apache Beam runner; default: this machine.")
    command.run(main, pass_unknown_flags=any(arg.startswith("--runner") for arg in sys.argv))
