"""Made-up PNGs."""

import functools
import struct

import numpy as np

from . import containers as parts
from . import scene as scenes
from .kinds import CONVERTED, DEEP_CONVERTED, DEEP_LIMIT, REFUSE, ROUNDING, Kind, hdr_kind, opacity
from .scene import quantized


def png_kinds(height: int, width: int) -> list[Kind]:
    """Of all types and depths, by the chunks that tell colours and the orientation."""
    seen, gray = scenes.scene(height, width), scenes.gray_scene(height, width)
    p3, alpha = scenes.in_space("Display P3", seen), opacity(height, width)
    rgb, rgb16, veil = quantized(seen), quantized(seen, 16), quantized(alpha)
    rgba, gray8 = np.dstack([rgb, veil]), quantized(gray[..., 0])
    make = functools.partial(Kind, truth=255 * seen, limit=ROUNDING)
    of_gray = functools.partial(make, truth=255 * gray, result="read as RGB")
    deep = functools.partial(make, limit=DEEP_LIMIT, bits=16)
    converted = functools.partial(
        make, limit=CONVERTED, stored=255 * p3, result="converted to sRGB", features="profile"
    )
    veiled = functools.partial(make, alpha=255 * alpha, features="alpha", result="read, alpha kept")
    p3_icc, laid = parts.png_profile(scenes.profile("Display P3")), scenes.laid(seen, 6)
    colours, indices = np.unique(rgb.reshape(-1, 3) // 8 * 8, axis=0, return_inverse=True)
    few = np.unique(colours // 64 * 64, axis=0)
    nearest = np.abs(rgb.reshape(-1, 1, 3).astype(int) - few).sum(-1).argmin(-1)
    indices, palette = nearest.reshape(height, width).astype(np.uint8), few
    shown = palette[indices].astype(float)
    key = struct.pack(">3H", *rgb[0, 0])
    keyed = 255.0 * (rgb != rgb[0, 0]).any(-1)
    bad = bytearray(parts.png(rgb))
    bad[len(bad) // 2] ^= 1
    refuse = functools.partial(Kind, right=REFUSE, refusal="cut short|damaged")
    return [
        make("png_plain.png", "8 bits, sRGB", parts.png(rgb)),
        deep(
            "png_16.png", "16 bits", parts.png(rgb16), features="deep", result="read, 16 bits kept"
        ),
        of_gray("png_gray.png", "grayscale", parts.png(gray8), features="gray"),
        of_gray(
            "png_gray16.png",
            "grayscale of 16 bits",
            parts.png(quantized(gray[..., 0], 16)),
            limit=DEEP_LIMIT,
            bits=16,
            features="gray deep",
        ),
        of_gray(
            "png_gray_alpha.png",
            "grayscale with alpha",
            parts.png(np.dstack([gray8, veil])),
            alpha=255 * alpha,
            features="gray alpha",
        ),
        veiled("png_alpha.png", "alpha", parts.png(rgba)),
        veiled(
            "png_alpha16.png",
            "alpha, 16 bits",
            parts.png(np.dstack([rgb16, quantized(alpha, 16)])),
            limit=DEEP_LIMIT,
            bits=16,
            features="alpha deep",
        ),
        make(
            "png_palette.png",
            "palette",
            parts.png(indices, palette=palette),
            truth=shown,
            limit=0,
            features="palette",
        ),
        veiled(
            "png_palette_trns.png",
            "palette with transparency",
            parts.png(indices, (b"tRNS", bytes([90])), palette=palette),
            truth=shown,
            limit=0,
            alpha=np.where(indices == 0, 90.0, 255.0),
        ),
        veiled(
            "png_colour_key.png",
            "a transparent colour",
            parts.png(rgb, (b"tRNS", key)),
            alpha=keyed,
        ),
        make(
            "png_orientation6.png",
            "EXIF Orientation",
            parts.png(quantized(laid), (b"eXIf", parts.exif(6))),
            stored=255 * laid,
            features="turned",
            result="turned upright",
        ),
        converted("png_p3_icc.png", "Display P3 by ICC or cICP", parts.png(quantized(p3), p3_icc)),
        converted(
            "png_p3_cicp.png",
            "Display P3 by ICC or cICP",
            parts.png(quantized(p3), (b"cICP", bytes([12, 13, 0, 1]))),
        ),
        deep(
            "png_p3_icc16.png",
            "Display P3 of 16 bits",
            parts.png(quantized(p3, 16), p3_icc),
            limit=DEEP_CONVERTED,
            stored=255 * p3,
            features="deep profile",
            result="converted to sRGB, 16 bits kept",
        ),
        hdr_kind(
            "png_pq.png",
            "PNG",
            parts.png(
                quantized(scenes.in_pq("BT.2020", seen), 16), (b"cICP", bytes([9, 16, 0, 1]))
            ),
            scenes.in_pq("BT.2020", seen),
        ),
        hdr_kind(
            "png_hlg.png",
            "PNG",
            parts.png(
                quantized(scenes.in_hlg("BT.2020", seen), 16), (b"cICP", bytes([9, 18, 0, 1]))
            ),
            scenes.in_hlg("BT.2020", seen),
        ),
        make("png_named.jpg", "named .jpg", parts.png(rgb)),
        refuse("png_bad_crc.png", "cut short or of a wrong checksum", bytes(bad)),
        *(
            refuse(
                f"png_cut{percent}.png",
                "cut short or of a wrong checksum",
                parts.png(rgb)[: len(parts.png(rgb)) * percent // 100],
            )
            for percent in (30, 60, 95)
        ),
    ]
