"""Commands whose output lies on a disk that is too small: a tmpfs in a namespace of its own."""

import pathlib
import subprocess

import pytest
import tiny

# With the namespace the disk goes: what is on it is copied first.
_SCRIPT = 'mount -t tmpfs -o size=$1 disk "$2"; kept="$3"; disk="$2"; shift 3; "$@"; code=$?; '
_SCRIPT += 'cp -a "$disk/." "$kept"; exit $code'
_ALONE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def run_on_small_disk(
    size: str, folder: pathlib.Path, *argv: object
) -> subprocess.CompletedProcess:
    """Runs a command with an empty disk of a size, as "600k", at `folder/disk`.

    What is on the disk at the end is in `folder/kept`. Skips where such a disk cannot be had.
    """
    disk, kept = folder / "disk", folder / "kept"
    if subprocess.run([*_ALONE, f"mount -t tmpfs disk {tiny.ROOT}"], check=False).returncode:
        pytest.skip("needs user namespaces: a disk that is full")
    for path in (disk, kept):
        path.mkdir()
    return subprocess.run(
        [*_ALONE, _SCRIPT, "sh", size, disk, kept, *map(str, argv)],
        cwd=tiny.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
