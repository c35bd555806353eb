"""Whole photographs through a released generator, and bad input."""

import cv2
import numpy as np
import pytest
import tiny

from configs import release
from dped_jax import checkpoint, convert, enhance
from dped_jax.cli import InputError


def test_a_golden_photograph_is_reproduced(shared_data, tmp_path):
    config, params = convert.convert_generator(
        convert.read_tensorflow_checkpoint(str(shared_data / "released_models" / "iphone_orig"))
    )
    checkpoint.write_config(tmp_path / "w", config)
    with checkpoint.open_manager(tmp_path / "w") as manager:
        checkpoint.save(manager, 0, generator={"params": params, "batch_stats": {}})
    result = tiny.command(
        "dped_jax.enhance",
        f"--workdir={tmp_path / 'w'}",
        f"--input={shared_data / 'photos' / 'iphone_1280x720_0.png'}",
        f"--output={tmp_path / 'out.png'}",
    )
    assert result.returncode == 0, result.stderr
    golden = cv2.imread(str(shared_data / "golden" / "iphone_1280x720_0_iphone_orig.png"))
    difference = np.abs(cv2.imread(str(tmp_path / "out.png")).astype(int) - golden)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005


def test_files_go_to_files_and_folders_to_folders(tmp_path):
    (tmp_path / "in").mkdir()
    picture = np.full((20, 20, 3), 7, np.uint8)
    for name in ("a.jpg", "b.png"):
        enhance.write_image(tmp_path / "in" / name, picture)
    (tmp_path / "in" / "notes.txt").write_text("")
    jobs = enhance.plan(tmp_path / "in", tmp_path / "out")
    assert [(s.name, t) for s, t in jobs] == [
        ("a.jpg", tmp_path / "out" / "a.jpg"),
        ("b.png", tmp_path / "out" / "b.png"),
    ]
    one = tmp_path / "in" / "a.jpg"
    assert enhance.plan(one, tmp_path / "c.png") == [(one, tmp_path / "c.png")]
    assert enhance.plan(one, tmp_path / "out") == [(one, tmp_path / "out" / "a.jpg")]
    with pytest.raises(InputError, match="exists already"):
        enhance.plan(one, tmp_path / "in" / "b.png")
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        enhance.plan(tmp_path / "nowhere", tmp_path / "c.png")
    with pytest.raises(InputError, match=r"cannot write \.gif"):
        enhance.write_image(tmp_path / "c.gif", picture)


def test_values_are_clipped_then_rounded():
    values = np.array([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.08])
    assert enhance.to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]


def test_a_workdir_without_checkpoint_is_one_line(tmp_path):
    checkpoint.write_config(tmp_path / "w", release.get_config())
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1])
    result = tiny.command(
        "dped_jax.enhance",
        f"--workdir={tmp_path / 'w'}",
        f"--input={tmp_path / 'a.png'}",
        f"--output={tmp_path / 'b.png'}",
    )
    tiny.assert_one_line_error(result, "holds no checkpoint")
