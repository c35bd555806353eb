"""What tells one dataset from another, wherever they lie."""

import contextlib
import hashlib
import json
import pathlib
from typing import Any

from dped_jax.base.files import write_atomically
from dped_jax.base.progress import progress_bar
from dped_jax.input_pipeline import DATASET_VERSION, dataset_folder, open_dataset


def fingerprint(data_dir: str | pathlib.Path, phone: str) -> dict[str, Any]:
    """What two datasets of the same contents have in common, wherever they are.

    The files are read once: their checksums are kept beside them, where that can be written, and
    hold as long as their sizes and times of change do.

    Returns:
      "name", "version" and "splits": by name {"pairs": how many, "sha256": [of every shard]}.

    Raises:
      InputError: there is no such dataset, or it is of another version.
      OSError: a file of it cannot be read.
    """
    splits = open_dataset(data_dir, phone).info.splits
    shards = {name: [pathlib.Path(file) for file in splits[name].filepaths] for name in splits}
    kept = dataset_folder(data_dir, phone) / DATASET_VERSION / "checksums.json"
    try:
        known = json.loads(kept.read_text())
    except (OSError, ValueError):
        known = {}
    found = {}
    files = [file for name in shards for file in shards[name]]
    for file in progress_bar(files, "checksums of the dataset", leave=False, unit=" files"):
        stamp = [file.stat().st_size, file.stat().st_mtime_ns]
        found[file.name] = known.get(file.name)
        if not found[file.name] or found[file.name]["stamp"] != stamp:
            with file.open("rb") as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            found[file.name] = {"stamp": stamp, "sha256": sha256}
    if found != known:
        with contextlib.suppress(OSError):  # a dataset may lie where nobody can write
            write_atomically(kept, json.dumps(found, indent=2) + "\n")
    return {
        "name": f"dped/{phone}",
        "version": DATASET_VERSION,
        "splits": {
            name: {
                "pairs": splits[name].num_examples,
                "sha256": [found[file.name]["sha256"] for file in shards[name]],
            }
            for name in splits
        },
    }
