"""Made-up TIFFs."""

import functools
import io

import numpy as np
import tifffile

from . import containers as parts
from . import scene as scenes
from .kinds import CONVERTED, DEEP_CONVERTED, DEEP_LIMIT, REFUSE, ROUNDING, Kind, by_pillow, opacity
from .scene import quantized


def tiff(pixels: np.ndarray, photometric: str = "rgb", **options) -> bytes:
    """A TIFF of tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric=photometric, metadata=None, **options)
    return file.getvalue()


def tiff_kinds(height: int, width: int) -> list[Kind]:
    """Of all layouts and colour spaces."""
    seen, gray = scenes.scene(height, width), scenes.gray_scene(height, width)
    pale, alpha = scenes.scene(height, width, pale=True), opacity(height, width)
    adobe = scenes.in_space("Adobe RGB", seen)
    rgb, rgb16 = quantized(seen), quantized(seen, 16)
    make = functools.partial(Kind, truth=255 * seen, limit=ROUNDING)
    deep = functools.partial(
        make, limit=DEEP_LIMIT, bits=16, features="deep", result="read, 16 bits kept"
    )
    lightness, a, b = np.moveaxis(scenes.lab(pale), -1, 0)
    lab8 = np.round(np.dstack([lightness * 2.55, a, b])).astype(int).astype(np.uint8)
    laid8, laid6 = scenes.laid(seen, 8), scenes.laid(gray[..., 0], 6)
    turned = [(274, "H", 1, 8, True)]
    xmp = parts.xmp('xmlns:a="http://made.up/" a:text="' + "x" * 90_000 + '"')
    palette = np.zeros((3, 256), np.uint16)
    palette[0], palette[1], palette[2] = (np.arange(256) * 257 * f for f in (1, 0.5, 0.25))
    index = quantized(gray[..., 0])
    shown = np.dstack([palette[i][index] / 257 for i in range(3)])
    whole = tiff(rgb)
    alphas = {"extrasamples": ["unassalpha"]}
    return [
        make("tiff_plain.tif", "8 bits, sRGB", whole),
        make(
            "tiff_deflate.tif",
            "compressed (deflate, LZW)",
            tiff(rgb, compression="zlib", predictor=True),
        ),
        make("tiff_lzw.tif", "compressed (deflate, LZW)", by_pillow(rgb, compression="tiff_lzw")),
        make("tiff_tiled.tif", "tiled", tiff(rgb, tile=(32, 48))),
        make("tiff_big.tif", "BigTIFF", tiff(rgb, bigtiff=True)),
        make("tiff_big_endian.tif", "big endian", tiff(rgb, byteorder=">")),
        deep("tiff_16.tif", "16 bits", tiff(rgb16)),
        deep(
            "tiff_planar16.tif",
            "16 bits, planes apart",
            tiff(np.ascontiguousarray(np.moveaxis(rgb16, -1, 0)), planarconfig="separate"),
        ),
        deep(
            "tiff_adobe16_big_xmp.tif",
            "Adobe RGB of 16 bits, XMP longer than a JPEG holds",
            tiff(
                quantized(adobe, 16),
                iccprofile=scenes.profile("Adobe RGB"),
                extratags=[(700, "B", len(xmp), xmp, True)],
            ),
            limit=DEEP_CONVERTED,
            stored=255 * adobe,
            features="deep profile",
            result="converted to sRGB, 16 bits kept",
        ),
        make(
            "tiff_orientation8.tif",
            "EXIF Orientation",
            tiff(quantized(laid8), extratags=turned),
            stored=255 * laid8,
            features="turned",
            result="turned upright",
        ),
        make(
            "tiff_gray_orientation6.tif",
            "grayscale, EXIF Orientation",
            tiff(quantized(laid6), "minisblack", extratags=[(274, "H", 1, 6, True)]),
            truth=255 * gray,
            stored=255 * np.dstack([laid6] * 3),
            features="gray turned",
            result="read as RGB, turned upright",
        ),
        make(
            "tiff_gray_inverted.tif",
            "grayscale, white is 0",
            tiff(255 - quantized(gray[..., 0]), "miniswhite"),
            truth=255 * gray,
            features="gray",
            result="read as RGB",
        ),
        make(
            "tiff_alpha.tif",
            "alpha",
            tiff(np.dstack([rgb, quantized(alpha)]), **alphas),
            alpha=255 * alpha,
            features="alpha",
            result="read, alpha kept",
        ),
        make("tiff_palette.tif", "palette", tiff(index, "palette", colormap=palette), truth=shown),
        make(
            "tiff_lab.tif",
            "CIELAB",
            tiff(lab8, "cielab"),
            truth=255 * pale,
            limit=CONVERTED + 1,
            features="lab",
            result="converted to sRGB",
        ),
        make(
            "tiff_cmyk_icc.tif",
            "CMYK with a profile",
            tiff(quantized(scenes.inks(pale)), "separated", iccprofile=scenes.ink_profile()),
            truth=255 * pale,
            limit=CONVERTED,
            features="cmyk",
            result="converted to sRGB",
        ),
        Kind(
            "tiff_cmyk.tif",
            "CMYK without a profile",
            tiff(quantized(scenes.inks(pale)), "separated"),
            right=REFUSE,
            refusal="CMYK",
        ),
        Kind(
            "tiff_float.tif",
            "floating-point values",
            tiff(seen.astype(np.float32)),
            right=REFUSE,
            refusal="float",
        ),
        make(
            "tiff_pages.tif",
            "several pages",
            _pages(rgb, 255 - rgb),
            result="the first is read",
            warning="2 pages",
        ),
        Kind(
            "tiff_cut.tif",
            "cut short",
            whole[: len(whole) // 2],
            right=REFUSE,
            refusal="cut short|damaged",
        ),
    ]


def _pages(*pages: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None)
    return file.getvalue()
