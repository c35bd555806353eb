"""Made-up HEIC, HEIF and AVIF files."""

import functools
import io

import numpy as np
import pillow_heif
import pyvips
from PIL import Image

from . import containers as parts
from . import scene as scenes
from .kinds import CONVERTED, REFUSE, ROUNDING, Kind, difference, hdr_kind, levels, opacity
from .scene import quantized

CUT = "cut short|damaged"


def heic(pixels: np.ndarray, mode: str = "RGB", **options) -> bytes:
    """A HEIC of high quality, of uint8, or of uint16 that become 10 bits."""
    size = pixels.shape[1::-1]
    heif = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(pixels).tobytes())
    file = io.BytesIO()
    fast = {"preset": "ultrafast"}  # of x265
    heif.save(file, **{"quality": 95, "chroma": 444, "enc_params": fast} | options)
    return file.getvalue()


def avif(pixels: np.ndarray, **options) -> bytes:
    """An AVIF of high quality."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "avif", **{"quality": 95, "subsampling": "4:4:4"} | options)
    return file.getvalue()


def deep_avif(image: np.ndarray) -> bytes:
    """An AVIF of 10 bits; libvips' shift, not rounding, makes them of 16."""
    pixels = quantized(image, 16)
    height, width = pixels.shape[:2]
    memory = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, 3, "ushort")
    memory = memory.copy(interpretation="rgb16")
    options = {"compression": "av1", "bitdepth": 10, "Q": 95, "subsample_mode": "off"}
    return memory.heifsave_buffer(**options)


def heif_limit(data: bytes, image: np.ndarray) -> float:
    """From what pillow-heif decodes of a plain one, which nothing turns or converts."""
    opened = pillow_heif.open_heif(io.BytesIO(data)).to_pillow()
    return 1.5 * difference(levels(np.asarray(opened)), 255 * image) + ROUNDING


def heic_kinds(height: int, width: int) -> list[Kind]:
    """All of them, of scenes of this size."""
    seen, gray = scenes.scene(height, width), scenes.gray_scene(height, width)
    rgb, alpha = quantized(seen), opacity(height, width)
    plain = heic(rgb)
    limit = heif_limit(plain, seen)
    make = functools.partial(Kind, truth=255 * seen, limit=limit)
    return [
        make("heic_plain.heic", "8 bits, sRGB", plain),
        make("heic_named.jpg", "named .jpg", plain),
        *_heic_turned(make, height, width),
        *_heic_coloured(make, seen),
        *_heic_channels(make, seen, gray, alpha),
        *_heic_pieces(make, seen),
        *_heic_damaged(plain, heic(rgb, tile_size=64)),
    ]


def _heic_turned(make, height: int, width: int) -> list[Kind]:
    seen = scenes.scene(height, width)
    row = "turned by irot and imir, whatever EXIF says"
    kinds = []
    for orientation in range(2, 9):
        laid = scenes.laid(seen, orientation)
        data = heic(quantized(laid), exif=b"Exif\0\0" + parts.exif(orientation))
        assert b"irot" in data or b"imir" in data
        kinds.append(
            make(
                f"heic_orientation{orientation}.heic",
                row,
                data,
                stored=255 * laid,
                features="turned",
                result="turned upright",
            )
        )
    without_exif = parts.with_property(heic(quantized(scenes.laid(seen, 8))), b"irot", b"\1", True)
    only_exif = heic(quantized(seen), exif=b"Exif\0\0" + parts.exif(1))
    only_exif = parts.replaced(only_exif, b"\x01\x12\0\3\0\0\0\1\0\1", b"\x01\x12\0\3\0\0\0\1\0\6")
    turned = "turned"
    return [
        *kinds,
        make(
            "heic_irot_no_exif.heic",
            row,
            without_exif,
            stored=255 * scenes.laid(seen, 8),
            features=turned,
            result="turned upright",
        ),
        make(
            "heic_exif6_no_irot.heic",
            "EXIF Orientation without irot",
            only_exif,
            stored=255 * scenes.turned(seen, 6),
            result="read, not turned, as the standard says",
        ),
    ]


def _heic_coloured(make, seen: np.ndarray) -> list[Kind]:
    row, profile = "Display P3 by ICC or nclx", scenes.profile("Display P3")
    p3 = scenes.in_space("Display P3", seen)
    encoded = heic(quantized(p3))
    converted = functools.partial(
        make,
        limit=heif_limit(encoded, p3) - ROUNDING + CONVERTED,
        stored=255 * p3,
        features="profile",
        result="converted to sRGB",
    )
    deep = {"mode": "RGB;16"}
    pq, hlg = scenes.in_pq("BT.2020", seen), scenes.in_hlg("BT.2020", seen)
    return [
        converted("heic_p3_icc.heic", row, heic(quantized(p3), icc_profile=profile)),
        converted("heic_p3_nclx.heic", row, parts.as_nclx(encoded, 12, 13)),
        hdr_kind("heic_pq.heic", "HEIC", parts.as_nclx(heic(quantized(pq, 16), **deep), 9, 16), pq),
        hdr_kind(
            "heic_hlg.heic", "HEIC", parts.as_nclx(heic(quantized(hlg, 16), **deep), 9, 18), hlg
        ),
    ]


def _heic_channels(make, seen: np.ndarray, gray: np.ndarray, alpha: np.ndarray) -> list[Kind]:
    """Depths, grayscale and alpha."""
    kinds = []
    of_gray = {"truth": 255 * gray, "result": "read as RGB"}
    veiled = {"alpha": 255 * alpha, "result": "read, alpha kept"}
    gray_alpha = np.dstack([gray[..., 0], alpha])
    for name, special, bits, image, mode, more in (
        ("gray", "grayscale", 8, gray[..., 0], "L", of_gray),
        ("alpha", "alpha", 8, np.dstack([seen, alpha]), "RGBA", veiled),
        ("gray_alpha", "grayscale with alpha", 8, gray_alpha, "LA", of_gray | veiled),
        ("10", "10 and 12 bits", 10, seen, "RGB;16", {"result": "read, 16 bits kept"}),
        ("12", "10 and 12 bits", 12, seen, "RGB;16", {"result": "read, 16 bits kept"}),
        ("gray10", "grayscale of 10 bits", 10, gray[..., 0], "L;16", of_gray),
        ("alpha10", "alpha, 10 bits", 10, np.dstack([seen, alpha]), "RGBA;16", veiled),
    ):
        features = " ".join(word for word in ("gray", "alpha") if word in name)
        features += "" + (bits > 8) * " deep"
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        try:
            data = heic(quantized(image, 8 if bits == 8 else 16), mode)
        finally:
            pillow_heif.options.SAVE_HDR_TO_12_BIT = False
        fields = {"features": features, "bits": bits} | more
        kinds.append(make(f"heif_{name}.heif", special, data, **fields))
    return kinds


def _heic_pieces(make, seen: np.ndarray) -> list[Kind]:
    """Of tiles, as phones write them; with a thumbnail; several; cropped by `clap`."""
    height, width = seen.shape[:2]
    rgb = quantized(seen)
    first, second = (
        pillow_heif.from_bytes("RGB", (width, height), each.tobytes()) for each in (255 - rgb, rgb)
    )
    first.add_from_heif(second[0])
    several = io.BytesIO()
    fast = {"preset": "ultrafast"}
    first.save(several, quality=95, chroma=444, primary_index=1, enc_params=fast)
    bigger = np.pad(seen, ((16, 8), (32, 16), (0, 0)), mode="edge")
    # Width, height, and how far the middle is from that of all, as fractions (ISO/IEC 14496-12).
    fractions = (width, 1, height, 1, 16, 2, 8, 2)
    clap = b"".join(int(value).to_bytes(4, signed=True) for value in fractions)
    features = "turned"
    return [
        make("heic_tiles.heic", "tiles, as phones write", heic(rgb, tile_size=64)),
        make(
            "heic_several.heic",
            "several pictures",
            several.getvalue(),
            result="the primary one is read",
            warning="2 pictures",
        ),
        make(
            "heic_clap.heic",
            "cropped by clap",
            parts.with_property(heic(quantized(bigger)), b"clap", clap, True),
            stored=255 * bigger,
            features=features,
            result="read as cropped",
        ),
    ]


def _heic_damaged(plain: bytes, tiles: bytes) -> list[Kind]:
    refuse = functools.partial(Kind, right=REFUSE)
    row = "cut short, or without a picture"
    types = parts.box(b"ftyp", b"heic\0\0\0\0mif1heic")
    handler = parts.box(b"hdlr", bytes(8) + b"pict" + bytes(13))
    listed = parts.box(b"iinf", bytes(6)) + parts.box(b"pitm", bytes(4) + b"\0\1")
    nothing = types + parts.box(b"meta", bytes(4) + handler + listed)
    return [
        *(
            refuse(
                f"heic_cut{percent}.heic", row, plain[: len(plain) * percent // 100], refusal=CUT
            )
            for percent in (20, 50, 90)
        ),
        refuse("heic_tiles_cut.heic", row, tiles[: len(tiles) * 7 // 10], refusal=CUT),
        refuse("heic_no_picture.heic", row, nothing),
        refuse("heic_types_only.heic", row, types),
    ]


def avif_kinds(height: int, width: int) -> list[Kind]:
    """All of them, of scenes of this size."""
    seen, alpha = scenes.scene(height, width), opacity(height, width)
    p3, rgb = scenes.in_space("Display P3", seen), quantized(seen)
    plain, encoded = avif(rgb), avif(quantized(p3))
    make = functools.partial(
        Kind,
        truth=255 * seen,
        limit=1.5 * _avif_error(plain, seen) + ROUNDING,
    )
    converted = functools.partial(
        make,
        limit=1.5 * _avif_error(encoded, p3) + CONVERTED,
        stored=255 * p3,
        features="profile",
        result="converted to sRGB",
    )
    turned = []
    for orientation in (5, 6, 7, 8):
        laid = scenes.laid(seen, orientation)
        block = Image.Exif()
        block[274] = orientation
        turned.append(
            make(
                f"avif_orientation{orientation}.avif",
                "turned by irot and imir, whatever EXIF says",
                avif(quantized(laid), exif=block),
                stored=255 * laid,
                features="turned",
                result="turned upright",
            )
        )
    row = "Display P3 by ICC or nclx"
    pq = scenes.in_pq("Display P3", seen)
    nclx = b"nclx" + bytes([0, 12, 0, 16, 0, 6, 128])
    return [
        make("avif_plain.avif", "8 bits, sRGB", plain),
        *turned,
        converted(
            "avif_p3_icc.avif", row, avif(quantized(p3), icc_profile=scenes.profile("Display P3"))
        ),
        converted("avif_p3_nclx.avif", row, parts.as_nclx(encoded, 12, 13)),
        make(
            "avif_alpha.avif",
            "alpha",
            avif(np.dstack([rgb, quantized(alpha)])),
            alpha=255 * alpha,
            features="alpha",
            result="read, alpha kept",
        ),
        make(
            "avif_gray.avif",
            "grayscale",
            avif(rgb[..., 0]),
            truth=255 * np.dstack([seen[..., 0]] * 3),
            features="gray",
            result="read as RGB",
        ),
        make(
            "avif_10.avif",
            "10 bits",
            deep_avif(seen),
            features="deep",
            bits=10,
            result="read, 16 bits kept",
        ),
        hdr_kind("avif_pq.avif", "AVIF", parts.with_property(deep_avif(pq), b"colr", nclx), pq),
        Kind("avif_cut.avif", "cut short", plain[:-1000], right=REFUSE, refusal=CUT),
    ]


def _avif_error(data: bytes, image: np.ndarray) -> float:
    with Image.open(io.BytesIO(data)) as opened:
        return difference(levels(np.asarray(opened.convert("RGB"))), 255 * image)
