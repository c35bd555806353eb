"""Figure 5: the blur is that of the loss, distances are means of squares, the sheet shows it."""

import json

import browser as chromium
import cv2
import numpy as np
import pytest
import scipy.ndimage
import tiny

from dped_jax import losses
from dped_jax.base.errors import InputError
from dped_jax.experiments import blurred_pairs


def random_pairs(num: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, num, 60, 50, 3), np.uint8)


def test_blur_and_distances_against_scipy():
    phone, dslr = random_pairs(2)
    found = blurred_pairs.compare(phone, dslr)
    k = np.arange(-10, 11)
    gaussian = np.exp(-(k**2) / 18) / np.exp(-(k**2) / 18).sum()

    def blurred(images):
        down = scipy.ndimage.correlate1d(images, gaussian, axis=1, mode="constant")
        return scipy.ndimage.correlate1d(down, gaussian, axis=2, mode="constant")

    for name, images in (("phone", phone), ("dslr", dslr)):
        shown = found[f"{name}_blurred"]
        assert np.abs(shown - blurred(images * 1.0)).max() < 0.51  # rounding
    difference = phone / 255 - dslr / 255
    np.testing.assert_allclose(found["mse"], np.mean(difference**2, (1, 2, 3)), rtol=1e-5)
    expected = np.mean(blurred(difference) ** 2, (1, 2, 3))
    np.testing.assert_allclose(found["color"], expected, rtol=1e-4)
    loss = losses.color_loss(phone / 255, dslr / 255, losses.gaussian_kernel(21, 3, 0.0))
    np.testing.assert_allclose(found["color"] * dslr[0].size, loss, rtol=1e-4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve pairs of random pictures, the last two of another size, the first one blank."""
    folder = tmp_path_factory.mktemp("pairs")
    phone, dslr = random_pairs(12)
    phone[0] = dslr[0] = 255
    for name, images in (("phone", phone), ("dslr", dslr)):
        (folder / name).mkdir()
        for i, image in enumerate(images):
            cv2.imwrite(str(folder / name / f"{i}.png"), image[: 40 if i > 9 else 60, :, ::-1])
    return {f"{name}_dir": folder / name for name in ("phone", "dslr")}


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """The output folder of the command."""
    out = tmp_path_factory.mktemp("out") / "deep" / "figure5"
    given = [f"--{flag}={folder}" for flag, folder in folders.items()]
    arguments = [*given, f"--output_dir={out}", "--num_pairs=11", "--num_shown=3"]
    result = tiny.command("dped_jax.experiments.blurred_pairs", *arguments)
    assert result.returncode == 0, result.stderr
    return out


def test_pairs_are_taken_by_number_and_shown_evenly(run):
    result = json.loads((run / "results.json").read_text())
    pairs = result["pairs"]
    assert [pair["name"] for pair in pairs] == [str(i) for i in range(11)]
    assert [pair["name"] for pair in pairs if pair["shown"]] == ["0", "5", "10"]
    phone, dslr = random_pairs(12)
    for i, rows in ((5, 60), (10, 40)):
        found = blurred_pairs.compare(phone[i : i + 1, :rows], dslr[i : i + 1, :rows])
        assert pairs[i]["mse"] == pytest.approx(float(found["mse"][0]), rel=1e-6)
        assert pairs[i]["color"] == pytest.approx(float(found["color"][0]), rel=1e-5)
    assert result["color"] == pytest.approx(np.mean([pair["color"] for pair in pairs]))
    assert 0.7 < result["uniform_remains"] < 0.9
    assert "(identical)" in (run / "report.html").read_text()


def test_sheet_holds_the_pictures(run):
    sheet = cv2.imread(str(run / "figure5.png"), cv2.IMREAD_COLOR_RGB)
    phone, dslr = random_pairs(12)
    found = blurred_pairs.compare(phone[5:6], dslr[5:6])
    for column in (phone[5], found["phone_blurred"][0], dslr[5], found["dslr_blurred"][0]):
        enlarged = np.kron(column, np.ones((3, 3, 1), np.uint8))
        corner = (sheet == enlarged[0, 0]).all(-1)
        places = [
            (y, x)
            for y, x in np.argwhere(corner)
            if np.array_equal(sheet[y : y + 180, x : x + 150], enlarged)
        ]
        assert len(places) == 1


def test_page_in_a_browser(run, browser):
    assert chromium.page_problems(browser, run / "report.html") == []


def test_folders_that_do_not_match_are_refused(folders, tmp_path):
    (tmp_path / "phone").mkdir()
    cv2.imwrite(str(tmp_path / "phone" / "0.png"), np.zeros((60, 50, 3), np.uint8))
    with pytest.raises(InputError, match=r"--phone_dir=.*: 11 pictures of the other folders"):
        blurred_pairs.measure(folders | {"phone_dir": tmp_path / "phone"}, 0, 1)
