"""Photographs in one go and window by window: what is compared, and what is written."""

import csv
import json

import browser as chromium
import cv2
import numpy as np
import pytest
import tiny

from dped_jax.base.errors import InputError
from dped_jax.experiments import photo_statistics

SIZE = (230, 310)


@pytest.fixture
def folders(tmp_path):
    """Two pairs, the second one small; the DSLR's photographs are the phone's, brighter by 20."""
    rng = np.random.default_rng(0)
    for name in ("phone", "dslr"):
        (tmp_path / name).mkdir()
    for i, size in enumerate([SIZE, (100, 105)]):
        photo = cv2.resize(rng.integers(0, 200, (9, 9, 3), np.uint8), size[::-1])
        cv2.imwrite(str(tmp_path / f"phone/{i}.png"), photo)
        cv2.imwrite(str(tmp_path / f"dslr/{i}.png"), photo + 20)
    return {f"{name}_dir": tmp_path / name for name in ("phone", "dslr")}


def test_windows_are_cut_and_put_back():
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    middle = photo_statistics.middle(photo)
    np.testing.assert_array_equal(middle, photo[15:215, 5:305])
    windows = photo_statistics.to_windows(middle)
    assert len(windows) == 6
    np.testing.assert_array_equal(windows[4], photo[115:215, 105:205])
    np.testing.assert_array_equal(photo_statistics.from_windows(windows, middle.shape), middle)


def test_both_ways_are_scored_on_the_same_windows():
    phone = np.random.default_rng(0).integers(60, 120, (*SIZE, 3), np.uint8)
    found, shown = photo_statistics.compare(
        phone, phone + 20, lambda photo: photo + 10, lambda windows: (windows + 30.0) / 255
    )
    np.testing.assert_array_equal(shown["windows"], shown["phone"] + 30)
    for name, error in (("phone", 20), ("whole", 10), ("windows", 10)):
        assert found[name]["psnr"] == pytest.approx(20 * np.log10(255 / error), abs=1e-3)
    means = photo_statistics.summarize_photos([found, found])
    assert means["brighter"] == pytest.approx([-20 / 255] * 3)
    assert means["whole"]["psnr"] == pytest.approx(found["whole"]["psnr"])


def test_a_local_network_makes_the_same_of_both_but_for_borders(folders, tmp_path, browser):
    """Zero padding at a window's border reaches 8 pixels in."""
    workdir = tiny.write_model(tmp_path / "w", *tiny.random_generator(architecture="srcnn"))
    photo_statistics.run(workdir, folders, tmp_path / "out")
    result = json.loads((tmp_path / "out/results.json").read_text())
    assert [photo["name"] for photo in result["photos"]] == ["0", "1"]
    assert 0 < abs(result["means"]["brighter"][0]) < 0.05
    phone = cv2.imread(str(folders["phone_dir"] / "0.png"))
    expected = photo_statistics.middle(phone).mean() / 255
    assert result["photos"][0]["phone"]["brightness"] == pytest.approx(expected)
    rows = list(csv.DictReader((tmp_path / "out/photos.csv").read_text().splitlines()))
    assert float(rows[1]["whole_psnr"]) == pytest.approx(result["photos"][1]["whole"]["psnr"])
    assert cv2.imread(str(tmp_path / "out/pictures.png")).shape[1] > 4 * 300
    assert chromium.page_problems(browser, tmp_path / "out/report.html") == []


def test_pairs_that_are_not_aligned_are_one_line(folders, tmp_path):
    workdir = tiny.write_model(tmp_path / "w", *tiny.random_generator(architecture="srcnn"))
    cv2.imwrite(str(folders["dslr_dir"] / "1.png"), np.zeros((90, 105, 3), np.uint8))
    flags = [f"--{name}={folder}" for name, folder in folders.items()]
    done = tiny.command(
        "dped_jax.experiments.photo_statistics",
        *[*flags, f"--workdir={workdir}", f"--output_dir={tmp_path}/out"],
    )
    tiny.assert_one_line_error(done, "1.png", "need one size", "--keep_aligned")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="not a workdir"):
        photo_statistics.run(tmp_path, folders, tmp_path / "out")
