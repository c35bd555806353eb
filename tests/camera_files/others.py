"""Made-up WebP files, formats that no camera writes, and what is no picture."""

import functools

import numpy as np
from PIL import Image

from . import containers as parts
from . import scene as scenes
from .kinds import CONVERTED, EITHER, REFUSE, ROUNDING, Kind, by_pillow, opacity
from .scene import quantized


def webp_kinds(height: int, width: int) -> list[Kind]:
    """Lossless, so that nothing but the special is in them."""
    seen, alpha = scenes.scene(height, width), opacity(height, width)
    p3, laid = scenes.in_space("Display P3", seen), scenes.laid(seen, 6)
    rgb, rgba = quantized(seen), np.dstack([quantized(seen), quantized(alpha)])
    encode = functools.partial(by_pillow, suffix="webp", lossless=True, exact=True)
    make = functools.partial(Kind, truth=255 * seen, limit=ROUNDING)
    frames = encode(rgb, save_all=True, append_images=[Image.fromarray(255 - rgb)], duration=100)
    return [
        make("webp_plain.webp", "8 bits, sRGB", encode(rgb)),
        make(
            "webp_orientation6.webp",
            "EXIF Orientation",
            encode(quantized(laid), exif=b"Exif\0\0" + parts.exif(6)),
            stored=255 * laid,
            features="turned",
            result="turned upright",
        ),
        make(
            "webp_p3_icc.webp",
            "Display P3 by ICC",
            encode(quantized(p3), icc_profile=scenes.profile("Display P3")),
            limit=CONVERTED,
            stored=255 * p3,
            features="profile",
            result="converted to sRGB",
        ),
        make(
            "webp_alpha.webp",
            "alpha",
            encode(rgba),
            alpha=255 * alpha,
            features="alpha",
            result="read, alpha kept",
        ),
        make(
            "webp_frames.webp",
            "several frames",
            frames,
            result="the first is read",
            warning="animated",
        ),
        Kind(
            "webp_cut.webp",
            "cut short",
            encode(rgb)[:-3000],
            right=REFUSE,
            refusal="cut short|damaged",
        ),
    ]


def foreign_kinds(height: int, width: int) -> list[Kind]:
    """Formats that no camera writes, and what is no picture."""
    rgb = quantized(scenes.scene(height, width))
    refuse = functools.partial(Kind, right=REFUSE)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'
    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    row = "text, PDF, SVG, films, empty files, under any name"
    film = parts.box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + parts.box(b"mdat", bytes(500))
    either = functools.partial(
        Kind, truth=255 * quantized(rgb / 255) / 255.0, limit=ROUNDING, right=EITHER
    )
    return [
        Kind("bmp.bmp", "BMP", by_pillow(rgb, "bmp"), truth=rgb.astype(float), limit=ROUNDING),
        either("gif.gif", "GIF", by_pillow(rgb, "gif"), truth=rgb.astype(float), limit=16),
        either("jpeg2000.jp2", "JPEG 2000", by_pillow(rgb, "jpeg2000"), truth=rgb.astype(float)),
        refuse(
            "jpeg_xl.jxl",
            "JPEG XL",
            b"\xff\x0a\xfa\x7f\x01" + bytes(range(200)),
            refusal="JPEG XL|not a picture|not JPEG",
        ),
        refuse("text.jpg", row, b"This is no picture.\n" * 20),
        refuse("empty.png", row, b"", refusal="empty"),
        refuse("drawing.png", row, svg),
        refuse("document.jpg", row, pdf),
        refuse("film.heic", row, film),
        refuse("zeros.jpg", row, bytes(2000)),
    ]
