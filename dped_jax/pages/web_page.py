"""Pieces of self-contained web pages: tables, charts, pictures, sliders, and the page around them.

A page needs no network and no other file: pictures are embedded, curves are SVG. Functions return
HTML and escape all text. Pictures are RGB, (H, W, 3) uint8.
"""

import base64
import math
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

Series = dict[str, list[tuple[float, float]]]  # (x, y) by name

DENSE_COLUMNS = 8  # tables of more have smaller letters
MAX_PHOTO_SIDE = 1600  # pixels; larger photographs are shown at this size
OPTIONS = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 90], "png": []}
COLOURS = ("#1f4e9c", "#a83a00", "#1b6b34", "#7a2a8c")  # of curves, on white
DASHES = ("", "6 3", "2 3")  # of curves, which do not differ by colour alone
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 280, 72, 426, 12, 234  # of a chart and its axes
STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: break-word; }
.note { border-left: .3rem solid #a83a00; background: #fff4ec; padding: .6rem .9rem; }
.wide { overflow-x: auto; margin-bottom: 1rem; width: fit-content; min-width: 100%;
  max-width: calc(100vw - 2rem); position: relative; left: 50%; transform: translateX(-50%); }
.wide:focus-visible { outline: 3px solid #1f4e9c; }
.wide img { width: auto; max-width: none; }
table { border-collapse: collapse; } caption { text-align: left; padding-bottom: .4rem; }
th, td { border: 1px solid #999; padding: .3rem .7rem; text-align: right; }
table.dense { font-size: .85rem; } .dense th, .dense td { padding: .3rem .4rem; }
th[scope=colgroup] { text-align: center; }
th[scope=row] { text-align: left; font-weight: normal; } figcaption { margin-top: .4rem; }
figure { margin: 0 0 1.2rem; } pre { overflow-x: auto; background: #f4f4f4; padding: .8rem; }
img, figure > svg { display: block; width: 100%; height: auto; }
svg { font: 13px system-ui, sans-serif; } .pen { fill: none; stroke-width: 2; }
.compare { position: relative; --split: 50%; } .over { position: absolute; }
.before { inset: 0; clip-path: inset(0 calc(100% - var(--split)) 0 0); }
.border { inset: 0 auto 0 var(--split); outline: 1px solid #fff; }
.label { top: .6rem; max-width: 40%; padding: 0 .5rem; color: #fff; background: #000c; }
input { inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }
.compare:focus-within { outline: 3px solid #1f4e9c; outline-offset: 2px; }
.grid { max-width: 37.5rem; }
.grid div { display: grid; grid-template-columns: repeat(3, 1fr); text-align: center; }
.sliders { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
"""


def data_uri(image: np.ndarray, kind: str) -> str:
    """Encodes a picture for a src: as "png", without loss, or "jpeg", limited in size."""
    scale = MAX_PHOTO_SIDE / max(image.shape)
    if kind == "jpeg" and scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(f".{kind}", image[..., ::-1], OPTIONS[kind])
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: dict[str, int] | None = None,
) -> str:
    """A table; the first cell of the header and of every row names the others.

    It is as wide as the window at most, and scrolls by itself, by finger or arrow keys, where a
    screen is too narrow for it. `groups` are headings, each over so many columns.
    """
    caption = escape(caption)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header[1:])
    corner = f'<th scope="col">{escape(header[0])}</th>' if header[0] else "<td></td>"
    body = f"<tr>{corner}{head}</tr>"
    if groups:
        heads = "".join(
            f'<th scope="colgroup" colspan="{span}">{escape(heading)}</th>'
            for heading, span in groups.items()
        )
        body = f"<tr><td></td>{heads}</tr>{body}"
    dense = ' class="dense"' if len(header) > DENSE_COLUMNS else ""
    for name, *cells in rows:
        listed = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<tr><th scope="row">{escape(name)}</th>{listed}</tr>'
    return f"""<div class="wide" tabindex="0" role="region" aria-label="{caption}">
<table{dense}><caption>{caption}</caption><tbody>{body}</tbody></table></div>
"""


def paragraphs(*texts: str) -> str:
    """Paragraphs of plain text."""
    return "".join(f"<p>{escape(text)}</p>\n" for text in texts)


def picture(
    caption: str, alt: str, image: np.ndarray, kind: str = "png", *, scroll: bool = False
) -> str:
    """A picture with a caption; `alt` says what is seen to those who do not see it.

    It is as wide as the page, or, where it `scroll`s, as large as it is, with what a narrow screen
    has no room for moved into view by finger or arrow keys: for sheets with text in them.
    """
    shown = f'<img src="{data_uri(image, kind)}" alt="{escape(alt)}">'
    if scroll:
        label = f'role="region" aria-label="{escape(caption)}"'
        shown = f'<div class="wide" tabindex="0" {label}>{shown}</div>'
    return f"<figure>{shown}\n<figcaption>{escape(caption)}</figcaption></figure>\n"


def comparison(
    name: str,
    before: np.ndarray,
    after: np.ndarray,
    labels: tuple[str, str] = ("before", "enhanced"),
) -> str:
    """Two pictures of equal size over each other, and a slider that moves their border."""
    name, left, right = map(escape, (name, *labels))
    return f"""<figure><div class="compare">
<img src="{data_uri(after, "jpeg")}" alt="{name}, {right}">
<img class="over before" src="{data_uri(before, "jpeg")}" alt="{name}, {left}">
<div class="over border"></div>
<span class="over label" style="left: .6rem">{left}</span>
<span class="over label" style="right: .6rem">{right}</span>
<input class="over" type="range" autocomplete="off" aria-label="{name}: percentage shown as {left}"
oninput="this.parentNode.style.setProperty('--split', this.value + '%')">
</div><figcaption>{name}: drag the border, or focus it and use the arrow keys.</figcaption></figure>
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


def line_chart(
    title: str, y_label: str, series: Series, *, x_label: str = "steps", log: bool = False
) -> str:
    """Curves from x = 0 on, as SVG; where `log`, values below 1e-8 are drawn there."""
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
    parts.append(text(f'x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}"', x_label))
    parts.append(text(f'transform="translate(14 {(TOP + BOTTOM) / 2}) rotate(-90)"', y_label))
    legend = ""
    for i, (name, curve) in enumerate(series.items()):
        colour, dashes = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        pen = f'class="pen" stroke="{colour}" stroke-dasharray="{dashes}"'
        corners = " ".join(f"{x(step)},{y(value)}" for step, value in curve)
        parts.append(f'<polyline points="{corners}" {pen}/>')
        line = f'<svg width="32" height="8" aria-hidden="true"><path d="M0 4H32" {pen}/></svg>'
        legend += f" {line} {escape(name)}"
    return f"""<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">
{"".join(parts)}</svg><figcaption>{escape(title)}:{legend}</figcaption></figure>
"""


def page(title: str, note: str, sections: dict[str, str], rest: str = "") -> str:
    """A page: a note, where not empty, sections of HTML by heading, and the rest of its HTML."""
    noted = f'<p class="note">{escape(note)}</p>' if note else ""
    body = "\n".join(f"<h2>{escape(head)}</h2>\n{section}" for head, section in sections.items())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>{noted}
{body}{rest}</main></body></html>
"""
