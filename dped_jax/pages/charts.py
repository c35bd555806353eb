"""Charts by matplotlib, for files and pages. Curves differ by line style, not by colour alone."""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

Series = dict[str, list[tuple[float, float]]]  # (x, y) by name

COLOURS = ("#1f4e9c", "#a83a00", "#1b6b34", "#7a2a8c")  # on white
PLAIN_TEXT = {"text.parse_math": False}  # for `rc_context`: names may have a $
LINE_STYLES = ("-", "--", ":", "-.")
SMALLEST = 1e-8  # what a logarithmic axis shows; values below are drawn there
SMALL, LARGE = (4.6, 3.0), (7.0, 4.5)  # inches: beside others on a page, and alone in a file
MOST_MARKED = 50  # points of a curve that are marked; of more the line is enough


def encode(figure: Figure, kind: str = "png") -> bytes:
    """A chart as "png" or "svg", the same each time."""
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "dped_jax"}):
        figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


@matplotlib.rc_context(PLAIN_TEXT)
def line_chart(
    y_label: str,
    series: Series,
    *,
    x_label: str = "steps",
    title: str = "",
    log: bool = False,
    size: tuple[float, float] = SMALL,
) -> Figure:
    """Draws curves from x = 0 on; `log` is of the y axis, `size` in inches, of 120 pixels."""
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
    for i, (name, points) in enumerate(series.items()):
        x, y = np.transpose(points)
        axes.plot(
            x,
            np.maximum(y, SMALLEST) if log else y,
            label=name,
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINE_STYLES[i % len(LINE_STYLES)],
            marker="." if len(points) <= MOST_MARKED else "",
        )
    if log:
        axes.set_yscale("log", subs=[])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def describe(figure: Any) -> str:
    """A chart in words, for those who do not see it: its axes and what is drawn."""
    return ". ".join(
        f"{axes.get_ylabel()} against {axes.get_xlabel()}"
        f" of {'; '.join(axes.get_legend_handles_labels()[1])}"
        for axes in figure.axes
    )
