"""Made-up JPEGs."""

import functools
import io
import shutil
import struct
import subprocess

import numpy as np
from PIL import Image

from . import containers as parts
from . import scene as scenes
from .kinds import CONVERTED, EITHER, REFUSE, ROUNDING, Kind, codec_error
from .scene import quantized

CUT = "cut short|damaged"
GAIN_MAP = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
MOTION = (
    'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1" '
    'GCamera:MotionPhotoVersion="1"'
)
APPLE_MAP = (
    'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="65536"'
)
# A film may hold what ends a JPEG, and what starts a scan.
MARKERS_WITHIN = bytes(300) + b"\xff\xd9" + bytes(40) + b"\xff\xda\0\x0c" + b"\7" * 300
ISO_MAP = (2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")


def encode(pixels: np.ndarray, mode: str | None = None, **options) -> bytes:
    """A JPEG of high quality."""
    file = io.BytesIO()
    mode = mode or ("L" if pixels.ndim == 2 else "RGB")
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    image.save(file, "jpeg", **{"quality": 95, "subsampling": 0} | options)
    return file.getvalue()


def jpeg_kinds(height: int, width: int) -> list[Kind]:
    """All of them, of scenes of this size."""
    rgb = quantized(scenes.scene(height, width))
    plain = encode(rgb)
    limit = 1.5 * codec_error(plain, rgb) + ROUNDING
    make = functools.partial(Kind, truth=255 * scenes.scene(height, width), limit=limit)
    return [
        make("jpeg_plain.jpg", "8 bits, sRGB", plain),
        make("jpeg_progressive.jpg", "progressive", encode(rgb, progressive=True)),
        *_arithmetic(make, plain),
        *_turned(make, height, width),
        *_coloured(height, width),
        *_gray_and_inks(height, width),
        *_with_more(make, plain, rgb),
        *_odd(make, plain, rgb),
        *_damaged(plain),
    ]


def _arithmetic(make, plain: bytes) -> list[Kind]:
    """Where jpegtran of libjpeg-turbo is installed; no library for Python encodes these."""
    program = shutil.which("jpegtran")
    if not program:
        return []
    done = subprocess.run([program, "-arithmetic"], input=plain, capture_output=True, check=True)
    return [make("jpeg_arithmetic.jpg", "arithmetic coding", done.stdout)]


def _turned(make, height: int, width: int) -> list[Kind]:
    seen, kinds = scenes.scene(height, width), []
    for orientation in range(1, 9):
        pixels = quantized(scenes.laid(seen, orientation))
        small = encode(pixels[::4, ::4])
        for name, thumbnail in (("", b""), ("_thumbnail", small)):
            block = parts.exif_segment(parts.exif(orientation, thumbnail=thumbnail))
            kinds.append(
                make(
                    f"jpeg_orientation{orientation}{name}.jpg",
                    "EXIF Orientation 1 to 8, with and without thumbnail",
                    parts.with_segments(encode(pixels), block),
                    stored=None if orientation == 1 else 255.0 * scenes.laid(seen, orientation),
                    features="" if orientation == 1 else "turned",
                    result="turned upright",
                )
            )
    return kinds


def _coloured(height: int, width: int) -> list[Kind]:
    seen = scenes.scene(height, width)
    pale = scenes.scene(height, width, pale=True)
    p3, adobe = (scenes.in_space(space, seen) for space in ("Display P3", "Adobe RGB"))
    table = parts.profile_segments(scenes.rgb_table_profile(padding=70_000))
    srgb_icc, p3_icc, adobe_icc = (
        parts.profile_segments(scenes.profile(space))
        for space in ("sRGB", "Display P3", "Adobe RGB")
    )
    r03 = [parts.exif_segment(parts.exif(adobe_rgb=True))]
    r03_turned = [parts.exif_segment(parts.exif(6, adobe_rgb=True))]
    by_exif = "Adobe RGB by EXIF (InteropIndex R03)"
    damaged = parts.profile_segments(b"no profile" * 30)
    kinds = []
    for name, special, image, truth, segments in (
        ("srgb_icc", "sRGB by ICC", seen, seen, srgb_icc),
        ("srgb_icc_and_r03", "sRGB by ICC", seen, seen, r03 + srgb_icc),
        ("p3_icc", "Display P3 by ICC", p3, seen, p3_icc),
        ("adobe_icc", "Adobe RGB by ICC", adobe, seen, adobe_icc),
        ("adobe_r03", by_exif, adobe, seen, r03),
        ("adobe_r03_turned", by_exif, scenes.laid(adobe, 6), seen, r03_turned),
        ("table_icc", "ICC by tables, in several segments", scenes.table_rgb(pale), pale, table),
        ("damaged_icc", "ICC that is damaged", seen, seen, damaged),
    ):
        pixels, is_converted = quantized(image), image is not seen
        plain = encode(pixels)
        rounding = CONVERTED if is_converted else ROUNDING
        kinds.append(
            Kind(
                f"jpeg_{name}.jpg",
                special,
                parts.with_segments(plain, *segments),
                truth=255 * truth,
                limit=1.5 * codec_error(plain, pixels) + rounding,
                stored=255 * image if is_converted else None,
                features=is_converted * "profile" + (segments is r03_turned) * " turned",
                result="converted to sRGB" if is_converted else "read",
                warning="profile" if segments is damaged else "",
            )
        )
    return kinds


def _gray_and_inks(height: int, width: int) -> list[Kind]:
    """One channel, and four."""
    seen, pale = scenes.gray_scene(height, width), scenes.scene(height, width, pale=True)
    gray = quantized(seen[..., 0])
    gray_limit = 1.5 * codec_error(encode(gray), np.stack([gray] * 3, -1)) + ROUNDING
    make = functools.partial(
        Kind, truth=255 * seen, limit=gray_limit, features="gray", result="read as RGB"
    )
    profiles = scenes.profile("Display P3"), scenes.ink_profile(padding=70_000)
    ink = quantized(scenes.inks(pale))
    cmyk = encode(ink, "CMYK")  # with Adobe's marker, and inverted, as Adobe does
    with Image.open(io.BytesIO(cmyk)) as image:
        decoded = np.asarray(image)
    errors = np.abs(decoded.astype(float) - ink).mean()
    return [
        make("jpeg_gray.jpg", "grayscale", encode(gray)),
        make(
            "jpeg_gray_rgb_icc.jpg",
            "grayscale with a profile of RGB",
            parts.with_segments(encode(gray), *parts.profile_segments(profiles[0])),
            result="read as RGB, the profile passed over",
            warning="profile",
        ),
        Kind(
            "jpeg_cmyk_icc.jpg",
            "CMYK with a profile, in several segments",
            parts.with_segments(cmyk, *parts.profile_segments(profiles[1])),
            truth=255 * pale,
            limit=1.5 * errors + CONVERTED,
            features="cmyk",
            result="converted to sRGB",
        ),
        Kind(
            "jpeg_cmyk.jpg",
            "CMYK without a profile",
            cmyk,
            right=REFUSE,
            refusal="CMYK",
        ),
    ]


def _with_more(make, plain: bytes, rgb: np.ndarray) -> list[Kind]:
    """Pictures with something behind them."""
    small = encode(quantized(np.full((16, 16), 0.4)))
    film = parts.box(b"ftyp", b"mp42\0\0\0\0mp42isom")
    film += parts.box(b"mdat", MARKERS_WITHIN)
    row = "gain map behind it (Ultra HDR, Apple, ISO 21496-1)"
    apple_map = parts.with_segments(small, parts.xmp_segment(APPLE_MAP))
    ultra = parts.with_segments(plain, parts.xmp_segment(GAIN_MAP))
    ultra_map = parts.with_segments(
        small, parts.xmp_segment(GAIN_MAP + ' hdrgm:GainMapMax="2" hdrgm:HDRCapacityMax="2"')
    )
    without_map = "read, the gain map left out"
    return [
        make(
            "jpeg_gain_map_ultra_hdr.jpg",
            row,
            parts.with_second(ultra, ultra_map),
            result=without_map,
        ),
        make(
            "jpeg_gain_map_apple.jpg", row, parts.with_second(plain, apple_map), result=without_map
        ),
        make(
            "jpeg_gain_map_iso.jpg",
            row,
            parts.with_second(
                parts.with_segments(plain, ISO_MAP), parts.with_segments(small, ISO_MAP)
            ),
            result=without_map,
        ),
        make(
            "jpeg_two_pictures.mpo",
            "several pictures (MPO)",
            parts.with_second(plain, encode(255 - rgb)),
            result="the first is read",
        ),
        make(
            "jpeg_joined.jpg",
            "two files joined",
            plain + encode(255 - rgb),
            result="the first is read",
        ),
        *(
            make(
                f"jpeg_motion_{name}.jpg",
                "motion photo: a film behind it",
                parts.with_segments(plain, parts.xmp_segment(MOTION)) + film + behind,
                result="read, the film left out",
            )
            for name, behind in (("photo", b""), ("samsung", b"\0\0\x01\x0aSEFT" + b"\xff\xda" * 9))
        ),
    ]


def _odd(make, plain: bytes, rgb: np.ndarray) -> list[Kind]:
    """Whole ones that are not as most are."""
    restarts = encode(rgb, restart_marker_blocks=5)
    assert b"\xff\xd3" in restarts
    filled = _with_fill_bytes(plain)
    late = plain.index(b"\xff\xda")
    comment = b"\xff\xfe\0\x08\xff\xd9\xff\xda\0\0"
    without = plain[:-2]
    ending = "without end marker, as some phones write"
    text = "read, with a warning"
    return [
        make("jpeg_restarts.jpg", "restart markers", restarts),
        make("jpeg_fill_bytes.jpg", "fill bytes, markers in comments", filled),
        make(
            "jpeg_markers_in_comment.jpg",
            "fill bytes, markers in comments",
            plain[:late] + comment + plain[late:],
        ),
        make("jpeg_no_end.jpg", ending, without, result=text, warning="end marker"),
        make(
            "jpeg_no_end_zeros.jpg", ending, without + bytes(512), result=text, warning="end marker"
        ),
        make("jpeg_named_png.png", "named .png, .heic or .nef", plain),
        make("jpeg_named_heic.heic", "named .png, .heic or .nef", plain),
        make("jpeg_named_nef.nef", "named .png, .heic or .nef", plain),
    ]


def _with_fill_bytes(jpeg: bytes) -> bytes:
    """A JPEG with three FF more before each marker up to the scan."""
    out, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        (size,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
        out += b"\xff\xff\xff" + jpeg[at : at + 2 + size]
        at += 2 + size
    return out + b"\xff\xff\xff" + jpeg[at:]


def _damaged(plain: bytes) -> list[Kind]:
    """What is not whole."""
    refuse = functools.partial(Kind, right=REFUSE, refusal=CUT)
    row = "cut short, also where an end marker follows"
    scan = plain.index(b"\xff\xda") + 14
    half = plain[: (scan + len(plain)) // 2].rstrip(b"\xff")
    names = [f"jpeg_cut{percent}.jpg" for percent in range(30, 100, 10)]
    cut = [plain[: len(plain) * percent // 100] for percent in range(30, 100, 10)]
    gone = plain[:scan] + b"\0" * (len(plain) - scan - 2) + b"\xff\xd9"
    return [
        *(refuse(name, row, data) for name, data in zip(names, cut, strict=True)),
        refuse("jpeg_half_with_end.jpg", row, half + b"\xff\xd9"),
        refuse("jpeg_header_only.jpg", row, plain[:scan] + b"\xff\xd9"),
        Kind("jpeg_data_zeroed.jpg", "data overwritten by zeros", gone, right=EITHER),
    ]
