"""Files of an experiment hold what was given."""

import csv
import json

import cv2
import numpy as np
import pytest

from dped_jax.pages import charts, outputs


def test_json_has_no_nan(tmp_path):
    outputs.write_json(tmp_path / "r.json", {"a": [1, None, float("nan")], "b": (0.5,)})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": [1, None, None], "b": [0.5]}
    with pytest.raises(ValueError, match="JSON"):
        outputs.write_json(tmp_path / "bad.json", {"a": float("inf")})
    assert not (tmp_path / "bad.json").exists()


def test_csv_quotes(tmp_path):
    outputs.write_csv(tmp_path / "r.csv", ["a", "b"], [{"b": 'x, "y"', "a": 1}, {"b": 2.5, "c": 3}])
    with (tmp_path / "r.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", 'x, "y"'], ["", "2.5"]]


def test_pictures_are_rgb_and_charts_are_pictures(tmp_path):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200
    outputs.write_picture(tmp_path / "p.png", image)
    read = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read, image)
    curves = {"a": [(0, 1.0), (1, 3.0)], "b": [(0, 2.0)]}
    chart = charts.line_chart("y", curves, title="t", log=True, size=charts.LARGE)
    outputs.write_chart(tmp_path / "c.png", chart)
    plot = cv2.imread(str(tmp_path / "c.png"), cv2.IMREAD_COLOR_RGB)
    assert plot.shape == (540, 840, 3)
    drawn = (np.abs(plot.astype(int) - [0x1F, 0x4E, 0x9C]).sum(-1) < 40).sum()
    assert drawn > 500  # the first curve's pixels
