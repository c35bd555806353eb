"""The prepare command: stopping, going on, and what is there already."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from generated_patches import ROOT, files_below
from photo_folders import (
    NAMES,
    arguments,
    manifest,
    prepare_here,
    reasons,
    run_all,
    simulated_pair,
    write_folders,
    write_photo,
)
from tiny import assert_one_line_error

from data_builders.dped.prepare.records import read as read_record
from dped_jax.base.errors import InputError


def test_a_second_run_does_nothing_and_other_settings_are_refused(prepared, photos, run_command):
    output, _ = prepared
    before = files_below(output)
    done = run_command("prepare", *arguments(photos, output))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{output}/custom is up to date (5 pairs):")
    done = run_command("prepare", *arguments(photos, output), "--min_correlation=0.8")
    assert_one_line_error(done, "min_correlation=0.9", "0.8", "choose another --output_dir")
    assert files_below(output) == before


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_run_leaves_nothing_half_written_and_is_gone_on_with(tmp_path, run_command):
    photos = tmp_path / "photos"
    write_folders(photos, {f"s{i}": i for i in range(8)})
    prepare_here(photos, tmp_path / "whole")
    argv = [sys.executable, "-m", "data_builders.dped.prepare", *arguments(photos, tmp_path)]
    process = subprocess.Popen(
        [*argv, "--processes=1"], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    records = tmp_path / ".prepare/custom/pairs"
    while len(list(records.glob("*.json"))) < 1:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(100):  # its worker ends by itself
        if not group_exists(process.pid):
            break
        time.sleep(0.1)
    assert not group_exists(process.pid)
    assert not (tmp_path / "custom").exists()
    finished = {file: file.stat().st_mtime_ns for file in records.glob("*.json")}
    assert 1 <= len(finished) < 8
    for file in finished:
        assert read_record(str(file.with_suffix("")))
        assert file.with_suffix(".patches").is_dir()
    done = run_command("prepare", *arguments(photos, tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"8 pairs, {len(finished)} of them before, in" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert files_below(tmp_path / "custom") == files_below(tmp_path / "whole/custom")


def test_a_failure_while_writing_leaves_the_old_result(photos, tmp_path):
    prepare_here(photos, tmp_path / "out")
    before = files_below(tmp_path / "out/custom")
    more = tmp_path / "photos"
    shutil.copytree(photos, more)
    shutil.move(tmp_path / "out/.prepare/custom/settings.json", tmp_path / "old.json")

    def fail_writing(function, tasks, doing):
        if doing == "writing":
            raise OSError("No space left on device")
        run_all(function, tasks, doing)

    write_folders(more, {"s9": 5})
    with pytest.raises(OSError, match="No space"):
        prepare_here(more, tmp_path / "out", run=fail_writing)
    assert files_below(tmp_path / "out/custom") == before
    # The same command takes up the photo that was added, and redoes no other.
    result = prepare_here(more, tmp_path / "out")
    assert (result.pairs, result.done_before, result.changed) == (6, 6, True)
    assert {row["photo"] for row in manifest(tmp_path / "out")} == {*NAMES, "s9"}


def test_build_refuses_what_was_not_written_to_its_end(prepared, tmp_path, run_command):
    shutil.copytree(prepared[0] / "custom", tmp_path / "custom")
    (tmp_path / "custom/INCOMPLETE").touch()
    flags = (f"--manual_dir={tmp_path}", "--phone=custom", f"--data_dir={tmp_path}/tfds")
    done = run_command("build", *flags)
    assert_one_line_error(
        done, "custom: was not written to its end: run data_builders.dped.prepare"
    )


def test_an_archive_of_others_is_not_overwritten(photos, tmp_path):
    (tmp_path / "iphone/training_data").mkdir(parents=True)
    with pytest.raises(InputError, match="iphone: was not made by this command"):
        prepare_here(photos, tmp_path, phone="iphone")
    assert files_below(tmp_path) == {}


def test_a_photo_that_could_not_be_read_is_tried_again(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in")
    hidden = tmp_path / "in/phone/s1.png"
    hidden.unlink()
    hidden.mkdir()
    prepare_here(tmp_path / "in", tmp_path / "out")
    assert (
        "phone photo: cannot be read: Is a directory" in reasons(manifest(tmp_path / "out"))["s1"]
    )
    hidden.rmdir()
    shutil.copy(photos / "phone/s1.png", hidden)
    result = prepare_here(tmp_path / "in", tmp_path / "out")
    assert (result.pairs, result.done_before) == (5, 4)
    assert not reasons(manifest(tmp_path / "out"))


def test_a_photo_that_was_replaced_is_done_again(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in")
    prepare_here(tmp_path / "in", tmp_path / "out")
    write_photo(tmp_path / "in/phone/s1.png", simulated_pair(1)[0][10:])
    result = prepare_here(tmp_path / "in", tmp_path / "out")
    assert (result.done_before, result.changed) == (4, True)
