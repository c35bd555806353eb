"""A folder of one file of each kind that cameras and phones write."""

import re

import tiny
from camera_files import READ, REFUSE

# Formats that a folder may hold and no reader here knows are passed over by their names.
PASSED_OVER = (".gif", ".jp2", ".jxl")


def test_a_folder_of_all_kinds_is_enhanced_to_its_end(made_up_files, tmp_path):
    folder, kinds = made_up_files
    model = tiny.write_model(tmp_path / "model", *tiny.random_generator())
    flags = [f"--workdir={model}", f"--input={folder}", f"--output={tmp_path / 'out'}"]
    result = tiny.command("dped_jax.enhance", *flags, timeout=600)
    assert result.returncode == 1, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    errors = re.findall(r"^error: (.*)$", result.stderr, re.MULTILINE)
    written = {path.stem for path in (tmp_path / "out").iterdir()}
    for kind in kinds:
        stem, suffix = kind.name.rsplit(".", 1)
        named = [line for line in errors if kind.name in line]
        if kind.right == READ:
            assert stem in written, (kind.name, named)
        elif f".{suffix}" not in PASSED_OVER and kind.right == REFUSE:
            assert stem not in written, kind.name
            assert len(named) == 1, (kind.name, named)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
