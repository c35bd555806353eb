"""Sheets of pictures under headings, for people to compare: figures 5, 8, 9 and 11 to 19.

Pictures are RGB, (H, W, 3) uint8; nothing here reads or writes files.
"""

import textwrap
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT_SIZE = 16  # pixels
LINE = 20  # pixels from one line of text to the next
GAP = 8  # pixels between cells
LABEL_WIDTH = 160  # pixels at most that labels of rows take
MISSING = (232, 232, 232)  # the colour of a cell that has no picture
INK, PAPER = (0, 0, 0), (255, 255, 255)


def worst(scores: np.ndarray, num: int) -> np.ndarray:
    """Indices of the `num` lowest finite scores (fewer if there are no more), the worst first.

    Args:
      scores: (N,), higher being better; NaN and infinity are passed over.
      num: how many.
    """
    order = np.argsort(scores, kind="stable")  # NaN and infinity come last, -infinity first
    return order[np.isfinite(np.asarray(scores)[order])][:num]


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Repeats every pixel `scale` times in both directions: nothing is invented."""
    return np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)


def fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Shrinks a picture, where it is larger, to fit into a box; its shape stays."""
    scale = min(width / image.shape[1], height / image.shape[0])
    if scale >= 1:
        return image
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans Mono, which matplotlib brings along: the same everywhere, with most scripts."""
    return ImageFont.truetype(
        f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSansMono.ttf", TEXT_SIZE
    )


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of a text, broken between words, or within a word that is wider than a line."""
    return textwrap.wrap(text, max(1, int(width / font.getlength("x")))) or [""]


def grid(
    headings: Sequence[str], rows: Sequence[tuple[str, Sequence[np.ndarray | None]]]
) -> np.ndarray:
    """Draws pictures of any sizes in rows and columns.

    Args:
      headings: of the columns.
      rows: label and a picture for each column; None leaves a grey cell that says so.

    Returns:
      (H, W, 3) uint8 RGB; each column as wide as its widest picture, each row as high as its
      highest one (a row of gaps: as the text in them).

    Raises:
      ValueError: a row has not one picture a column, or there is no picture at all.
    """
    pictures = [p for _, row in rows for p in row if p is not None]
    if not pictures or any(len(row) != len(headings) for _, row in rows):
        raise ValueError("a sheet needs one cell a column in each row, and a picture")
    font = _font()
    any_width = max(p.shape[1] for p in pictures)
    widths = [
        max((cell.shape[1] for cell in column if cell is not None), default=any_width)
        for column in zip(*(row for _, row in rows), strict=True)
    ]
    label_width = min(LABEL_WIDTH, max(int(font.getlength(label)) + 1 for label, _ in rows))
    heads = [_wrap(text, font, width) for text, width in zip(headings, widths, strict=True)]
    labels = [_wrap(label, font, label_width) for label, _ in rows]
    heights = [
        max([len(label) * LINE, *(p.shape[0] for p in row if p is not None)])
        for label, (_, row) in zip(labels, rows, strict=True)
    ]
    lefts = np.cumsum([2 * GAP + label_width, *(width + GAP for width in widths)])
    tops = np.cumsum([2 * GAP + LINE * max(map(len, heads)), *(h + GAP for h in heights)])

    canvas = Image.new("RGB", (int(lefts[-1]), int(tops[-1])), PAPER)
    draw = ImageDraw.Draw(canvas)

    def write(lines: list[str], left: int, top: int) -> None:
        for i, line in enumerate(lines):
            draw.text((left, top + i * LINE), line, INK, font)

    for lines, left in zip(heads, lefts, strict=False):
        write(lines, left, GAP)
    for i, (_, row) in enumerate(rows):
        write(labels[i], GAP, tops[i])
        for j, cell in enumerate(row):
            if cell is not None:
                canvas.paste(Image.fromarray(cell), (int(lefts[j]), int(tops[i])))
                continue
            corner = (int(lefts[j] + widths[j] - 1), int(tops[i] + heights[i] - 1))
            draw.rectangle([(int(lefts[j]), int(tops[i])), corner], MISSING)
            write(_wrap("no picture", font, widths[j] - GAP), lefts[j] + GAP // 2, tops[i])
    return np.asarray(canvas)


def sheet(columns: dict[str, np.ndarray], row_labels: Sequence[str], scale: int = 2) -> np.ndarray:
    """Draws patches side by side under headings, one row an example.

    Args:
      columns: (N, H, W, 3) uint8 RGB by heading, all of one shape.
      row_labels: N of them.
      scale: how many pixels a side each pixel becomes.

    Returns:
      (height, width, 3) uint8 RGB.

    Raises:
      ValueError: the shapes differ, or the number of labels.
    """
    if {patches.shape for patches in columns.values()} != {
        (len(row_labels), *next(iter(columns.values())).shape[1:])
    }:
        raise ValueError("columns of a sheet need one shape, and one label a row")
    rows = [
        (label, [enlarge(patches[i], scale) for patches in columns.values()])
        for i, label in enumerate(row_labels)
    ]
    return grid(list(columns), rows)
