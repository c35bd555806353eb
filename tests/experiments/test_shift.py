"""Figure 6: windows lie where they should, losses are the equations', ratios the issue's."""

import csv
import json

import browser as chromium
import cv2
import numpy as np
import pytest
import scipy.signal
import tiny

from dped_jax.base.errors import InputError
from dped_jax.experiments import shift

ANGLES = np.array([0, np.pi / 2, np.pi])


def random_patch(seed: int = 0, side: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_windows_lie_in_their_directions():
    patch = random_patch().astype(np.float32)
    right, down, left = shift.windows(patch, 7, ANGLES)
    np.testing.assert_allclose(right, patch[25:75, 32:82], atol=1e-3)
    np.testing.assert_allclose(down, patch[32:82, 25:75], atol=1e-3)
    np.testing.assert_allclose(left, patch[25:75, 18:68], atol=1e-3)
    (between,) = shift.windows(patch, 0.5, ANGLES[:1])
    expected = (patch[25:75, 25:75] + patch[25:75, 26:76]) / 2
    np.testing.assert_allclose(between, expected, atol=1e-3)
    farthest = shift.windows(patch, 25, ANGLES)[0]
    np.testing.assert_allclose(farthest, patch[25:75, 50:], atol=1e-3)


def test_losses_are_those_of_the_equations():
    """Against eq. 2 to 4 written out, with a kernel of two dimensions, in float64."""
    patch, seed, num_directions = random_patch(), 3, 2
    found = shift.measure([patch], 2, num_directions, seed)
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, num_directions)
    rows, columns = np.mgrid[-10:11, -10:11]
    printed = 0.053 * np.exp(-(rows**2) / 18 - columns**2 / 18)
    values = patch / 255
    y, x = np.mgrid[25:75, 25:75]
    sums = {"mse": np.zeros(2), "color_sum_1": np.zeros(2), "color_printed": np.zeros(2)}
    for i, n in enumerate((1, 2)):
        for angle in angles:
            dy, dx = n * np.sin(angle), n * np.cos(angle)
            top, left = int(np.floor(dy)), int(np.floor(dx))
            fy, fx = dy - top, dx - left
            shifted = sum(
                weight * values[y + top + a, x + left + b]
                for a, b, weight in (
                    (0, 0, (1 - fy) * (1 - fx)),
                    (0, 1, (1 - fy) * fx),
                    (1, 0, fy * (1 - fx)),
                    (1, 1, fy * fx),
                )
            )
            difference = shifted - values[25:75, 25:75]
            sums["mse"][i] += np.mean(difference**2) / 2
            for name, kernel in (("printed", printed), ("sum_1", printed / printed.sum())):
                blurred = [scipy.signal.convolve2d(c, kernel, "same") for c in difference.T]
                sums[f"color_{name}"][i] += np.mean(np.square(blurred)) / 2
    for name, expected in sums.items():
        # The window's place is a float32 in OpenCV: fractions are off by up to 1e-3 on noise.
        np.testing.assert_allclose(found[name], expected[None], rtol=5e-3, err_msg=name)


def test_ratios_on_real_patches(shared_data):
    """The figures that the project's issue asks for."""
    num, patches = shift.read_patches(shared_data / "dped_iphone" / "canon", 120, 5)
    found = shift.measure(patches, 5, 8, seed=0)
    result = shift.summarize(found, 0)
    assert num == len(found["mse"]) == 120
    np.testing.assert_allclose(result["color_sum_1"]["ratio"], [12, 9, 6.8, 5.3, 4.4], rtol=0.15)
    assert max(result["color_printed"]["ratio"]) < 1.4
    assert shift.closer_to_paper(result) == "color_sum_1"


def test_summary_of_known_values():
    found = {
        "mse": np.array([[2.0], [4.0]]),
        "color_sum_1": np.array([[1.0], [0.5]]),
        "color_printed": np.array([[6.0], [6.0]]),
    }
    result = shift.summarize(found, 0)
    assert result["mse"] == {"mean": [3.0], "std": [1.0]}
    sum_1 = result["color_sum_1"]
    assert sum_1["ratio"] == [4.0]  # of the means, not the mean of ratios
    assert (sum_1["ratio_low"], sum_1["ratio_high"]) == ([2.0], [8.0])
    assert result["color_printed"]["ratio"] == [0.5]
    with pytest.raises(InputError, match="blank"):
        shift.summarize(found | {"mse": np.zeros((2, 1))}, 0)


@pytest.mark.parametrize(("sum_1", "printed", "best"), [(6, 0.7, 0), (60, 7, 1), (4, 0.5, 0)])
def test_the_kernel_nearer_to_the_paper_is_named(sum_1, printed, best):
    result = {
        "color_sum_1": {"ratio": [1000, 1000, *[sum_1] * 3]},
        "color_printed": {"ratio": [0.001, 0.001, *[printed] * 3]},
    }
    assert shift.closer_to_paper(result) == list(shift.KERNELS)[best]
    other = list(shift.KERNELS.values())[best]
    assert shift.conclusion(result).startswith(f"The paper's figure is matched by the {other}")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The output folder of the command on four of five patches."""
    folder = tmp_path_factory.mktemp("shift")
    tiny.write_pairs(folder, 5)
    result = tiny.command(
        "dped_jax.experiments.shift",
        f"--dslr_dir={folder}/dslr",
        f"--output_dir={folder}/out",
        "--num_patches=4",
        "--max_shift=6",
    )
    assert result.returncode == 0, result.stderr
    assert "The paper's figure is matched by" in result.stdout
    return folder / "out"


def test_files_agree(run):
    result = json.loads((run / "results.json").read_text())
    assert (result["patches"], result["shifts"]) == (4, [1, 2, 3, 4, 5, 6])
    with (run / "figure6.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["color_sum_1_ratio"]) for row in rows] == result["color_sum_1"]["ratio"]
    assert [float(row["mse_mean"]) for row in rows] == result["mse"]["mean"]
    assert cv2.imread(str(run / "figure6.png")).shape == (540, 840, 3)
    page = (run / "report.html").read_text()
    for name in shift.KERNELS:
        assert f"<td>{result[name]['ratio'][2]:.2f} (" in page


def test_page_in_a_browser(run, browser):
    assert chromium.page_problems(browser, run / "report.html") == []


def test_small_patches_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "7.png"), random_patch(side=99))
    num, patches = shift.read_patches(tmp_path, 0, 25)
    assert num == 1
    with pytest.raises(InputError, match=r"7.png: \(99, 99\) .*--max_shift=25 needs 100 a side"):
        list(patches)
