"""The report of a table: what `dped_jax.experiments.table` found, for people to read."""

from collections.abc import Iterator
from html import escape
from typing import Any

import cv2
import numpy as np

from dped_jax.experiments.costs import COLUMNS as COSTS
from dped_jax.experiments.table_sheets import Sheet
from dped_jax.pages import web_page

METRICS = {"psnr": ("PSNR", ".2f"), "ms_ssim": ("MS-SSIM", ".4f"), "ssim": ("SSIM", ".4f")}
PERCEPTUAL = {
    "lpips": ("LPIPS (lower is better)", ".4f"),
    "niqe": ("NIQE (lower is better)", ".2f"),
}
FORMS = (".2f", ".4f")  # of the paper's PSNR and SSIM
DASH = "\N{EN DASH}"
NUM_SLIDERS = 3  # of the patches of a sheet
SLIDER_SIDE = 600  # pixels
SCALE = (
    "What the paper prints as SSIM is on the scale of MS-SSIM: compare it with that. Its numbers "
    "are of other patches and of networks trained on the whole dataset."
)
COMPARED = "Means, with a line from the lowest to the highest of several seeds"


def csv_rows(results: dict[str, Any]) -> Iterator[list[Any]]:
    """Rows of scores.csv: a line for each run, and one with a note where there is none."""
    columns, costs = [*results["metrics"], "identical_pairs"], results["costs"]
    for phone, found in results["phones"].items():
        if found["input"]:
            scores = [found["input"][metric] for metric in columns]
            yield [phone, "input", "", *scores, *[""] * (len(costs) + 1)]
        for name, summary in found["methods"].items():
            for run in summary["runs"]:
                scores = [run[metric] for metric in columns]
                scores += [run.get(cost) for cost in costs]
                yield [phone, name, run["seed"], *scores, run.get("vgg", "") and "random VGG-19"]
            if "note" in summary:
                yield [phone, name, "", *[""] * len(columns + costs), summary["note"]]


def _number(summary: dict[str, Any], metric: str) -> str:
    form = (METRICS | PERCEPTUAL)[metric][1]
    text = f"{summary[metric]:{form}}"
    return f"{text} [{summary['range'][metric]:{form}}]" if "range" in summary else text


def score_table(results: dict[str, Any]) -> str:
    """Methods against phones and metrics, with footnotes for the dashes."""
    phones, metrics, costs = (results[name] for name in ("phones", "metrics", "costs"))
    header = ["", *((METRICS | PERCEPTUAL)[metric][0] for _ in phones for metric in metrics)]
    header += [COSTS[cost][0] for cost in costs]
    notes: list[str] = []
    inputs = ["Input"]
    for found in phones.values():
        inputs += [_number(found["input"], m) if found["input"] else DASH for m in metrics]
    rows = [inputs + [""] * len(costs)]
    for name, title in results["titles"].items():
        row = [title]
        for phone, found in phones.items():
            summary = found["methods"][name]
            said = [text for run in summary["runs"] for text in run.get("remarks", [])]
            said += [summary["note"]] if "note" in summary else []
            notes += [f"{title}, {phone}: {text}" for text in said]
            mark = f" ({len(notes)})" if said else ""
            scored = bool(summary["runs"])
            row += [(_number(summary, m) if scored else DASH) + mark for m in metrics]
        found = [phone["methods"][name] for phone in phones.values()]
        for cost in costs:
            values = [summary[cost] for summary in found if summary.get(cost) is not None]
            row.append(f"{np.mean(values):{COSTS[cost][1]}}" if values else DASH)
        rows.append(row)
    counts = ", ".join(f"{f['images']} of {phone}" for phone, f in phones.items() if f["images"])
    caption = f"Means over the images of {results['split']} ({counts or 'none'}), protocol pirm"
    seeds = {len(s["runs"]) for f in phones.values() for s in f["methods"].values()}
    if max(seeds, default=1) > 1:
        caption += f"; in brackets the range (largest minus smallest) over {max(seeds)} seeds"
    listed = "".join(f'<li id="note{i}">{escape(note)}</li>' for i, note in enumerate(notes, 1))
    groups = dict.fromkeys(phones, len(metrics)) | ({"cost": len(costs)} if costs else {})
    table = web_page.table(caption, header, rows, groups)
    return table + (f"<ol>{listed}</ol>" if notes else "")


def published_table(results: dict[str, Any]) -> str:
    """The paper's numbers of these methods; "" where it has none."""
    published = {name: numbers for name, numbers in results["published"].items() if numbers}
    if not published:
        return ""
    known = next(iter(published.values()))
    phones = [phone for phone in results["phones"] if phone in known] or list(known)
    header = ["", *(label for _ in phones for label in ("PSNR", "SSIM"))]
    rows = []
    for name, numbers in published.items():
        scores = [f"{numbers[phone][k]:{form}}" for phone in phones for k, form in enumerate(FORMS)]
        rows.append([results["titles"][name], *scores])
    groups = dict.fromkeys(phones, len(FORMS))
    table = web_page.table("As the paper prints them", header, rows, groups)
    return f"{table}<p>{SCALE}</p>"


def sheet_section(sheet: Sheet) -> str:
    """A sheet of pictures, and sliders over the first of them."""

    def enlarged(image):
        factor = max(1, SLIDER_SIDE // max(image.shape[:2]))
        size = [factor * side for side in image.shape[1::-1]]
        return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)

    compared = zip(sheet.images, sheet.before, sheet.after, strict=False)
    sliders = "".join(
        web_page.comparison(
            f"{sheet.title}: image {number}",
            enlarged(before),
            enlarged(after),
            ("input", sheet.method),
        )
        for number, before, after in list(compared)[:NUM_SLIDERS]
    )
    numbers = ", ".join(map(str, sheet.images))
    caption = f"{sheet.title}: images {numbers}, beside each row the PSNR of {sheet.method}"
    alt = "Rows of patches: input, the methods' results, target"
    picture = web_page.picture(caption, alt, sheet.picture, scroll=True)
    return f'{picture}<div class="sliders">{sliders}</div>'


def make_page(
    results: dict[str, Any],
    pictures: dict[str, list[Sheet]],
    compared: dict[str, np.ndarray] | None = None,
) -> str:
    """The page of a table.

    Args:
      results: what results.json holds.
      pictures: by phone, the sheets of `table_sheets.draw_sheets`.
      compared: by phone, the picture of `costs.draw`.
    """
    random_vgg = {
        results["titles"][name]
        for found in results["phones"].values()
        for name, summary in found["methods"].items()
        for run in summary["runs"]
        if "vgg" in run
    }
    note = ""
    if random_vgg:
        note = f"The content loss of {', '.join(sorted(random_vgg))} compared features of a VGG-19"
        note += " with RANDOM weights: these rows say nothing about the one trained on ImageNet."
    sections = {"Scores": score_table(results)}
    for phone, picture in (compared or {}).items():
        alt = "Scores of the methods against their multiply-adds a pixel; both are in the table"
        shown = web_page.picture(COMPARED, alt, picture, scroll=True)
        sections[f"{phone}: quality against cost"] = shown
    published = published_table(results)
    if published:
        sections["The paper's numbers"] = published
    for phone, drawn in pictures.items():
        for sheet in drawn:
            heading = f"{phone}: {sheet.title[0].lower()}{sheet.title[1:]}"
            sections[heading] = sheet_section(sheet)
    return web_page.page(results["experiment"], note, sections)
