"""Pictures to judge an alignment by: a contact sheet of aligned pairs, a histogram of correlations.

Both are PNG, and depend on what they show alone.
"""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from .summary import BINS, Summary

SHEET_PAIRS = 24  # more would not be looked at
_CAPTION_HEIGHT = 16  # pixels


def contact_sheet(pictures: Sequence[tuple[str, bytes]], columns: int = 2) -> bytes:
    """Arranges pictures of aligned pairs, each with a caption above.

    Args:
      pictures: (caption, JPEG or PNG); pictures of one width.
      columns: pictures side by side.

    Returns:
      PNG.
    """
    tiles = []
    for caption, encoded in pictures:
        picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        tile = np.pad(picture, ((_CAPTION_HEIGHT, 4), (0, 4), (0, 0)), constant_values=255)
        cv2.putText(
            tile, caption, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
        )
        tiles.append(tile)
    rows = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        height = max(tile.shape[0] for tile in row)
        row += [np.full_like(row[0], 255)] * (columns - len(row))
        fitted = [
            np.pad(tile, ((0, height - tile.shape[0]), (0, 0), (0, 0)), constant_values=255)
            for tile in row
        ]
        rows.append(np.concatenate(fitted, axis=1))
    return cv2.imencode(".png", np.concatenate(rows))[1].tobytes()


def correlation_histogram(summary: Summary) -> bytes:
    """Draws how many windows have which correlation, blank ones left out.

    Args:
      summary: of all records.

    Returns:
      PNG.
    """
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    counts, threshold = summary.correlations, summary.min_correlation
    lowest = min(int(1.5 * BINS), *np.flatnonzero(counts)) if counts.any() else int(1.5 * BINS)
    edges = np.arange(lowest - BINS, BINS + 1) / BINS
    axes.hist(edges[:-1], bins=edges, weights=counts[lowest:], color="#4477aa", edgecolor="white")
    axes.axvline(threshold, color="#cc3311", label=f"kept above {threshold:g}")
    axes.set_title(f"{summary.above} of {counts.sum()} windows kept")
    axes.set_xlabel("normalised cross-correlation after refinement")
    axes.set_ylabel("windows")
    axes.legend(loc="upper left")
    png = io.BytesIO()
    figure.savefig(png, metadata={"Software": None})
    return png.getvalue()
