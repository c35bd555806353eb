"""Figure 5: pairs of patches as the colour loss sees them, and how far apart it finds them.

    python -m dped_jax.experiments.blurred_pairs --phone_dir=dped/iphone/training_data/iphone \
        --dslr_dir=dped/iphone/training_data/canon --output_dir=runs/figure5

The blur is the training's, `losses.blur` with its zero padding, which darkens the borders of both
pictures. The kernel is normalised to sum 1: with the printed amplitude of eq. 4 the same picture
would be 2.99 times as bright, and most of it white.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from dped_jax import config_files, losses
from dped_jax.base import command
from dped_jax.base.folders import matching_pictures
from dped_jax.evaluate.batches import folder_batches
from dped_jax.pages import outputs, sheets, web_page
from dped_jax.pixels import to_float, to_integers

TITLE = "Figure 5: pairs as the colour loss sees them"
CELL = 200  # pixels that a picture on the sheet takes, about
COLUMNS = ("phone", "phone, blurred", "DSLR", "DSLR, blurred")


def kernel() -> np.ndarray:
    """The blur of eq. 4, its sum normalised to 1."""
    loss = config_files.load(config_files.FOLDER / "paper.py").loss
    return losses.gaussian_kernel(loss.blur_size, loss.blur_sigma, 0.0)


def compare(phone: np.ndarray, dslr: np.ndarray) -> dict[str, np.ndarray]:
    """Blurs pairs and measures their distance before and after.

    Args:
      phone: (N, H, W, 3) uint8.
      dslr: the same shape.

    Returns:
      "phone_blurred" and "dslr_blurred", (N, H, W, 3) uint8; "mse" and "color", (N,): the mean of
      the squared difference before and after the blur, of values in [0, 1]; "color" times the
      number of values is `losses.color_loss`.
    """
    floats = [to_float(images) for images in (phone, dslr)]
    blurred = [_blur(images) for images in floats]
    return {
        "phone_blurred": to_integers(np.asarray(blurred[0])),
        "dslr_blurred": to_integers(np.asarray(blurred[1])),
        "mse": np.asarray(losses.mse_loss(*floats)),
        "color": np.asarray(losses.mse_loss(*blurred)),
    }


@jax.jit
def _blur(images: jax.Array) -> jax.Array:
    return losses.blur(images, kernel())


def measure(
    folders: dict[str, pathlib.Path], num_pairs: int, num_shown: int
) -> tuple[list[dict[str, Any]], list[list[np.ndarray]]]:
    """Compares the pairs of two folders.

    Args:
      folders: "phone_dir" and "dslr_dir".
      num_pairs: how many are compared, by number; 0 takes all.
      num_shown: of how many, evenly chosen, the pictures are kept.

    Returns:
      For each pair "name", "mse", "color" and "shown"; for those shown the pictures of `COLUMNS`.

    Raises:
      InputError: see `folder_batches`.
    """
    names = [paths["dslr_dir"].stem for paths in matching_pictures(folders)]
    names = names[: num_pairs or None]
    shown = set(np.linspace(0, len(names) - 1, min(num_shown, len(names))).astype(int))
    pairs: list[dict[str, Any]] = []
    pictures = []
    for k, (name, batch) in enumerate(zip(names, folder_batches(folders, 1), strict=False)):
        found = compare(batch["phone"], batch["dslr"])
        distances = {key: float(found[key][0]) for key in ("mse", "color")}
        pairs.append({"name": name, **distances, "shown": k in shown})
        if k in shown:
            columns = (batch["phone"], found["phone_blurred"], batch["dslr"], found["dslr_blurred"])
            pictures.append([images[0] for images in columns])
    return pairs, pictures


def draw(shown: Sequence[dict[str, Any]], pictures: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The sheet of what `measure` keeps."""

    def cell(image: np.ndarray) -> np.ndarray:
        return sheets.fit(sheets.enlarge(image, max(1, CELL // max(image.shape))), CELL, CELL)

    rows = [(pair["name"], list(map(cell, row))) for pair, row in zip(shown, pictures, strict=True)]
    return sheets.grid(COLUMNS, rows)


def remaining_share(pair: dict[str, Any]) -> str:
    """How much of a difference, "mse", remains after the blur, "color"."""
    return f"{pair['color'] / pair['mse']:.0%}" if pair["mse"] else "(identical)"


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    folders = {flag: pathlib.Path(getattr(FLAGS, flag)) for flag in ("phone_dir", "dslr_dir")}
    pairs, pictures = measure(folders, FLAGS.num_pairs, FLAGS.num_shown)
    means = {key: float(np.mean([pair[key] for pair in pairs])) for key in ("mse", "color")}
    result = {"experiment": TITLE, **{f: str(path) for f, path in folders.items()}, **means}
    ones = np.ones((1, *pictures[0][0].shape), np.float32)
    result["uniform_remains"] = float(np.mean(np.square(_blur(ones))))
    result["pairs"] = pairs
    sheet = draw([pair for pair in pairs if pair["shown"]], pictures)

    output_dir = pathlib.Path(FLAGS.output_dir)
    page = web_page.render(
        "blurred_pairs",
        TITLE,
        result=result,
        columns=COLUMNS,
        sheet=sheet,
        remaining_share=remaining_share,
    )
    outputs.write_report(output_dir, result, page)
    outputs.write_picture(output_dir / "figure5.png", sheet)
    print(
        f"MSE of {len(pairs)} pairs: {means['mse']:.4f} before, {means['color']:.4f} after the blur"
        f" (report: {output_dir}/report.html)"
    )


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("phone_dir", None, "Folder of phone patches.", required=True)
    flags.DEFINE_string("dslr_dir", None, "Folder of DSLR patches.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for results and report.", required=True)
    flags.DEFINE_integer("num_pairs", 300, "How many to compare, by number; 0 takes all.", 0)
    flags.DEFINE_integer("num_shown", 6, "How many of them to show.", 1)
    command.run(main)
