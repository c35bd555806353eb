"""Colours of pictures between sRGB and what their files hold.

Pixels are (H, W, 3) uint8 or uint16, others where it says so. A profile is the content of an ICC
file. Colours of three curves and a matrix, as cameras' profiles and numbers of ITU-T H.273 state
them, are converted here, in float32: littlecms by way of libvips is 2 to 14 levels of 255 off at 16
bits. Other profiles, of tables, gray and CMYK, are littlecms' work.
"""

import functools
import struct
from collections.abc import Callable

import numpy as np
import pyvips

ICC = "icc-profile-data"  # libvips' name of the field
PQ, HLG = 16, 18  # transfers of H.273
Curve = Callable[[np.ndarray], np.ndarray]  # of [0, 1] to linear light of [0, 1]
Space = tuple[tuple[Curve, ...], np.ndarray]  # curves, and a matrix to XYZ of white D50
# Red, green and blue of H.273, table 2, of those whose white is D65. 2 stands for "unspecified".
_BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SMPTE170 = ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))
_PRIMARIES = {1: _BT709, 2: _BT709, 5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), 6: _SMPTE170}
_PRIMARIES |= {7: _SMPTE170, 9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))}
_PRIMARIES |= {12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))}
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_D65 = (0.3127, 0.3290)
_D65_TO_D50 = (  # by Bradford's cones
    (1.047886, 0.02291877, -0.0502161),
    (0.02958178, 0.99048352, -0.01707871),
    (-0.00925188, 0.01507261, 0.75167813),
)
# BT.709's and BT.2020's curves are cameras'; displays show such pictures as they show sRGB.
_LIKE_SRGB, _POWERS = (1, 2, 6, 11, 13, 14, 15), {4: 2.2, 5: 2.8, 8: 1.0}
_STEPS = 65536  # of the table that encodes; its index is the root of light, for the dark's sake
_ROWS = 64  # converted at a time


class ProfileError(ValueError):
    """A colour profile that is damaged, or does not fit the picture."""


def _parametric(*parameters: float) -> Curve:
    """ICC's parametric curve of g, a to f: (a x + b)^g + e from d on, c x + f below."""
    g, a, b, c, d, e, f = (*parameters, *(1.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0)[len(parameters) :])
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


_SRGB_CURVE = _parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _space(primaries, curve: Curve) -> Space:
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in (*primaries, _D65)]).T
    to_d65 = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    return (curve,) * 3, np.array(_D65_TO_D50) @ to_d65


def _srgb() -> Space:
    return _space(_BT709, _SRGB_CURVE)


def _s15(data: memoryview, start: int, count: int) -> list[float]:
    return [value / 65536 for value in struct.unpack_from(f">{count}i", data, start)]


def _curve(data: memoryview) -> Curve:
    """Of ICC's types curveType and parametricCurveType."""
    if data[:4] == b"curv":
        count = struct.unpack_from(">I", data, 8)[0]
        values = np.array(struct.unpack_from(f">{count}H", data, 12))
        if count < 2:
            return _parametric(values[0] / 256 if count else 1.0)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    kind = struct.unpack_from(">H", data, 8)[0]
    values = _s15(data, 12, (1, 3, 4, 5, 7)[kind])
    if kind in (1, 2):  # its c is what is added, from -b / a on, and what is there before
        g, a, b, more = (*values, 0.0)[:4]
        return _parametric(g, a, b, 0.0, -b / a, more, more)
    return _parametric(*values)


def _icc_tags(profile: bytes) -> dict[bytes, memoryview]:
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("its colour profile is damaged")
    count = min(struct.unpack_from(">I", profile, 128)[0], 200, (len(profile) - 132) // 12)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    view = memoryview(profile)
    return {tag: view[start : start + size] for tag, start, size in entries}


def icc_transfer(profile: bytes) -> int:
    """The transfer of H.273 that an ICC profile of version 4.4 states; 2 where it states none."""
    try:
        tag = _icc_tags(profile).get(b"cicp", memoryview(b""))
    except ProfileError:
        return 2
    return tag[9] if len(tag) >= 12 else 2


@functools.lru_cache(maxsize=8)
def _curves_and_matrix(profile: bytes) -> Space | None:
    """Of an RGB profile that is made of three curves and a matrix; None of another."""
    tags = _icc_tags(profile)
    if profile[16:24] != b"RGB XYZ " or any(tag[:3] in (b"A2B", b"D2B") for tag in tags):
        return None
    try:
        curves = tuple(_curve(tags[name + b"TRC"]) for name in (b"r", b"g", b"b"))
        columns = [_s15(tags[name + b"XYZ"], 8, 3) for name in (b"r", b"g", b"b")]
        levels = np.array([curve(np.linspace(0, 1, 64)) for curve in curves])
        np.linalg.inv(np.array(columns))
    except (KeyError, IndexError, struct.error, ArithmeticError, np.linalg.LinAlgError) as error:
        raise ProfileError("its colour profile is damaged") from error
    return (curves, np.array(columns).T) if np.isfinite(levels).all() else None


def _convert(pixels: np.ndarray, source: Space, target: Space) -> np.ndarray:
    """From one space of three curves and a matrix to another; colours outside are clipped."""
    most = np.iinfo(pixels.dtype).max
    levels = np.linspace(0, 1, most + 1)
    decode = [curve(levels).astype(np.float32) for curve in source[0]]
    ramp, roots = np.linspace(0, 1, _STEPS), np.linspace(0, 1, _STEPS) ** 2
    encode = []
    for curve in target[0]:  # inverted by a table that is dense in the dark
        encoded = np.interp(roots, np.maximum.accumulate(curve(ramp**2)), ramp**2)
        encode.append(np.round(encoded * most).astype(pixels.dtype))
    matrix = (np.linalg.inv(target[1]) @ source[1]).T.astype(np.float32)
    converted = np.empty_like(pixels)
    for row in range(0, len(pixels), _ROWS):
        block = pixels[row : row + _ROWS]
        light = np.stack([np.take(decode[i], block[..., i]) for i in range(3)], axis=-1) @ matrix
        np.sqrt(np.clip(light, 0, 1, out=light), out=light)
        index = (light * np.float32(_STEPS - 1) + np.float32(0.5)).astype(np.uint16)
        for i in range(3):
            converted[row : row + _ROWS, :, i] = np.take(encode[i], index[..., i])
    return converted


def forget_errors() -> None:
    """Clears libvips' text of errors.

    pyvips 3.2 fails at text that is no UTF-8, which libraries make of damaged files, and keeps it;
    then every later call fails at the same text, for good pictures, too.
    """
    pyvips.vips_lib.vips_error_clear()


_INTERPRETATIONS = {1: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("cmyk", "cmyk")}


def _by_littlecms(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """To sRGB; relative to the white, or as perceived where that is all that the profile offers.

    It takes two steps: in one, littlecms interpolates in a coarse table.
    """
    pixels = np.ascontiguousarray(pixels)  # libvips keeps no hold of it
    (height, width, channels), deep = pixels.shape, pixels.dtype == np.uint16
    forget_errors()
    samples, space = "ushort" if deep else "uchar", _INTERPRETATIONS[channels][deep]
    image = pyvips.Image.new_from_memory(pixels, width, height, channels, samples)
    image = image.copy(interpretation=space)
    image.set_type(pyvips.GValue.blob_type, ICC, profile)
    problem = None
    for intent in ("relative", "perceptual"):
        try:
            lab = image.icc_import(embedded=True, intent=intent)
            options = {"intent": intent, "depth": 16 if deep else 8}
            return lab.icc_export(output_profile="srgb", **options).numpy()
        except (pyvips.Error, UnicodeDecodeError) as error:
            forget_errors()
            problem = error
    raise ProfileError("its colour profile is damaged or does not fit") from problem


def _rgb_to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    own = _curves_and_matrix(profile)
    return _convert(pixels, own, _srgb()) if own else _by_littlecms(pixels, profile)


@functools.lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile is sRGB up to rounding: tried on a cube of colours."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 256, 3)
    return int(np.abs(_rgb_to_srgb(cube, profile).astype(int) - cube).max()) <= 1


def to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts (H, W, 1), (H, W, 3) or (H, W, 4), gray, RGB or CMYK, by their ICC profile.

    Returns:
      (H, W, 3) of the same type; the pixels themselves where the profile is sRGB's.

    Raises:
      ProfileError: it is damaged or does not fit.
    """
    _icc_tags(profile)
    if profile[16:20] != {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[pixels.shape[2]]:
        raise ProfileError("its colour profile is for another kind of picture")
    if pixels.shape[2] != 3:
        return _by_littlecms(pixels, profile)
    return pixels if _is_srgb(profile) else _rgb_to_srgb(pixels, profile)


def can_convert_to(profile: bytes) -> bool:
    """Whether `from_srgb` can take an RGB profile: one of curves and a matrix."""
    return _curves_and_matrix(profile) is not None


def from_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts (H, W, 3) sRGB to an RGB profile.

    Raises:
      ProfileError: the profile is damaged, or cannot be converted to.
    """
    own = _curves_and_matrix(profile)
    if own is None:
        raise ProfileError("its colour profile cannot be converted to")
    return pixels if _is_srgb(profile) else _convert(pixels, _srgb(), own)


def cicp_to_srgb(pixels: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """Converts (H, W, 3) by numbers of H.273; curves of BT.709 are taken as sRGB's.

    Raises:
      ProfileError: they are of HDR (PQ, HLG) or of a kind that is not supported.
    """
    if transfer in (PQ, HLG):
        raise ProfileError(f"HDR by {'PQ' if transfer == PQ else 'HLG'}")
    if primaries not in _PRIMARIES or transfer not in (*_LIKE_SRGB, *_POWERS):
        raise ProfileError(f"colours of primaries {primaries} and transfer {transfer}")
    if _PRIMARIES[primaries] == _BT709 and transfer in _LIKE_SRGB:
        return pixels
    curve = _SRGB_CURVE if transfer in _LIKE_SRGB else _parametric(_POWERS[transfer])
    return _convert(pixels, _space(_PRIMARIES[primaries], curve), _srgb())


def adobe_rgb_to_srgb(pixels: np.ndarray) -> np.ndarray:
    """Converts (H, W, 3) Adobe RGB (1998), whose curve is a power of 563/256."""
    return _convert(pixels, _space(_ADOBE_RGB, _parametric(563 / 256)), _srgb())


def without_premultiplication(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Divides (H, W, 3) by (H, W) alpha of the same type; what is fully transparent stays."""
    most = np.iinfo(pixels.dtype).max
    share = np.maximum(alpha, 1)[..., None].astype(np.float32) / most
    divided = np.minimum(np.round(pixels / share), most).astype(pixels.dtype)
    return np.where(alpha[..., None] > 0, divided, pixels)
