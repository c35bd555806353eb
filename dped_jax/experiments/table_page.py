"""The report of a table: what `dped_jax.experiments.table` found, for people to read."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dped_jax.experiments.costs import COLUMNS as COSTS
from dped_jax.experiments.table_sheets import Sheet
from dped_jax.pages import sheets, web_page

METRICS = {"psnr": ("PSNR", ".2f"), "ms_ssim": ("MS-SSIM", ".4f"), "ssim": ("SSIM", ".4f")}
PERCEPTUAL = {
    "lpips": ("LPIPS (lower is better)", ".4f"),
    "niqe": ("NIQE (lower is better)", ".2f"),
}
DASH = "\N{EN DASH}"
NUM_SLIDERS = 3  # of the patches of a sheet
SLIDER_SIDE = 600  # pixels


def csv_rows(results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of scores.csv: a line for each run, and one with a note where there is none."""
    for phone, entry in results["phones"].items():
        if entry["input"]:
            yield {"phone": phone, "method": "input"} | entry["input"]
        for name, method in entry["methods"].items():
            row = {"phone": phone, "method": name}
            for run in method["runs"]:
                yield row | run | {"note": "random VGG-19" if "vgg" in run else ""}
            if "note" in method:
                yield row | {"note": method["note"]}


def _number(summary: dict[str, Any], metric: str) -> str:
    form = (METRICS | PERCEPTUAL)[metric][1]
    text = f"{summary[metric]:{form}}"
    return f"{text} [{summary['range'][metric]:{form}}]" if "range" in summary else text


def score_table(results: dict[str, Any]) -> tuple[list[list[str]], list[str]]:
    """The rows of methods against phones and metrics, the header first, and their footnotes."""
    phones, metrics, costs = (results[name] for name in ("phones", "metrics", "costs"))
    header = ["", *((METRICS | PERCEPTUAL)[metric][0] for _ in phones for metric in metrics)]
    inputs, footnotes = ["Input"], []
    for phone in phones.values():
        inputs += [_number(phone["input"], m) if phone["input"] else DASH for m in metrics]
    rows = [header + [COSTS[cost][0] for cost in costs], inputs + [""] * len(costs)]
    for name, title in results["titles"].items():
        row = [title]
        for phone, entry in phones.items():
            method = entry["methods"][name]
            remarks = [text for run in method["runs"] for text in run.get("remarks", [])]
            remarks += [method["note"]] if "note" in method else []
            footnotes += [f"{title}, {phone}: {text}" for text in remarks]
            mark = f" ({len(footnotes)})" if remarks else ""
            row += [(_number(method, m) if method["runs"] else DASH) + mark for m in metrics]
        for cost in costs:
            values = [entry["methods"][name].get(cost) for entry in phones.values()]
            values = [value for value in values if value is not None]
            row.append(f"{np.mean(values):{COSTS[cost][1]}}" if values else DASH)
        rows.append(row)
    return rows, footnotes


def _caption(results: dict[str, Any]) -> str:
    phones = results["phones"]
    counts = ", ".join(f"{f['images']} of {phone}" for phone, f in phones.items() if f["images"])
    caption = f"Means over the images of {results['split']} ({counts or 'none'}), protocol pirm"
    most = max((len(m["runs"]) for f in phones.values() for m in f["methods"].values()), default=1)
    if most > 1:
        caption += f"; in brackets the range (largest minus smallest) over {most} seeds"
    return caption


def _published(results: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """The paper's PSNR and SSIM by title of the method and phone, of the phones that are here."""
    numbers = {results["titles"][k]: found for k, found in results["published"].items() if found}
    known = list(next(iter(numbers.values()), {}))
    phones = [phone for phone in results["phones"] if phone in known] or known
    return {title: {p: found[p] for p in phones} for title, found in numbers.items()}


def _enlarged(image: np.ndarray) -> np.ndarray:
    return sheets.enlarge(image, max(1, SLIDER_SIDE // max(image.shape[:2])))


def make_page(
    results: dict[str, Any],
    pictures: dict[str, list[Sheet]],
    compared: dict[str, Figure] | None = None,
) -> str:
    """The page of a table.

    Args:
      results: what results.json holds.
      pictures: by phone, the sheets of `table_sheets.draw_sheets`.
      compared: by phone, the chart of `costs.draw`.
    """
    random_vgg = {
        results["titles"][name]
        for phone in results["phones"].values()
        for name, method in phone["methods"].items()
        if any("vgg" in run for run in method["runs"])
    }
    costs = {"cost": len(results["costs"])} if results["costs"] else {}
    rows, footnotes = score_table(results)
    return web_page.render(
        "table",
        results["experiment"],
        random_vgg=sorted(random_vgg),
        caption=_caption(results),
        rows=rows,
        groups=dict.fromkeys(results["phones"], len(results["metrics"])) | costs,
        footnotes=footnotes,
        compared=compared or {},
        published=_published(results),
        pictures=pictures,
        num_sliders=NUM_SLIDERS,
        enlarged=_enlarged,
    )
