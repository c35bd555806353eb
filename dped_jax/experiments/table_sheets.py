"""The sheets of pictures that go with a table: typical patches and the worst."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dped_jax.evaluate.batches import Batch
from dped_jax.pages import outputs, sheets

# Batches of pairs, with "enhanced" pictures where a folder is given.
Batches = Callable[[pathlib.Path | None], Iterator[Batch]]


@dataclasses.dataclass(frozen=True)
class Method:
    """A column of a sheet."""

    title: str
    psnr: np.ndarray  # (N,) dB, of every picture
    folder: pathlib.Path | None  # where its pictures are; None of a model
    enhance: Callable[[Batch], np.ndarray]  # gives (n, H, W, 3) uint8 for a batch of pairs


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A drawn sheet; pictures are uint8."""

    title: str  # what was chosen
    method: str  # the title of the method by whose scores it was chosen
    images: list[int]  # numbers of the pictures, from 0 in the order of the pairs
    picture: np.ndarray  # (H, W, 3)
    before: np.ndarray  # (n, h, w, 3), the input
    after: np.ndarray  # (n, h, w, 3), what the method made of it


def picked(batches: Iterator[Batch], indices: np.ndarray) -> Batch:
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
    pairs: Batches, methods: Sequence[Method], ours: Method, num: int, output_dir: pathlib.Path
) -> list[Sheet]:
    """Draws sheets of input, each method and target: evenly chosen pairs, and the worst ones.

    Args:
      pairs: the pictures that were scored.
      methods: columns in their order.
      ours: one of them; the worst pictures are its own.
      num: of pictures on a sheet, at most.
      output_dir: where typical.png and worst.png go.
    """
    even = np.linspace(0, len(ours.psnr) - 1, min(num, len(ours.psnr))).astype(int)
    drawn = []
    for kind, title, indices in (
        ("typical", "Evenly chosen patches", np.unique(even)),
        ("worst", f"The worst of {ours.title} by PSNR", sheets.worst(ours.psnr, num)),
    ):
        if not len(indices):
            continue
        chosen = picked(pairs(None), indices)
        enhanced = {
            method.title: method.enhance(
                picked(pairs(method.folder), indices) if method.folder else chosen
            )
            for method in methods
        }
        columns = {"input": chosen["phone"], **enhanced, "target (DSLR)": chosen["dslr"]}
        picture = sheets.sheet(columns, [f"{ours.psnr[i]:.2f} dB" for i in indices])
        outputs.write_picture(output_dir / f"{kind}.png", picture)
        images = [int(i) for i in indices]
        after = enhanced[ours.title]
        drawn.append(Sheet(title, ours.title, images, picture, chosen["phone"], after))
    return drawn
