"""Self-contained web pages, from the templates in `templates/`.

A page needs no network and no other file: pictures and charts are embedded. All text is escaped.
Pictures are RGB, (H, W, 3) uint8.
"""

import base64
import functools
import pathlib
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure

from dped_jax.pages import charts

MAX_PHOTO_SIDE = 1600  # pixels; larger photographs are shown at this size
OPTIONS = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 90], "png": []}


def data_uri(image: np.ndarray, kind: str) -> str:
    """Encodes a picture for a src: as "png", without loss, or "jpeg", limited in size."""
    scale = MAX_PHOTO_SIDE / max(image.shape)
    if kind == "jpeg" and scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _address(cv2.imencode(f".{kind}", image[..., ::-1], OPTIONS[kind])[1], kind)


def figure_uri(figure: Figure) -> str:
    """Encodes a chart for a src, as SVG."""
    return _address(charts.encode(figure, "svg"), "svg+xml")


def _address(encoded: Any, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "described": charts.describe,
        "figure_uri": figure_uri,
        "number": format,  # of a value, in a form such as ".2f"
    }
    return environment


def render(template: str, title: str, note: str = "", **values: Any) -> str:
    """Makes a page.

    Args:
      template: name of a file in `templates/`, without its suffixes.
      title: of the page.
      note: what is said before everything else, where not empty.
      **values: what the template shows.
    """
    page = _environment().get_template(f"{template}.html.jinja")
    return page.render(title=title, note=note, **values)
