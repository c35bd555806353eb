"""Charts show their curves, and say in words what they show; pages escape what they are given."""

import base64
import re

import numpy as np
import pytest

from dped_jax.pages import charts, web_page


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("points", [[(1, 0.0)], [(5, 3.0), (9, 3.0)], [(1, 1e-9), (2, 1e9)]])
def test_charts_hold_their_points(points, log):
    figure = charts.line_chart("c", {"d": points}, x_label="b", log=log)
    (axes,) = figure.axes
    x, y = axes.get_lines()[0].get_data()
    np.testing.assert_array_equal(x, [x for x, _ in points])
    np.testing.assert_array_equal(y, [max(y, 1e-8) if log else y for _, y in points])
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    assert left == 0
    assert max(x) <= right
    assert low <= min(y)
    assert max(y) <= high
    assert charts.describe(figure) == "c against b of d"


def test_curves_differ_by_their_lines_and_marks():
    series = {name: [(0, 1.0), (1, 2.0)] for name in ("a", "b", "c", "d", "e")}
    figure = charts.line_chart("y", series | {"long": [(i, i) for i in range(1000)]})
    lines = figure.axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines[:4]}) == 4
    assert len({line.get_linestyle() for line in lines[:4]}) == 4
    assert [line.get_marker() for line in lines] == [*".....", ""]


@pytest.mark.parametrize(
    ("values", "expected"),
    [((3e-3, 0.1), {0.005, 0.01, 0.02, 0.05}), ((0.45, 2.5), {0.5, 1, 2}), ((0.08, 0.081), None)],
)
def test_a_logarithmic_axis_has_plain_numbers(values, expected):
    figure = charts.line_chart("y", {"a": list(enumerate(values))}, log=True)
    charts.encode(figure)
    axis = figure.axes[0].yaxis
    low, high = axis.get_view_interval()
    marks = axis.get_majorticklabels() + axis.get_minorticklabels()
    texts = [text.get_text() for text in marks if low <= text.get_position()[1] <= high]
    texts = [float(text) for text in texts if text]
    assert 2 <= len(texts) <= 12
    if expected:
        assert expected <= set(texts)


def test_charts_are_svg_that_is_the_same_each_time():
    def uri() -> str:
        return web_page.figure_uri(charts.line_chart("y $", {"a $x$ < b": [(0, 1.0), (3, 2.0)]}))

    kind, _, data = uri().partition(";base64,")
    assert kind == "data:image/svg+xml"
    text = base64.b64decode(data).decode()
    assert re.search(r"<svg[^>]* viewBox=", text)
    assert "a $x$ &lt; b" in text  # a comment of matplotlib's; the letters are drawn
    assert uri() == f"{kind};base64,{data}"


def test_a_page_without_a_value_is_no_page():
    with pytest.raises(web_page.jinja2.UndefinedError, match="models"):
        web_page.render("discriminators", "title", phone="iphone")
