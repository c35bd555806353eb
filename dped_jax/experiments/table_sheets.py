"""The sheets of pictures that go with a table: typical patches and the worst."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
import numpy as np

from dped_jax import picture_folders
from dped_jax.experiments import outputs, sheets

Batches = Callable[[pathlib.Path | None], Iterator[picture_folders.Batch]]


def picked(batches: Iterator[picture_folders.Batch], indices: np.ndarray) -> picture_folders.Batch:
    """The pairs of these indices, in their order, of all that batches yield.

    Pictures of one size only: those that differ from the first in size are left out.
    """
    found, start = {}, 0
    for batch in batches:
        num = len(batch["dslr"])
        for i in indices[(indices >= start) & (indices < start + num)]:
            found[int(i)] = {name: images[i - start] for name, images in batch.items()}
        start += num
    rows = [found[int(i)] for i in indices]
    rows = [row for row in rows if row["dslr"].shape == rows[0]["dslr"].shape]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def draw_sheets(
    config: ml_collections.ConfigDict, output_dir: pathlib.Path, phone: str, pairs: Batches, shown
) -> list[dict[str, Any]]:
    """Draws sheets of input, each method and target: evenly chosen pairs, and the worst ones.

    Args:
      config: the table's.
      output_dir: where PNG files go.
      phone: named in the files' names.
      pairs: from `open_pairs`.
      shown: for each method its title, PSNR of every picture, folder or None, and the function
        from `score_method`; the worst are those of the last method.

    Returns:
      For each sheet its "title", "file", "images" as numbers from 0 in the order of the pairs, and
      the columns "input", "enhanced" (of the last method) and "target".
    """
    title, psnr, *_ = shown[-1]
    even = np.linspace(0, len(psnr) - 1, min(config.num_pictures, len(psnr))).astype(int)
    worst = sheets.worst(psnr, config.num_pictures)
    drawn = []
    for kind, heading, indices in (
        ("typical", "Evenly chosen patches", np.unique(even)),
        ("worst", f"The worst of {title} by PSNR", worst),
    ):
        if not len(indices):
            continue
        chosen = picked(pairs(None), indices)
        columns = {"input": chosen["phone"]}
        for name, _, folder, enhance in shown:
            columns[name] = enhance(picked(pairs(folder), indices) if folder else chosen)
        columns["target (DSLR)"] = chosen["dslr"]
        labels = [f"{psnr[i]:.2f} dB" for i in indices]
        file = f"{kind}_{phone}.png"
        picture = sheets.sheet(columns, labels)
        outputs.write_picture(output_dir / file, picture)
        drawn.append(
            {
                "title": heading,
                "file": file,
                "picture": picture,
                "images": [int(i) for i in indices],
                "before": chosen["phone"],
                "after": columns[title],
            }
        )
    return drawn
