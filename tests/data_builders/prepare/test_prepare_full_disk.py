"""`prepare` whose output finds no room."""

import shutil
import sys

import small_disk
from generated_patches import files_below
from photo_folders import NAMES, arguments, prepare_here, write_folders


def test_prepare_on_a_full_disk_keeps_what_is_finished(tmp_path):
    write_folders(tmp_path, NAMES)
    prepare_here(tmp_path, tmp_path / "whole")
    flags = [*arguments(tmp_path, tmp_path / "disk/out"), "--processes=1"]
    command = [sys.executable, "-m", "data_builders.dped.prepare", *flags]
    result = small_disk.run_on_small_disk("600k", tmp_path, *command)
    assert result.returncode == 1
    (line,) = (line for line in result.stderr.splitlines() if "/s" not in line or "rror" in line)
    for words in ("error: ", "No space left on device", "disk/out/.prepare/", "; make room, and"):
        assert words in line
    kept = tmp_path / "kept/out"
    assert not (kept / "custom").exists()
    assert not list(kept.rglob("*.partial"))
    # With room the same command goes on.
    result = prepare_here(tmp_path, shutil.copytree(kept, tmp_path / "out"))
    assert 0 < result.done_before < len(NAMES)
    assert files_below(tmp_path / "out/custom") == files_below(tmp_path / "whole/custom")
