"""What is lost under a training: room on the disk, and the workdir."""

import subprocess
import sys

import small_disk
import tiny

from dped_jax import checkpoint

# Two saves, the second of 2 MB; `{between}` comes while it is written.
PROGRAM = """
import pathlib, shutil, sys
import numpy as np
from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.train import saved_state

def save(manager, step, size):
    params = {{"kernel": np.random.default_rng(0).normal(size=size).astype("f4")}}
    checkpoint.save(manager, step, generator={{"params": params, "batch_stats": {{}}}})

def main(argv):
    workdir = pathlib.Path(sys.argv[0])
    with saved_state.opened(workdir, 5) as manager:
        save(manager, 1, 100)
        checkpoint.finish(manager)
        {before}
        save(manager, 2, 500_000)
        {after}
        save(manager, 3, 100)

sys.argv = sys.argv[1:]
command.run(main)
"""


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(tmp_path):
    before = "checkpoint.check_space = lambda *_: None  # it was not full then"
    program = PROGRAM.format(before=before, after="pass")
    result = small_disk.run_on_small_disk(
        "1m", tmp_path, sys.executable, "-c", program, tmp_path / "disk/w"
    )
    tiny.assert_one_line_error(result, "saving 3 failed", "No space left on device")
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "kept/w/checkpoints").iterdir()] == ["1"]
    restored = checkpoint.restore(tmp_path / "kept/w", 1, ["generator"])
    assert restored["generator"]["params/kernel"].shape == (100,)


def test_a_workdir_that_is_removed(tmp_path):
    after = "while workdir.exists(): shutil.rmtree(workdir, ignore_errors=True)"
    program = PROGRAM.format(before="", after=after)
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "w"],
        cwd=tiny.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    tiny.assert_one_line_error(result, "w/checkpoints: was removed; nothing can be saved there")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "w").exists()
