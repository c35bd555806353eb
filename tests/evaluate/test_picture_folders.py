"""Other programs' pictures matched with the patches of a dataset's split by name."""

import json
import logging
import shutil

import cv2
import numpy as np
import pytest
import tiny

from dped_jax import input_pipeline
from dped_jax.base.errors import InputError
from dped_jax.base.folders import MissingPicturesError, matching_pictures
from dped_jax.base.pictures import read_pixels
from dped_jax.evaluate.batches import folder_batches, split_batches
from dped_jax.evaluate.scores import score

NAMES = ["17", "18", "19"]  # the test split of `tiny_data`


@pytest.fixture
def source(tiny_data):
    return input_pipeline.open_split(tiny_data, "custom", "test")


@pytest.fixture
def enhanced_dir(tiny_data, tmp_path):
    """The phone's patches of the test split, somewhat brighter."""
    folder = tmp_path / "enhanced"
    folder.mkdir()
    for name in NAMES:
        patch = cv2.imread(str(tiny_data.parent / "pairs" / "phone" / f"{name}.png"))
        cv2.imwrite(str(folder / f"{name}.png"), np.minimum(patch, 215) + 40)
    return folder


def test_pictures_come_with_the_pair_of_their_name(source, enhanced_dir, tiny_data):
    batches = list(split_batches(source, enhanced_dir, 2))
    assert [len(batch["dslr"]) for batch in batches] == [2, 1]
    images = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    for i, name in enumerate(NAMES):
        for camera in ("phone", "dslr"):
            expected = read_pixels(tiny_data.parent / "pairs" / camera / f"{name}.png")
            np.testing.assert_array_equal(images[camera][i], expected)
        np.testing.assert_array_equal(
            images["enhanced"][i], read_pixels(enhanced_dir / f"{name}.png")
        )


def test_names_that_do_not_match_are_listed(source, enhanced_dir, caplog):
    shutil.copy(enhanced_dir / "17.png", enhanced_dir / "3.png")
    with caplog.at_level(logging.WARNING):
        assert len(list(split_batches(source, enhanced_dir, 50))) == 1
    assert "1 of its pictures are not in the split (3) and are not scored" in caplog.text
    (enhanced_dir / "18.png").rename(enhanced_dir / "18_enhanced.png")
    with pytest.raises(MissingPicturesError) as error:
        next(split_batches(source, enhanced_dir, 50))
    assert error.value.missing == ["18"]
    assert "1 of the 3 pictures of the split are missing here (18)" in str(error.value)
    assert "2 of its pictures are not in the split (3, 18_enhanced)" in str(error.value)
    cv2.imwrite(str(enhanced_dir / "18.png"), np.zeros((100, 90, 3), np.uint8))
    with pytest.raises(InputError, match=r"18.png: \(100, 90\) pixels .* has \(100, 100\)"):
        next(split_batches(source, enhanced_dir, 50))


def test_the_command_scores_pictures_against_a_split(enhanced_dir, tiny_data, tmp_path):
    dataset = [f"--data_dir={tiny_data}", "--phone=custom"]
    given = [f"--enhanced_dir={enhanced_dir}", f"--json={tmp_path / 'scores.json'}"]
    result = tiny.command("dped_jax.evaluate", *given, *dataset)
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    folders = {"enhanced_dir": enhanced_dir}
    for camera in ("phone", "dslr"):
        folders[f"{camera}_dir"] = tmp_path / camera
        folders[f"{camera}_dir"].mkdir()
        for name in NAMES:
            shutil.copy(tiny_data.parent / "pairs" / camera / f"{name}.png", tmp_path / camera)
    assert scores == score(None, folder_batches(folders, 50))
    assert scores["images"] == 3

    (enhanced_dir / "19.png").unlink()
    lists = tmp_path / "missing.txt"
    missing = tiny.command("dped_jax.evaluate", *given, *dataset, f"--missing={lists}")
    tiny.assert_one_line_error(missing, str(enhanced_dir), "(19)")
    assert lists.read_text() == "19\n"
    both = tiny.command("dped_jax.evaluate", *given, *dataset, f"--dslr_dir={tmp_path}")
    tiny.assert_one_line_error(both, "either --data_dir and --phone, or")


def test_folders_that_lack_pictures_are_all_named(tmp_path):
    names = {"phone_dir": range(30), "dslr_dir": range(5, 31)}
    folders = {flag: tmp_path / flag for flag in names}
    for flag, numbers in names.items():
        folders[flag].mkdir()
        for i in numbers:
            (folders[flag] / f"{i}.png").touch()
    with pytest.raises(MissingPicturesError) as error:
        matching_pictures(folders)
    assert error.value.missing == ["0", "1", "2", "3", "4", "30"]
    assert f"--phone_dir={folders['phone_dir']}: 1 pictures" in str(error.value)
    assert f"--dslr_dir={folders['dslr_dir']}: 5 pictures" in str(error.value)
    for i in range(25):
        (folders["phone_dir"] / f"{i}.png").unlink()
    with pytest.raises(MissingPicturesError) as error:
        matching_pictures(folders)
    assert error.value.missing == [str(i) for i in (*range(5, 25), 30)]
    assert "21 pictures of the other folders are missing here (5, 6," in str(error.value)
    assert "24, ...)" in str(error.value)
