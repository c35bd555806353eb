import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from dped_jax.base import color

# Red, green, blue to XYZ at white D65 (SMPTE EG 432-1, Adobe RGB (1998), BT.2020, IEC 61966-2-1).
D65_MATRICES = {
    "p3": [[0.486571, 0.265668, 0.198217], [0.228975, 0.691739, 0.079287], [0, 0.045113, 1.043944]],
    "adobe": [
        [0.5766690, 0.1855582, 0.1882286],
        [0.2973450, 0.6273636, 0.0752915],
        [0.0270314, 0.0706889, 0.9913375],
    ],
    "bt2020": [
        [0.6369580, 0.1446169, 0.1688810],
        [0.2627002, 0.6779981, 0.0593017],
        [0, 0.0280727, 1.0609851],
    ],
    "srgb": [
        [0.4123908, 0.3575843, 0.1804808],
        [0.2126390, 0.7151687, 0.0721923],
        [0.0193308, 0.1191948, 0.9505322],
    ],
}
D50 = (0.9642, 1, 0.8249)
BRADFORD = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
ADOBE_GAMMA = 563 / 256


def from_srgb_curve(x):
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def to_srgb_curve(x):
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def expected(pixels, space):
    """By the formulas of the standards, in the integer levels of the pixels."""
    most = np.iinfo(pixels.dtype).max
    x = pixels / most
    light = x**ADOBE_GAMMA if space == "adobe" else from_srgb_curve(x)
    matrix = np.linalg.inv(D65_MATRICES["srgb"]) @ np.array(D65_MATRICES[space])
    return to_srgb_curve(np.clip(light @ matrix.T, 0, 1)) * most


def s15(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc(space, curve="parametric", kind=b"RGB "):
    """A profile of three curves and a matrix, or of one curve for gray."""
    if curve == "table":
        levels = from_srgb_curve(np.linspace(0, 1, 1024))
        trc = b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *np.round(levels * 65535).astype(int))
    elif space == "adobe":
        trc = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)
    else:
        parameters = s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        trc = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + parameters
    matrix, cones = np.array(D65_MATRICES[space]), np.array(BRADFORD)
    gains = (cones @ D50) / (cones @ matrix.sum(axis=1))
    columns = (np.linalg.inv(cones) @ np.diag(gains) @ cones @ matrix).T
    tags = {b"wtpt": b"XYZ \0\0\0\0" + s15(*D50)}
    if kind == b"GRAY":
        tags[b"kTRC"] = trc
    else:
        names = (b"r", b"g", b"b")
        tags |= {name + b"TRC": trc for name in names}
        tags |= {
            name + b"XYZ": b"XYZ \0\0\0\0" + s15(*column)
            for name, column in zip(names, columns, strict=True)
        }
    start, entries, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        entries += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x04\x20\0\0", b"mntr" + kind + b"XYZ ", b"acsp"
    head[68:80] = s15(*D50)
    profile = head + struct.pack(">I", len(tags)) + entries + body
    profile[:4] = struct.pack(">I", len(profile))
    return bytes(profile)


def colors(dtype, darkest=1):
    most = np.iinfo(dtype).max
    values = np.random.default_rng(0).integers(0, most + 1, (100, 130, 3))
    return (values // darkest).astype(dtype)


@pytest.mark.parametrize("darkest", [1, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("space", ["p3", "adobe", "bt2020"])
def test_profile_of_curves_and_matrix_as_by_formula(space, dtype, darkest):
    pixels = colors(dtype, darkest)
    converted = color.to_srgb(pixels, icc(space))
    assert converted.dtype == dtype
    # Rounding, and the profile's last digits, of three products (3e-5 of light, slope 12.92).
    tolerance = 0.5 + 12.92 * 3e-5 * np.iinfo(dtype).max
    np.testing.assert_allclose(converted, expected(pixels, space), atol=tolerance, rtol=0)


def test_curve_of_a_table_is_that_of_its_formula():
    pixels = colors(np.uint16)
    difference = color.to_srgb(pixels, icc("p3", "table")).astype(int)
    difference -= color.to_srgb(pixels, icc("p3"))
    # Between two of 1024 entries a line is 1/8 · 2.4 · 1.4 / 1023² of light off, times 12.92.
    assert np.abs(difference).max() <= 2 + 65535 * 12.92 * (0.42 / 1023**2 + 1 / 65535)


@pytest.mark.parametrize("space", ["p3", "adobe"])
def test_profile_as_littlecms_converts_it(space):
    pixels = colors(np.uint8)
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc(space))),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.NOOPTIMIZE,
    )
    theirs = np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))
    assert np.abs(color.to_srgb(pixels, icc(space)).astype(int) - theirs).max() <= 1


def test_srgb_profile_leaves_pixels_alone():
    pixels = colors(np.uint8)
    for profile in (
        icc("srgb"),
        icc("srgb", "table"),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ):
        assert color.to_srgb(pixels, profile) is pixels
        assert color.from_srgb(pixels, profile) is pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("space", ["p3", "adobe"])
def test_back_to_the_profile_of_a_wider_gamut(space, dtype):
    pixels = colors(dtype)
    most = np.iinfo(dtype).max
    light = from_srgb_curve(pixels / most)
    light = light @ (np.linalg.inv(D65_MATRICES[space]) @ np.array(D65_MATRICES["srgb"])).T
    light = np.clip(light, 0, 1)  # Adobe RGB's red and blue are sRGB's: -0 is there
    encoded = light ** (1 / ADOBE_GAMMA) if space == "adobe" else to_srgb_curve(light)
    assert np.abs(encoded * most - pixels).max() > most // 10
    # A power of 1 / 2.2 is steep in the dark: there, 3e-5 of light are 2 levels of 255.
    tolerance = np.where(light > 0.001, 0.5 + 12.92 * 3e-5 * most, 0.5 + 0.01 * most)
    wide = color.from_srgb(pixels, icc(space))
    assert (np.abs(wide - encoded * most) <= tolerance).all()


def test_gray_profile():
    levels = np.arange(0, 256, dtype=np.uint8).reshape(1, 256, 1)
    converted = color.to_srgb(levels, icc("adobe", kind=b"GRAY"))
    truth = to_srgb_curve((levels / 255) ** ADOBE_GAMMA) * 255
    assert converted.shape == (1, 256, 3)
    assert np.abs(converted - truth).max() <= 1.5  # by way of 8-bit littlecms


@pytest.mark.parametrize(
    ("primaries", "transfer", "space"), [(12, 13, "p3"), (9, 14, "bt2020"), (9, 1, "bt2020")]
)
def test_numbers_of_h273(primaries, transfer, space):
    pixels = colors(np.uint16)
    converted = color.cicp_to_srgb(pixels, primaries, transfer)
    tolerance = 0.5 + 12.92 * 2e-5 * 65535
    np.testing.assert_allclose(converted, expected(pixels, space), atol=tolerance, rtol=0)


def test_adobe_rgb():
    pixels = colors(np.uint16)
    converted = color.adobe_rgb_to_srgb(pixels)
    tolerance = 0.5 + 12.92 * 2e-5 * 65535
    np.testing.assert_allclose(converted, expected(pixels, "adobe"), atol=tolerance, rtol=0)


def test_numbers_of_srgb_leave_pixels_alone():
    pixels = colors(np.uint8)
    for primaries, transfer in ((1, 13), (1, 1), (2, 2), (1, 6)):
        assert color.cicp_to_srgb(pixels, primaries, transfer) is pixels


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (17, "transfer 17")])
def test_numbers_that_are_refused(transfer, name):
    with pytest.raises(color.ProfileError, match=name):
        color.cicp_to_srgb(colors(np.uint8), 9, transfer)


@pytest.mark.parametrize("cut", [b"", b"no profile" * 40, icc("p3")[:200], icc("p3")[:-60]])
def test_damaged_profile(cut):
    with pytest.raises(color.ProfileError):
        color.to_srgb(colors(np.uint8), cut)


def test_profile_of_another_kind_of_picture():
    for channels, kind in ((1, b"RGB "), (3, b"GRAY"), (4, b"RGB ")):
        with pytest.raises(color.ProfileError, match="another kind"):
            color.to_srgb(np.zeros((2, 2, channels), np.uint8), icc("p3", kind=kind))


def test_colors_that_were_multiplied_by_alpha():
    pixels = np.full((1, 2, 3), 60, np.uint8)
    alpha = np.array([[120, 0]], np.uint8)
    divided = color.without_premultiplication(pixels, alpha)
    assert divided[0].tolist() == [[128] * 3, [60] * 3]  # 60 · 255 / 120 = 127.5
