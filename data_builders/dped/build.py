"""Packs patch pairs into a TFDS dataset (array_record) without TensorFlow.

    python -m data_builders.dped.build --manual_dir=D --data_dir=D --phone=iphone
    python -m data_builders.dped.build --phone_dir=D --dslr_dir=D --test_pairs=60 --data_dir=D \
        --phone=custom

Every file is decoded once to check it; what is stored are the file's own bytes. The dataset appears
under `data_dir/dped/<phone>/<version>` only when it is complete: until then everything is in one
temporary folder of `data_dir`.
"""

import contextlib
import dataclasses
import errno
import io
import time
from pathlib import Path

import tensorflow_datasets as tfds
from absl import flags, logging
from google.protobuf import json_format

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import scratch_folder

from . import patch_pairs
from .dped_dataset_builder import Builder
from .layout import CAMERA_FOLDERS
from .pair_list import PairList

_FORMAT = tfds.core.FileFormat.ARRAY_RECORD
SKIPPED_FILE = "skipped.txt"
FOLDERS = ("manual_dir", "data_dir", "phone_dir", "dslr_dir")  # flags


@dataclasses.dataclass(frozen=True)
class FlatFolders:
    """Two folders of pairs that are not arranged in splits; see `patch_pairs.find_flat`."""

    phone_dir: Path
    dslr_dir: Path
    test_pairs: int = -1
    validation_pairs: int = -1


def build(
    *,
    data_dir: Path,
    phone: str,
    source: Path | FlatFolders,
    skip_corrupt: bool = False,
    overwrite: bool = False,
) -> tuple[tfds.core.DatasetInfo, list[tuple[Path, str]]] | None:
    """Builds one dataset, whole or not at all.

    Args:
      data_dir: root of TFDS datasets; made if missing.
      phone: name of a builder config.
      source: the folder that holds `<phone>/` in the published layout, or two flat folders.
      skip_corrupt: leave out pairs with a bad file instead of failing on the first.
      overwrite: replace an existing dataset once the new one is complete.

    Returns:
      What was built, and (file, what is wrong) of each skipped file; None if a complete dataset
      was there already.

    Raises:
      InputError: a bad or missing folder, a file without partner, a bad patch file, an existing
        dataset that is incomplete, or a disk that is full.
      OSError: something cannot be read or written.
    """
    target = _dataset_folder(data_dir, phone)
    if target.exists() and not overwrite:
        missing = _missing_part(target)
        if missing:
            raise InputError(f"{target}: incomplete dataset ({missing}): rebuild with --overwrite")
        return None
    splits = _find_splits(source, phone)  # before anything is written
    with scratch_folder(data_dir, phone) as scratch:
        builder = Builder(data_dir=scratch, config=phone, splits=splits, skip_corrupt=skip_corrupt)
        _prepare(builder)
        built = Path(builder.data_dir)
        if builder.skipped:
            lines = [f"{file}\t{problem}\n" for file, problem in builder.skipped]
            (built / SKIPPED_FILE).write_text("".join(lines), encoding="utf-8")
        missing = _missing_part(built)
        if missing:
            raise InputError(f"{data_dir}: the dataset was not written whole ({missing})")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(scratch / "replaced")
        built.rename(target)
    return builder.info, builder.skipped


def _dataset_folder(data_dir: Path, phone: str) -> Path:
    return data_dir / Builder.name / phone / str(Builder.VERSION)


def _find_splits(source: Path | FlatFolders, phone: str) -> dict[str, PairList]:
    if isinstance(source, FlatFolders):
        return patch_pairs.find_flat(
            source.phone_dir, source.dslr_dir, source.test_pairs, source.validation_pairs
        )
    return patch_pairs.find_published(source / phone, *CAMERA_FOLDERS[phone])


def _prepare(builder: Builder) -> None:
    """Runs TFDS quietly; errors of its C++ writer become `InputError`."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(file_format=_FORMAT)
    except (RuntimeError, OSError) as error:
        # array_record reports a failed write (disk full, quota) as it closes a file.
        reason, writing, _ = str(error).partition("; writing ")
        if not writing and getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
            raise
        data_dir = builder.data_dir_root.parent
        raise InputError(f"{data_dir}: {reason}: make room or choose another --data_dir") from error
    for split, split_info in builder.info.splits.items():
        if not split_info.num_examples:
            raise InputError(f"no pair is left in the {split} split: every one has a bad file")


def _missing_part(folder: Path) -> str | None:
    """Says what a dataset folder lacks: metadata, a shard or part of one; None if nothing."""
    if not (folder / "dataset_info.json").exists() or not (folder / "features.json").exists():
        return "no dataset_info.json"
    try:
        info = tfds.builder_from_directory(folder).info
    except (json_format.ParseError, ValueError):
        return "its metadata cannot be read"
    if info.file_format != _FORMAT:
        return f"it is in {info.file_format.value} format, which training cannot read"
    for split, split_info in info.splits.items():
        shards = [Path(path) for path in split_info.filepaths]
        gone = [shard.name for shard in shards if not shard.exists()]
        if gone:
            return f"{gone[0]} is missing"
        if sum(shard.stat().st_size for shard in shards) != split_info.num_bytes:
            return f"a file of the {split} split was cut off"
    return None


def _source() -> Path | FlatFolders:
    """Turns the flags into a source; flags that contradict are an `InputError`."""
    for name in FOLDERS:
        if "://" in (FLAGS[name].value or ""):
            raise InputError(
                f"--{name}={FLAGS[name].value}: must name a folder of this machine: copy what is in"
                " the store first"
            )
    if FLAGS.phone_dir is None and FLAGS.dslr_dir is None:
        if FLAGS.manual_dir is None:
            raise InputError("--manual_dir is missing: the folder that holds <phone>/training_data")
        for name in ("test_pairs", "validation_pairs"):
            if FLAGS[name].value != -1:
                raise InputError(f"--{name} goes with --phone_dir and --dslr_dir only")
        return Path(FLAGS.manual_dir)
    if FLAGS.phone_dir is None or FLAGS.dslr_dir is None:
        raise InputError("--phone_dir and --dslr_dir are given together or not at all")
    if FLAGS.manual_dir is not None or FLAGS.phone != "custom":
        raise InputError("--phone_dir and --dslr_dir need --phone=custom and no --manual_dir")
    return FlatFolders(
        phone_dir=Path(FLAGS.phone_dir),
        dslr_dir=Path(FLAGS.dslr_dir),
        test_pairs=FLAGS.test_pairs,
        validation_pairs=FLAGS.validation_pairs,
    )


def main(argv: list[str]) -> None:
    """Builds what the flags say, and prints the splits, the skipped files and the next command."""
    del argv
    logging.set_verbosity(logging.WARNING)
    source = _source()
    data_dir, phone = Path(FLAGS.data_dir), FLAGS.phone
    folder = _dataset_folder(data_dir, phone)
    start = time.perf_counter()
    built = build(
        data_dir=data_dir,
        phone=phone,
        source=source,
        skip_corrupt=FLAGS.skip_corrupt,
        overwrite=FLAGS.overwrite,
    )
    seconds = time.perf_counter() - start
    if built is None:
        info = tfds.builder_from_directory(folder).info
        print(f"{folder} is already built; --overwrite builds it again:")
        skipped = []
    else:
        info, skipped = built
        pairs = sum(split.num_examples for split in info.splits.values())
        rate = round(pairs / seconds)
        print(f"packed {pairs} pairs in {seconds:.1f} s ({rate} pairs/s), every file checked:")
    for split, split_info in info.splits.items():
        print(f"  {split:<11}{split_info.num_examples:>8}")
    if skipped:
        print(f"skipped pairs with {len(skipped)} bad file(s), listed in {folder / SKIPPED_FILE}:")
        command.print_problems(skipped)
    print(
        "next: python -m dped_jax.train --config=configs/paper.py"
        f" --config.data.data_dir={data_dir} --config.data.phone={phone} --workdir=runs/{phone}"
    )


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("manual_dir", None, "Folder that holds <phone>/training_data ….")
    flags.DEFINE_string("data_dir", None, "Where TFDS datasets are kept.", required=True)
    flags.DEFINE_enum(
        "phone", "iphone", [config.name for config in Builder.BUILDER_CONFIGS], "Which camera pair."
    )
    flags.DEFINE_string(
        "phone_dir", None, "Flat folder of phone patches, with --phone=custom and no --manual_dir."
    )
    flags.DEFINE_string("dslr_dir", None, "Flat folder of their DSLR partners.")
    flags.DEFINE_integer(
        "test_pairs",
        -1,
        "With flat folders: the last N pairs are test, 0 for none; -1: 5 %, at most 2,000.",
    )
    flags.DEFINE_integer(
        "validation_pairs",
        -1,
        "With flat folders: the N before those, 0 for none; -1: 5 % likewise.",
    )
    flags.DEFINE_bool(
        "skip_corrupt", False, "Leave out pairs with a bad file, and list them, instead of failing."
    )
    flags.DEFINE_bool("overwrite", False, "Replace a dataset that is already there.")
    command.run(main)
