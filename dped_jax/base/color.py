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
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D65 = (0.3127, 0.3290)
# Red, green, blue and white of H.273, table 2; 2 stands for "unspecified".
_PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
}
_PRIMARIES |= {2: _PRIMARIES[1], 7: _PRIMARIES[6]}
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
# g, a, b, c, d of ICC's parametric curves: (a x + b)^g from d on, c x below.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# BT.709's and BT.2020's curves are cameras'; displays show such pictures as they show sRGB.
_TRANSFERS = dict.fromkeys((1, 2, 6, 11, 13, 14, 15), _SRGB_CURVE)
_TRANSFERS |= {4: (2.2, 1, 0, 0, 0), 5: (2.8, 1, 0, 0, 0), 8: (1, 1, 0, 0, 0)}
_STEPS = 65536  # of the table that encodes; its index is the root of light, for the dark's sake
_ROWS = 64  # converted at a time


class ProfileError(ValueError):
    """A colour profile that is damaged, or does not fit the picture."""


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _matrix(red, green, blue, white) -> np.ndarray:
    """From linear RGB to XYZ, adapted to D50."""
    primaries = np.array([_xyz(*color) for color in (red, green, blue)]).T
    primaries = primaries * np.linalg.solve(primaries, _xyz(*white))
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ _xyz(*white)))
    return np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ primaries


def _parametric(*parameters: float) -> Curve:
    """ICC's parametric curve of 5 or 7 parameters."""
    g, a, b, c, d, e, f = (*parameters, 0, 0)[:7]

    def curve(x: np.ndarray) -> np.ndarray:
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)

    return curve


def _s15(data: bytes, start: int, count: int) -> list[float]:
    return [value / 65536 for value in struct.unpack_from(f">{count}i", data, start)]


def _curve(data: bytes) -> Curve:
    """Of ICC's types curveType and parametricCurveType."""
    if data[:4] == b"curv":
        count = struct.unpack_from(">I", data, 8)[0]
        values = np.array(struct.unpack_from(f">{count}H", data, 12)) if count else np.ones(1)
        if count < 2:
            return _parametric(float(values[0]) / 256 if count else 1.0, 1, 0, 0, 0)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    kind = struct.unpack_from(">H", data, 8)[0]
    values = _s15(data, 12, (1, 3, 4, 5, 7)[kind])
    g, a, b, c, d, e, f = values + [1.0, 0, 0, 0, 0, 0, 0][len(values) :]
    if kind in (1, 2):  # c is what is added, from -b / a on, and what is there before
        return _parametric(g, a, b, 0, -b / a, c if kind == 2 else 0, c if kind == 2 else 0)
    return _parametric(g, a, b, c, d, e, f)


def _icc_tags(profile: bytes) -> dict[bytes, bytes]:
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("its colour profile is damaged")
    count = min(struct.unpack_from(">I", profile, 128)[0], 200, (len(profile) - 132) // 12)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return {tag: profile[start : start + size] for tag, start, size in entries}


def icc_transfer(profile: bytes) -> int:
    """The transfer of H.273 that an ICC profile of version 4.4 states; 2 where it states none."""
    try:
        tag = _icc_tags(profile).get(b"cicp", b"")
    except ProfileError:
        return 2
    return tag[9] if len(tag) >= 12 else 2


@functools.lru_cache(maxsize=8)
def _curves_and_matrix(profile: bytes) -> tuple[tuple[Curve, ...], np.ndarray] | None:
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


def _srgb() -> tuple[tuple[Curve, ...], np.ndarray]:
    return (_parametric(*_SRGB_CURVE),) * 3, _matrix(*_PRIMARIES[1])


def _convert(pixels: np.ndarray, source, target) -> np.ndarray:
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


def _image(pixels: np.ndarray, interpretation: str, profile: bytes) -> pyvips.Image:
    """Pixels as libvips takes them, which keeps no hold of them: the caller must."""
    height, width, channels = pixels.shape
    kind = "ushort" if pixels.dtype == np.uint16 else "uchar"
    image = pyvips.Image.new_from_memory(pixels, width, height, channels, kind)
    image = image.copy(interpretation=interpretation)
    image.set_type(pyvips.GValue.blob_type, ICC, profile)
    return image


_INTERPRETATIONS = {1: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("cmyk", "cmyk")}


def _by_littlecms(pixels: np.ndarray, profile: bytes, inverse: bool = False) -> np.ndarray:
    """To sRGB, or from it; relative to the white, or as perceived where that is all it offers.

    It takes two steps: in one, littlecms interpolates in a coarse table.
    """
    pixels = np.ascontiguousarray(pixels)
    deep = pixels.dtype == np.uint16
    forget_errors()
    image = _image(pixels, _INTERPRETATIONS[pixels.shape[2]][deep], profile)
    problem = None
    for intent in ("relative", "perceptual"):
        try:
            options = {"intent": intent, "depth": 16 if deep else 8}
            if not inverse:
                lab = image.icc_import(embedded=True, intent=intent)
                return lab.icc_export(output_profile="srgb", **options).numpy()
            lab = image.icc_import(input_profile="srgb", embedded=False, intent=intent).copy()
            lab.set_type(pyvips.GValue.blob_type, ICC, profile)
            return lab.icc_export(**options).numpy()
        except (pyvips.Error, UnicodeDecodeError) as error:
            forget_errors()
            problem = error
    raise ProfileError("its colour profile is damaged or does not fit") from problem


def _cube() -> np.ndarray:
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 256, 3)


def _rgb_to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    own = _curves_and_matrix(profile)
    return _convert(pixels, own, _srgb()) if own else _by_littlecms(pixels, profile)


@functools.lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile is sRGB up to rounding: tried on a cube of colours.

    Raises:
      ProfileError: it is damaged.
    """
    difference = _rgb_to_srgb(_cube(), profile).astype(int) - _cube()
    return int(np.abs(difference).max()) <= 1


def to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts pixels by their ICC profile.

    Args:
      pixels: (H, W, 1), (H, W, 3) or (H, W, 4) for gray, RGB and CMYK, uint8 or uint16.
      profile: of the same kind.

    Returns:
      (H, W, 3) of the same type; the pixels themselves where the profile is sRGB's.

    Raises:
      ProfileError: it is damaged or does not fit.
    """
    _icc_tags(profile)
    if profile[16:20] != {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[pixels.shape[2]]:
        raise ProfileError("its colour profile is for another kind of picture")
    if pixels.shape[2] == 3:
        return pixels if is_srgb(profile) else _rgb_to_srgb(pixels, profile)
    return _by_littlecms(pixels, profile)


def from_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts (H, W, 3) sRGB to an RGB profile, by which it can be shown.

    Raises:
      ProfileError: the profile is damaged, or cannot be converted to.
    """
    if is_srgb(profile):
        return pixels
    own = _curves_and_matrix(profile)
    return _convert(pixels, _srgb(), own) if own else _by_littlecms(pixels, profile, inverse=True)


@functools.lru_cache(maxsize=8)
def can_convert_to(profile: bytes) -> bool:
    """Whether `from_srgb` can take an RGB profile."""
    try:
        from_srgb(_cube()[:1], profile)
    except ProfileError:
        return False
    return True


def cicp_to_srgb(pixels: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """Converts (H, W, 3) by numbers of H.273; curves of BT.709 are taken as sRGB's.

    Raises:
      ProfileError: they are of HDR (PQ, HLG) or of a kind that is not supported.
    """
    if transfer in (PQ, HLG):
        raise ProfileError(f"HDR by {'PQ' if transfer == PQ else 'HLG'}")
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise ProfileError(f"colours of primaries {primaries} and transfer {transfer}")
    if _PRIMARIES[primaries] == _PRIMARIES[1] and _TRANSFERS[transfer] == _SRGB_CURVE:
        return pixels
    curves = (_parametric(*_TRANSFERS[transfer]),) * 3
    return _convert(pixels, (curves, _matrix(*_PRIMARIES[primaries])), _srgb())


def adobe_rgb_to_srgb(pixels: np.ndarray) -> np.ndarray:
    """Converts (H, W, 3) Adobe RGB (1998), whose curve is a power of 563/256."""
    curves = (_parametric(563 / 256, 1, 0, 0, 0),) * 3
    return _convert(pixels, (curves, _matrix(*_ADOBE_RGB)), _srgb())


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Converts (H, W, 3) float CIELAB of D50, L in [0, 100], to sRGB in [0, 1]."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = _D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    light = np.clip(xyz @ np.linalg.inv(_matrix(*_PRIMARIES[1])).T, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def without_premultiplication(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Divides (H, W, 3) by (H, W) alpha of the same type; what is fully transparent stays."""
    most = np.iinfo(pixels.dtype).max
    share = np.maximum(alpha, 1)[..., None].astype(np.float32) / most
    divided = np.minimum(np.round(pixels / share), most).astype(pixels.dtype)
    return np.where(alpha[..., None] > 0, divided, pixels)
