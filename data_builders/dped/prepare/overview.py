"""Pictures to judge an alignment by: a contact sheet of aligned pairs, a histogram of correlations.

Both are PNG, and depend on what they show alone.
"""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from .. import picture_files

SHEET_PAIRS = 24  # more would not be looked at
_CAPTION_HEIGHT = 16  # pixels


def contact_sheet(pictures: Sequence[tuple[str, bytes]], columns: int = 2) -> bytes:
    """Arranges pictures of aligned pairs, each with a caption above.

    Args:
      pictures: (caption, PNG); pictures of one width.
      columns: pictures side by side.

    Returns:
      PNG.
    """
    tiles = []
    for caption, png in pictures:
        picture = picture_files.decode(png)
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


def correlation_histogram(correlations: Sequence[float], threshold: float) -> bytes:
    """Draws how many windows have which correlation.

    Args:
      correlations: of all windows that are not blank, in [-1, 1].
      threshold: windows above it were kept.

    Returns:
      PNG.
    """
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    lowest = min(0.5, *correlations) if len(correlations) else 0.5
    bins = np.arange(np.floor(50 * lowest), 51) / 50
    axes.hist(correlations, bins=bins, color="#4477aa", edgecolor="white")
    axes.axvline(threshold, color="#cc3311", label=f"kept above {threshold:g}")
    kept = np.count_nonzero(np.asarray(correlations) > threshold)
    axes.set_title(f"{kept} of {len(correlations)} windows kept")
    axes.set_xlabel("normalised cross-correlation after refinement")
    axes.set_ylabel("windows")
    axes.legend(loc="upper left")
    png = io.BytesIO()
    figure.savefig(png, metadata={"Software": None})
    return png.getvalue()
