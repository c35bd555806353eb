"""Shows a trained model on one page: scores, whole photographs, patches, curves, configuration.

    python -m dped_jax.report --workdir=runs/demo/model --scores=scores.json \
        --before=PHOTO_OR_FOLDER --after=PHOTO_OR_FOLDER --output=report.html

The page needs no network and no other file: pictures are embedded, curves are SVG. Functions that
return HTML escape all text. Pictures are RGB, (H, W, 3) uint8.
"""

import base64
import json
import math
import pathlib
from html import escape
from typing import Any

import cv2
import numpy as np
from absl import flags

from dped_jax import checkpoint, cli, evaluate
from dped_jax.cli import InputError

Series = dict[str, list[tuple[int, float]]]  # (step, value) by name

MAX_PHOTO_SIDE = 1600  # pixels; larger photographs are shown at this size
OPTIONS = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 90], "png": []}
SCORES = {  # how a score is called and written
    "psnr": ("PSNR (dB)", ".2f"),
    "ms_ssim": ("MS-SSIM", ".4f"),
    "ssim": ("SSIM", ".4f"),
    "identical_pairs": ("Identical pairs (left out of PSNR)", "d"),
}
COLOURS = ("#1f4e9c", "#a83a00", "#1b6b34", "#7a2a8c")  # of curves, on white
DASHES = ("", "6 3", "2 3")  # of curves, which do not differ by colour alone
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 280, 72, 426, 12, 234  # of a chart and its axes
STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
.note { border-left: .3rem solid #a83a00; background: #fff4ec; padding: .6rem .9rem; }
table { border-collapse: collapse; } caption { text-align: left; padding-bottom: .4rem; }
th, td { border: 1px solid #999; padding: .3rem .7rem; text-align: right; }
th[scope=row] { text-align: left; font-weight: normal; } figcaption { margin-top: .4rem; }
figure { margin: 0 0 1.2rem; } pre { overflow-x: auto; background: #f4f4f4; padding: .8rem; }
img, figure > svg { display: block; width: 100%; height: auto; }
svg { font: 13px system-ui, sans-serif; } .pen { fill: none; stroke-width: 2; }
.compare { position: relative; --split: 50%; } .over { position: absolute; }
.before { inset: 0; clip-path: inset(0 calc(100% - var(--split)) 0 0); }
.border { inset: 0 auto 0 var(--split); outline: 1px solid #fff; }
.label { top: .6rem; padding: 0 .5rem; color: #fff; background: #000c; }
input { inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }
.compare:focus-within { outline: 3px solid #1f4e9c; outline-offset: 2px; }
.grid { max-width: 37.5rem; }
.grid div { display: grid; grid-template-columns: repeat(3, 1fr); text-align: center; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts figure { flex: 1 1 20rem; }
"""


def read_scores(path: pathlib.Path) -> dict[str, Any]:
    """Reads what `dped_jax.evaluate --json` writes (perhaps no "input"), or raises InputError."""
    try:
        scores = json.loads(path.read_text())
        score_table(scores)
    except FileNotFoundError as error:
        raise InputError(f"--scores={path}: no such file; evaluate --json makes it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--scores={path}: not what dped_jax.evaluate --json writes") from error
    return scores


def read_metrics(path: pathlib.Path) -> dict[str, Series]:
    """Reads the finite values of a metrics.jsonl by group: "train" and "validation".

    Raises InputError where the file has another form, or lacks losses or validation PSNR.
    """
    groups: dict[str, Series] = {"train": {}, "validation": {}}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            values = json.loads(line)
            step, series = int(values.pop("step")), groups[values.pop("group")]
            for name, value in values.items():
                if math.isfinite(value):
                    series.setdefault(name, []).append((step, value))
        except json.JSONDecodeError:  # cut off by a kill
            continue
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: not metrics of dped_jax.train") from error
    if not groups["train"] or "psnr" not in groups["validation"]:
        raise InputError(f"{path}: no metrics yet; dped_jax.train writes them")
    return groups


def read_photos(before: pathlib.Path, after: pathlib.Path) -> list[tuple[str, Any, Any]]:
    """Reads (name, before, after) of two photographs, or of two folders with the same file stems.

    Raises InputError where one is missing, has no counterpart, or differs from it in size.
    """
    paths = {"before": before, "after": after}
    missing = [f"--{flag}={path}" for flag, path in paths.items() if not path.exists()]
    if missing:
        raise InputError(f"{' and '.join(missing)}: no such file or folder")
    photos = []
    for pair in evaluate.matching_images(paths) if before.is_dir() or after.is_dir() else [paths]:
        images = {path: evaluate.read_image(path) for path in pair.values()}
        if len({image.shape for image in images.values()}) > 1:
            sizes = " and ".join(f"{path} {image.shape[:2]}" for path, image in images.items())
            raise InputError(f"{sizes} differ in size (height, width)")
        photos.append((pair["before"].stem, *(images[path] for path in pair.values())))
    return photos


def latest_sample(folder: pathlib.Path) -> tuple[int, np.ndarray]:
    """The step and the picture of the newest before | enhanced | target, or raises InputError."""
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise InputError(f"{folder}: no pictures yet; dped_jax.train writes them")
    return int(paths[-1].stem), evaluate.read_image(paths[-1])


def data_uri(image: np.ndarray, kind: str) -> str:
    """Encodes a picture for a src: as "png", without loss, or "jpeg", limited in size."""
    scale = MAX_PHOTO_SIDE / max(image.shape)
    if kind == "jpeg" and scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(f".{kind}", image[..., ::-1], OPTIONS[kind])
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def score_table(scores: dict[str, Any]) -> str:
    """The table of what `read_scores` gives."""
    columns = ["input", "enhanced"] if "input" in scores else ["enhanced"]
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    rows = ""
    for key, (label, form) in SCORES.items():
        cells = "".join(f"<td>{scores[column][key]:{form}}</td>" for column in columns)
        rows += f'<tr><th scope="row">{label}</th>{cells}</tr>'
    caption = f"Means over {scores['images']:d} images, protocol {escape(scores['protocol'])}"
    rows = f"<tr><td></td>{head}</tr>{rows}"
    return f"<table><caption>{caption}</caption><tbody>{rows}</tbody></table>"


def comparison(name: str, before: np.ndarray, after: np.ndarray) -> str:
    """Two pictures of equal size over each other, and a slider that moves their border."""
    name = escape(name)
    return f"""<figure><div class="compare">
<img src="{data_uri(after, "jpeg")}" alt="{name}, enhanced">
<img class="over before" src="{data_uri(before, "jpeg")}" alt="{name}, before">
<div class="over border"></div>
<span class="over label" style="left: .6rem">before</span>
<span class="over label" style="right: .6rem">enhanced</span>
<input class="over" type="range" autocomplete="off" aria-label="{name}: percentage shown as before"
oninput="this.parentNode.style.setProperty('--split', this.value + '%')">
</div><figcaption>{name}: drag the border, or focus it and use the arrow keys.</figcaption></figure>
"""


def patch_grid(step: int, grid: np.ndarray) -> str:
    """A (N * H, 3 * W, 3) picture of before | enhanced | target under column headings."""
    return f"""<figure class="grid">
<div><strong>before</strong><strong>enhanced</strong><strong>target</strong></div>
<img src="{data_uri(grid, "png")}" alt="Rows of patches: before, enhanced, target">
<figcaption>Validation patches at step {step}.</figcaption></figure>
"""


def ticks(low: float, high: float, log: bool = False) -> list[float]:
    """Round numbers in [low, high], low < high; where `log`, decimal logarithms of such."""
    if log and high - low > 0.7:
        factors = (1, 2, 5) if high - low < 3 else (1,)
        marks = [
            p + math.log10(f) for p in range(math.floor(low), math.ceil(high)) for f in factors
        ]
        return [mark for mark in marks if low <= mark <= high]
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    stride = next(power * m for m in (1, 2, 5, 10) if power * m >= (high - low) / 6)
    return [i * stride for i in range(math.ceil(low / stride), math.floor(high / stride) + 1)]


def line_chart(title: str, y_label: str, series: Series, log: bool = False) -> str:
    """Curves against steps, as SVG; where `log`, values below 1e-8 are drawn there."""
    if log:
        series = {k: [(s, math.log10(max(v, 1e-8))) for s, v in c] for k, c in series.items()}
    steps, values = zip(*(point for curve in series.values() for point in curve), strict=True)
    margin = 0.05 * (max(values) - min(values)) or 0.5
    last, low, high = max(1, *steps), min(values) - margin, max(values) + margin

    def x(step: float) -> str:
        return f"{LEFT + step / last * (RIGHT - LEFT):.1f}"

    def y(value: float) -> str:
        return f"{BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP):.1f}"

    def text(where: str, label: str, anchor: str = "middle") -> str:
        return f'<text {where} text-anchor="{anchor}">{escape(label)}</text>'

    parts = [f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#555"/>']
    for tick in ticks(low, high, log):
        label = f"{10**tick:.2g}" if log else f"{tick:g}"
        parts.append(f'<path d="M{LEFT} {y(tick)}H{RIGHT}" stroke="#ddd"/>')
        parts.append(text(f'x="{LEFT - 6}" y="{y(tick)}" dy="4"', label, "end"))
    parts += [text(f'x="{x(tick)}" y="{BOTTOM + 19}"', f"{tick:g}") for tick in ticks(0, last)]
    parts.append(text(f'x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}"', "steps"))
    parts.append(text(f'transform="translate(14 {(TOP + BOTTOM) / 2}) rotate(-90)"', y_label))
    legend = ""
    for i, (name, curve) in enumerate(series.items()):
        pen = f'class="pen" stroke="{COLOURS[i % 4]}" stroke-dasharray="{DASHES[i % 3]}"'
        corners = " ".join(f"{x(step)},{y(value)}" for step, value in curve)
        parts.append(f'<polyline points="{corners}" {pen}/>')
        line = f'<svg width="32" height="8" aria-hidden="true"><path d="M0 4H32" {pen}/></svg>'
        legend += f" {line} {escape(name)}"
    return f"""<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">
{"".join(parts)}</svg><figcaption>{escape(title)}:{legend}</figcaption></figure>
"""


def training_curves(metrics: dict[str, Series]) -> str:
    """Charts of the losses and of the validation PSNR, from what `read_metrics` gives."""
    losses = {name: c for name, c in metrics["train"].items() if not name.endswith("accuracy")}
    if len(losses) == 2:
        losses.pop("total", None)  # of a single term
    validation = {"PSNR": metrics["validation"]["psnr"]}
    return f"""<div class="charts">
{line_chart("Training losses", "loss (no unit, log scale)", losses, log=True)}
{line_chart("Validation patches", "PSNR (dB)", validation)}</div>
"""


def page(title: str, note: str, sections: dict[str, str]) -> str:
    """A page: a note, where not empty, and sections of HTML by heading."""
    noted = f'<p class="note">{escape(note)}</p>' if note else ""
    body = "\n".join(f"<h2>{escape(head)}</h2>\n{section}" for head, section in sections.items())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body><h1>{escape(title)}</h1>{noted}
{body}</body></html>
"""


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    workdir = pathlib.Path(FLAGS.workdir)
    config = escape(checkpoint.read_config(workdir).to_json(indent=2))
    scores = read_scores(pathlib.Path(FLAGS.scores))
    photos = read_photos(pathlib.Path(FLAGS.before), pathlib.Path(FLAGS.after))
    sections = {
        "Scores": score_table(scores),
        "Whole photographs": "".join(comparison(*photo) for photo in photos),
        "Patches": patch_grid(*latest_sample(workdir / "samples")),
        "Training": training_curves(read_metrics(workdir / "metrics.jsonl")),
        "Configuration": f"<details><summary>All fields</summary><pre>{config}</pre></details>",
    }
    cli.write_atomically(FLAGS.output, page("DPED: enhanced photographs", FLAGS.note, sections))
    psnr = [f"{k} {scores[k]['psnr']:.2f} dB" for k in ("input", "enhanced") if k in scores]
    print(f"PSNR of the test patches: {', '.join(psnr)} (report: {FLAGS.output})")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train.", required=True)
    flags.DEFINE_string("scores", None, "File that dped_jax.evaluate --json wrote.", required=True)
    flags.DEFINE_string("before", None, "A photograph, or a folder of them.", required=True)
    flags.DEFINE_string("after", None, "The same, enhanced.", required=True)
    flags.DEFINE_string("output", None, "HTML file to write.", required=True)
    flags.DEFINE_string("note", "", "Text to show above everything else.")
    cli.run(main)
