"""Folders of one file of each kind that cameras and phones write."""

import hashlib
import shutil
import subprocess
import sys

from camera_files import REFUSE, all_kinds
from generated_patches import ROOT
from photo_folders import arguments, manifest, write_folders


def test_folders_of_all_kinds_are_prepared_to_their_end(made_up_files, tmp_path):
    folder, kinds = made_up_files
    # Names that are first and last in the order in which scenes are held out.
    order = sorted(
        (f"good{i}" for i in range(2000)), key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    good = {order[0]: 0, order[1]: 1, order[-1]: 2}
    write_folders(tmp_path, good)
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / "phone")
    for kind in all_kinds(120, 144):  # two files that are the same are no pair
        (tmp_path / "dslr" / kind.name).write_bytes(kind.data)
    flags = [*arguments(tmp_path, tmp_path / "out"), "--test_scenes=1", "--validation_scenes=1"]
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *flags]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr[-2000:]
    rows = manifest(tmp_path / "out")
    assert {row["photo"] for row in rows if row["status"] == "kept"} >= set(good)
    rejected = {row["photo"]: row["reason"] for row in rows if row["status"] == "rejected"}
    listed = {row["photo"] for row in rows}
    for kind in kinds:
        stem = kind.name.rsplit(".", 1)[0]
        if kind.right == REFUSE and stem in listed:
            assert rejected[stem], kind.name
    assert len(listed) > 150
