"""Charts of pages stay inside their frames, with round numbers beside them."""

import re

import numpy as np
import pytest

from dped_jax.pages import web_page


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("points", [[(1, 0.0)], [(5, 3.0), (9, 3.0)], [(1, 1e-9), (2, 1e9)]])
def test_charts_stay_inside_their_frame(points, log):
    chart = web_page.line_chart("a < b", "c", {"d": points}, log=log)
    (curve,) = re.findall('polyline points="([^"]*)"', chart)
    corners = [tuple(map(float, corner.split(","))) for corner in curve.split()]
    assert len(corners) == len(points)
    for x, y in corners:
        assert web_page.LEFT <= x <= web_page.RIGHT
        assert web_page.TOP <= y <= web_page.BOTTOM


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 600, [0, 100, 200, 300, 400, 500, 600]), (18.3, 25.2, [20, 22, 24]), (3, 3.1, None)],
)
def test_ticks_are_round_and_inside(low, high, expected):
    found = web_page.ticks(low, high)
    assert all(low <= tick <= high for tick in found)
    assert 2 <= len(found) <= 8
    if expected:
        assert found == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.5, -1, [0.005, 0.01, 0.02, 0.05]),
        (-4.1, 0.1, [1e-4, 1e-3, 1e-2, 1e-1, 1]),
        (-0.35, 0.4, [0.5, 1, 2]),
        (-1.1, -1.0, None),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_and_inside(low, high, expected):
    found = web_page.ticks(low, high, log=True)
    assert all(low <= tick <= high for tick in found)
    assert 2 <= len(found) <= 9
    if expected:
        assert 10 ** np.array(found) == pytest.approx(expected)
