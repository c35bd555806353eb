"""Files of the kinds that phones, cameras and their programs write, made up when tests run.

`all_kinds` makes them, each with what a reader must give of it, which no reader has told: the
scene is known, and what was done to it is defined by standards.
"""

import dataclasses

from .heifs import avif_kinds, heic_kinds
from .jpegs import jpeg_kinds
from .kinds import EITHER, READ, REFUSE, Kind, judge, levels
from .others import foreign_kinds, webp_kinds
from .pngs import png_kinds
from .raws import raw_kinds
from .tiffs import tiff_kinds

__all__ = ["EITHER", "READ", "REFUSE", "Kind", "all_kinds", "judge", "levels"]
MAKERS = {
    jpeg_kinds: "JPEG",
    png_kinds: "PNG",
    tiff_kinds: "TIFF",
    webp_kinds: "WebP",
    heic_kinds: "HEIC",
    avif_kinds: "AVIF",
    raw_kinds: "camera raw",
    foreign_kinds: "others",
}


def all_kinds(height: int = 104, width: int = 128) -> list[Kind]:
    """One file of each kind, of a scene of this size."""
    return [
        dataclasses.replace(kind, format=name)
        for maker, name in MAKERS.items()
        for kind in maker(height, width)
    ]
