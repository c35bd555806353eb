"""Figure 6: how mean squared error and colour loss grow as a patch is shifted against itself.

    python -m dped_jax.experiments.shift --dslr_dir=dped/iphone/training_data/canon \
        --output_dir=runs/figure6

X is the inner 50x50 pixels of a patch, Y the window of that size n pixels away in a random
direction, read between pixels by bilinear interpolation. The colour loss is that of the training,
`losses.color_loss` with its zero padding, divided by the number of values so that it is a mean of
squares as the MSE is. Both are averaged over patches and directions; ratios are those of the
averages.

On the first 120 DSLR patches of the iPhone's pairs, MSE / colour loss with the kernel normalised
to sum 1 is 11.9, 9.1, 6.8, 5.2, 4.2 at 1 to 5 pixels. What else one might have meant moves that
little: with offsets rounded to whole pixels it is within 3 % of it, with cubic interpolation 3 to
6 % more; windows cut out after the blur, so that no border is padded, give about 10 % less.
"""

import functools
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from dped_jax import config_files, losses
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.folders import matching_pictures
from dped_jax.base.pictures import read_pixels
from dped_jax.base.progress import progress_bar
from dped_jax.pages import charts, outputs, web_page

TITLE = "Figure 6: MSE and colour loss against shift"
WINDOW = 50  # pixels a side that are compared
PAPER_SHIFTS, PAPER_RATIOS = (3, 5), (5, 10)  # section 3.1.1: "5-10 times smaller" at "3-5px"
NUM_RESAMPLES = 1000  # of the bootstrap over patches
INTERVAL = (5, 95)  # percentiles
KERNELS = {"color_sum_1": "colour loss, kernel of sum 1", "color_printed": "colour loss, printed A"}
LABELS = {"mse": "MSE", **KERNELS}
Y_LABEL = "mean of squares, values in [0, 1]"


def kernels() -> dict[str, np.ndarray]:
    """The blur kernels that are compared, as `losses.blur` takes them, by the key of `KERNELS`."""
    loss = config_files.load(config_files.FOLDER / "paper.py").loss
    amplitudes = {"color_sum_1": 0.0, "color_printed": loss.blur_amplitude}
    return {
        name: losses.gaussian_kernel(loss.blur_size, loss.blur_sigma, amplitude)
        for name, amplitude in amplitudes.items()
    }


def windows(patch: np.ndarray, shift: float, angles: np.ndarray) -> np.ndarray:
    """Cuts out windows `shift` pixels from the middle of a patch, in the directions of `angles`.

    Args:
      patch: (H, W, 3) float32, both sides at least WINDOW + 2 * shift.
      shift: in pixels.
      angles: (D,) in radians.

    Returns:
      (D, WINDOW, WINDOW, 3) float32, interpolated bilinearly.
    """
    middle = (np.array(patch.shape[1::-1]) - 1) / 2
    centres = middle + shift * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.stack([cv2.getRectSubPix(patch, (WINDOW, WINDOW), tuple(c)) for c in centres])


@functools.cache
def _compiled() -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    sized = kernels()

    @jax.jit
    def compare(inner, shifted):
        inner = jnp.broadcast_to(inner, shifted.shape)
        found = {"mse": losses.mse_loss(shifted, inner)}
        for name, kernel in sized.items():
            found[name] = losses.color_loss(shifted, inner, kernel) / inner[0].size
        return found

    return compare


def measure(
    patches: Iterable[np.ndarray], max_shift: int, num_directions: int, seed: int
) -> dict[str, np.ndarray]:
    """Compares patches with themselves shifted by 1 to `max_shift` pixels.

    Args:
      patches: (H, W, 3) uint8, both sides at least WINDOW + 2 * max_shift.
      max_shift: in pixels.
      num_directions: random ones for each patch, the same for all shifts.
      seed: of the directions.

    Returns:
      "mse" and the keys of `KERNELS`: (N, max_shift) float64, means of squares over pixels,
      channels and directions, of values in [0, 1].
    """
    rng = np.random.default_rng(seed)
    collected: dict[str, list[np.ndarray]] = {"mse": [], **{name: [] for name in KERNELS}}
    for patch in patches:
        values = patch.astype(np.float32) / 255
        angles = rng.uniform(0, 2 * np.pi, num_directions)
        shifted = [windows(values, n, angles) for n in range(1, max_shift + 1)]
        inner = windows(values, 0, np.zeros(1))
        for name, found in _compiled()(inner, np.concatenate(shifted)).items():
            means = np.asarray(found, np.float64).reshape(max_shift, -1).mean(axis=1)
            collected[name].append(means)
    return {name: np.stack(rows) for name, rows in collected.items()}


def summarize(found: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Averages over patches, with their spread, of what `measure` gives.

    Returns:
      "shifts", and by name of the loss its "mean" and "std" over patches, for each shift; for
      colour losses also "ratio", MSE / colour loss, and "ratio_low", "ratio_high": the interval
      that holds 90 % of the ratios when patches are drawn anew.

    Raises:
      InputError: the patches are blank.
    """
    num, num_shifts = found["mse"].shape
    if not all(values.mean(axis=0).all() for values in found.values()):
        raise InputError("--dslr_dir: the patches are blank: nothing changes when they are shifted")
    draws = np.random.default_rng(seed).multinomial(num, [1 / num] * num, NUM_RESAMPLES) / num
    result: dict[str, Any] = {"shifts": list(range(1, num_shifts + 1))}
    for name, values in found.items():
        result[name] = {"mean": values.mean(axis=0), "std": values.std(axis=0)}
        if name in KERNELS:
            result[name]["ratio"] = found["mse"].mean(axis=0) / values.mean(axis=0)
            color = draws @ values
            color[color == 0] = np.nan  # a draw of blank patches alone has no ratio
            low, high = np.nanpercentile(draws @ found["mse"] / color, INTERVAL, axis=0)
            result[name] |= {"ratio_low": low, "ratio_high": high}
        result[name] = {key: list(map(float, array)) for key, array in result[name].items()}
    return result


def closer_to_paper(result: dict[str, Any]) -> str:
    """The kernel (key of `KERNELS`) whose ratios lie in, or nearest to, what the paper says."""

    def distance(name: str) -> float:
        ratios = result[name]["ratio"][PAPER_SHIFTS[0] - 1 : PAPER_SHIFTS[1]]
        return float(np.abs(np.log(ratios) - np.log(np.clip(ratios, *PAPER_RATIOS))).sum())

    return min(KERNELS, key=distance)


def _listed(values: list[float]) -> str:
    *first, last = (f"{value:.2g}" for value in values)
    return f"{', '.join(first)} and {last}"


def conclusion(result: dict[str, Any]) -> str:
    """What was found, beside what the paper says, in words."""
    first, last = PAPER_SHIFTS
    paper_says = f"{PAPER_RATIOS[0]} to {PAPER_RATIOS[1]}"
    ratios = {name: _listed(result[name]["ratio"][first - 1 : last]) for name in KERNELS}
    best = closer_to_paper(result)
    other = next(name for name in KERNELS if name != best)
    return (
        f"The paper's figure is matched by the {KERNELS[best]}: at {first} to {last} pixels it is"
        f" smaller than the MSE by factors of {ratios[best]}; the paper says {paper_says}. With the"
        f" other kernel ({KERNELS[other].split(', ')[1]}) they are {ratios[other]}."
    )


def curve(result: dict[str, Any], name: str, key: str = "mean") -> list[tuple[float, float]]:
    """What results.json has of a loss, against the shift."""
    return list(zip(result["shifts"], result[name][key], strict=True))


def draw(result: dict[str, Any]) -> dict[str, Figure]:
    """Charts of MSE beside either colour loss, as the paper draws it, and of the ratios."""
    x_label, start = "shift (pixels)", (0, 0.0)  # a patch does not differ from itself
    figures = {}
    for name, label in KERNELS.items():
        series = {LABELS[k]: [start, *curve(result, k)] for k in ("mse", name)}
        figures[f"MSE and {label}"] = charts.line_chart(Y_LABEL, series, x_label=x_label)
    ratios = {label: curve(result, name, "ratio") for name, label in KERNELS.items()}
    figures["MSE / colour loss"] = charts.line_chart(
        "ratio (log scale)", ratios, x_label=x_label, log=True
    )
    return figures


def make_page(result: dict[str, Any]) -> str:
    """The page of results.json."""
    return web_page.render(
        "shift",
        TITLE,
        conclusion(result),
        result=result,
        curves=draw(result),
        labels=LABELS,
        kernels=KERNELS,
        ratio_labels=[f"MSE / {label}" for label in KERNELS.values()],
    )


def read_patches(
    folder: pathlib.Path, num_patches: int, max_shift: int
) -> tuple[int, Iterable[np.ndarray]]:
    """How many patches are taken, the first ones by number, and an iterator that reads them.

    Raises:
      InputError: the folder is missing or empty; while iterating, a picture is damaged or
        too small.
    """
    paths = [pair["dslr_dir"] for pair in matching_pictures({"dslr_dir": folder})]
    paths = paths[: num_patches or None]
    need = WINDOW + 2 * max_shift

    def read():
        for path in paths:
            patch = read_pixels(path, deep=False)
            if min(patch.shape[:2]) < need:
                raise InputError(
                    f"{path}: {patch.shape[:2]} pixels (height, width), where --max_shift="
                    f"{max_shift} needs {need} a side; choose a smaller shift"
                )
            yield patch

    return len(paths), read()


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    output_dir = pathlib.Path(FLAGS.output_dir)
    num, patches = read_patches(pathlib.Path(FLAGS.dslr_dir), FLAGS.num_patches, FLAGS.max_shift)
    shown = progress_bar(patches, total=num, unit="patches")
    found = measure(shown, FLAGS.max_shift, FLAGS.num_directions, FLAGS.seed)
    settings = {"experiment": TITLE, "dslr_dir": FLAGS.dslr_dir, "patches": num}
    settings |= {"directions": FLAGS.num_directions, "window": WINDOW, "seed": FLAGS.seed}
    result = settings | summarize(found, FLAGS.seed)
    result["closer_to_paper"] = closer_to_paper(result)

    output_dir.mkdir(parents=True, exist_ok=True)
    columns = {f"{name}_{key}": result[name][key] for name in LABELS for key in result[name]}
    columns = {"shift": result["shifts"], **columns}
    rows = (
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    )
    outputs.write_csv(output_dir / "figure6.csv", list(columns), rows)
    figure = charts.line_chart(
        f"{Y_LABEL} (log scale)",
        {label: curve(result, name) for name, label in LABELS.items()},
        x_label="shift (pixels)",
        title=TITLE,
        log=True,
        size=charts.LARGE,
    )
    outputs.write_chart(output_dir / "figure6.png", figure)
    outputs.write_report(output_dir, result, make_page(result))
    print(f"{conclusion(result)} (report: {output_dir}/report.html)")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("dslr_dir", None, "Folder of DSLR patches.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for results and report.", required=True)
    flags.DEFINE_integer("num_patches", 120, "How many, by number; 0 takes all.", 0)
    flags.DEFINE_integer("max_shift", 25, "In pixels; a patch of 100 allows 25.", PAPER_SHIFTS[1])
    flags.DEFINE_integer("num_directions", 8, "Random ones, for each patch and shift.", 1)
    flags.DEFINE_integer("seed", 0, "Of the directions.", 0)
    command.run(main)
