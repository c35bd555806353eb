"""What the commands leave when they are stopped, run twice at once, or find damage."""

import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import pytest
from generated_patches import ROOT, files_below
from photo_folders import arguments, prepare_here, write_folders

from data_builders.dped import patch_files
from dped_jax.base.errors import InputError
from dped_jax.base.files import locked, write_atomically

HOLD = """
import pathlib, sys, time
from dped_jax.base.files import locked
with locked(pathlib.Path(sys.argv[1]), "the output"):
    print("locked", flush=True)
    time.sleep(60)
"""


def started(*argv: object, **kwargs) -> subprocess.Popen:
    command = [sys.executable, *map(str, argv)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **kwargs)


def stopped(process: subprocess.Popen, number: int) -> str:
    """Sends a signal; what the process wrote to stderr until its end."""
    process.send_signal(number)
    return process.communicate(timeout=30)[1]


def wait_for(found) -> None:
    end = time.monotonic() + 30
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes with side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    row = b"\0" * (3 * side + 1)
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_lock_says_who_holds_it_and_ends_with_its_process(tmp_path):
    file = tmp_path / "lock"
    holder = started("-c", HOLD, file, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == "locked\n"
    with (
        pytest.raises(InputError, match=f"the output: in use by process {holder.pid} on "),
        locked(file, "the output"),
    ):
        pass
    stopped(holder, signal.SIGKILL)
    holder.stdout.close()
    assert file.exists()  # stale
    with locked(file, "the output"):
        assert str(os.getpid()) in file.read_text()
    assert not file.exists()


def test_a_second_prepare_is_refused_while_the_first_runs(tmp_path, run_command):
    write_folders(tmp_path, {f"s{i}": i for i in range(4)})
    flags = arguments(tmp_path, tmp_path / "out")
    first = started("-m", "data_builders.dped.prepare", *flags, stdout=subprocess.DEVNULL)
    wait_for((tmp_path / "out/.prepare/custom.lock").exists)
    second = run_command("prepare", *flags)
    assert second.returncode == 1
    assert f"out/custom: in use by process {first.pid}" in second.stderr
    assert (first.communicate()[1], first.returncode) == ("", 0)
    assert not (tmp_path / "out/.prepare/custom.lock").exists()


def test_prepare_ends_on_ctrl_c_in_one_line_and_goes_on(tmp_path, run_command):
    write_folders(tmp_path, {f"s{i}": i for i in range(8)})
    prepare_here(tmp_path, tmp_path / "whole")
    flags = arguments(tmp_path, tmp_path / "out")
    process = started(
        "-m", "data_builders.dped.prepare", *flags, "--processes=1", start_new_session=True
    )
    records = tmp_path / "out/.prepare/custom/pairs"
    wait_for(lambda: list(records.glob("*.json")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.communicate(timeout=30)[1] == "interrupted: start the same command again\n"
    assert process.returncode == 130
    assert not list((tmp_path / "out").rglob("*.partial"))
    done = run_command("prepare", *flags)
    assert done.returncode == 0, done.stderr
    assert "of them before, in" in done.stdout
    assert files_below(tmp_path / "out/custom") == files_below(tmp_path / "whole/custom")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_stopped_leaves_nothing(tmp_path, make_archive, number):
    archive = make_archive(tmp_path / "archive", train=2000)
    data_dir = tmp_path / "data"
    process = started(
        "-m", "data_builders.dped.build", f"--manual_dir={archive}", f"--data_dir={data_dir}"
    )
    wait_for(lambda: list(data_dir.glob(".dped_incomplete_*/*")))
    assert stopped(process, number) == "interrupted: start the same command again\n"
    assert process.returncode == 128 + number
    assert not data_dir.exists()


def test_what_a_killed_build_has_left_is_removed_by_the_next(tmp_path, make_archive, run_command):
    (tmp_path / "data/.dped_incomplete_iphone/dped").mkdir(parents=True)
    archive = make_archive(tmp_path / "archive")
    flags = f"--manual_dir={archive}", f"--data_dir={tmp_path}/data"
    assert run_command("build", *flags).returncode == 0
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["dped"]


@pytest.mark.parametrize("damage", ["patch", "photo"])
def test_up_to_date_looks_at_the_files(tmp_path, damage):
    write_folders(tmp_path, {f"s{i}": i for i in range(5)})
    prepare_here(tmp_path, tmp_path / "out")
    before = files_below(tmp_path / "out/custom")
    lost = "training_data/dslr/*" if damage == "patch" else "test_data/full_size_test_images/*"
    next((tmp_path / "out/custom").glob(lost)).unlink()
    assert prepare_here(tmp_path, tmp_path / "out").changed
    assert files_below(tmp_path / "out/custom") == before
    assert not prepare_here(tmp_path, tmp_path / "out").changed


def damaged(file: pathlib.Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_damaged_records_are_made_again(tmp_path):
    write_folders(tmp_path, {f"s{i}": i for i in range(5)})
    prepare_here(tmp_path, tmp_path / "out")
    before = files_below(tmp_path / "out/custom")
    work = tmp_path / "out/.prepare/custom"
    for content in (b"null", b"{}", b"\xff", b""):
        (work / "pairs/s1.json").write_bytes(content)
        result = prepare_here(tmp_path, tmp_path / "out")
        assert (result.done_before, result.changed) == (4, False)
    damaged(work / "pairs/s2.json")
    shutil.rmtree(work / "pairs/s3.patches")
    assert prepare_here(tmp_path, tmp_path / "out").done_before == 3
    damaged(next((work / "pairs/s4.patches/dslr").iterdir()))
    (tmp_path / "out/custom/manifest.csv").unlink()
    with pytest.raises(InputError, match=r"s4.patches: damaged .*: the same command makes"):
        prepare_here(tmp_path, tmp_path / "out")
    assert prepare_here(tmp_path, tmp_path / "out").done_before == 4
    assert files_below(tmp_path / "out/custom") == before
    (work / "settings.json").write_text("[")
    with pytest.raises(InputError, match=r"settings.json: damaged .*: remove it"):
        prepare_here(tmp_path, tmp_path / "out")


def test_names_that_are_not_utf8_are_refused_by_name(tmp_path, make_folder, run_command):
    write_folders(tmp_path, {"s0": 0})
    odd = os.fsencode(tmp_path / "phone") + b"/caf\xe9.png"
    pathlib.Path(os.fsdecode(odd)).write_bytes(b"")
    done = run_command("prepare", *arguments(tmp_path, tmp_path / "out"))
    assert done.returncode == 1
    assert "phone: 'caf\\udce9.png': its name is not UTF-8; rename it" in done.stderr
    flags = f"--phone_dir={tmp_path}/phone", f"--dslr_dir={tmp_path}/dslr", "--phone=custom"
    done = run_command("build", *flags, f"--data_dir={tmp_path}/data")
    assert done.returncode == 1
    assert "its name is not UTF-8; rename it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_few_bytes_of_many_pixels_are_not_decoded():
    """Of a square of 20,000 pixels a side, 1.2 GB, the header alone is read."""
    problem = patch_files.patch_problem(bomb(20_000))
    assert problem.startswith("20000 x 20000 pixels, more than 1 megapixels")


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out.partial").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "out", b"new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_bytes() == b"new"
