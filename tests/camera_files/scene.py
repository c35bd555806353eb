"""The scene that all made-up files show, what is done to it by definition, and ICC profiles.

A scene is (H, W, 3) float64 sRGB of [0, 1], upright. Its four quadrants differ in colour, and all
of it gets darker to the right and brighter downwards: turning, mirroring, another colour space and
missing rows all change the means of its parts. All formulas are those of the standards named.
"""

import struct

import numpy as np

# CIE XYZ of the primaries, with white: IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998), BT.2020.
CHROMATICITIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    "BT.2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
}
D65, D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.03]])
ADOBE_GAMMA = 563 / 256
# Affine, so that every interpolation in a table is exact: L, a and b of C, M, Y and K of [0, 1].
LAB_OF_INKS = np.array([[-25, -35, -8, -32], [-35, 60, -5, -20], [-40, -5, 70, -25]], float)
LAB_OF_RGB = np.array([[35, 50, 15], [55, -65, 10], [40, 35, -75]], float)


def scene(height: int = 104, width: int = 128, *, pale: bool = False) -> np.ndarray:
    """The scene, (H, W, 3); a pale one has colours that inks can print."""
    colours = [[(200, 70, 60), (60, 165, 80)], [(60, 85, 190), (225, 200, 80)]]
    if pale:
        colours = [[(190, 150, 150), (150, 185, 160)], [(150, 155, 190), (205, 200, 165)]]
    quadrants = np.array(colours) / 255
    rows = (np.arange(height) >= height * 0.45 // 16 * 16).astype(int)
    columns = (np.arange(width) >= width * 0.65 // 16 * 16).astype(int)
    right = np.linspace(1, 0.8, width)[None, :, None]
    down = np.linspace(0.95, 1.05, height)[:, None, None]
    y, x = np.ogrid[:height, :width]
    texture = 1 + 0.05 * np.sin(1.7 * x) * np.sin(1.3 * y)
    return quadrants[rows[:, None], columns[None, :]] * right * down * texture[..., None]


def gray_scene(height: int = 104, width: int = 128) -> np.ndarray:
    """The scene without colours, three equal channels."""
    return np.repeat(scene(height, width).mean(-1, keepdims=True), 3, axis=-1)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """What is seen, of what is stored, by EXIF's Orientation (CIPA DC-008, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image


def laid(image: np.ndarray, orientation: int) -> np.ndarray:
    """What is stored, of what is seen."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return np.ascontiguousarray(turned(image, inverse))


def quantized(image: np.ndarray, bits: int = 8) -> np.ndarray:
    """Integers of so many bits, in uint8 or uint16."""
    levels = np.round(np.clip(image, 0, 1) * (2**bits - 1))
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def to_linear(encoded: np.ndarray) -> np.ndarray:
    """The curve of sRGB undone, IEC 61966-2-1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def from_linear(linear: np.ndarray) -> np.ndarray:
    """The curve of sRGB."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def xyz_matrix(space: str) -> np.ndarray:
    """Columns are the XYZ of the primaries, whose sum is D65's."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in CHROMATICITIES[space]]).T
    return columns * np.linalg.solve(columns, D65)


def linear_in(space: str, image: np.ndarray) -> np.ndarray:
    """Linear light in the primaries of a space, of a scene."""
    return to_linear(image) @ (np.linalg.inv(xyz_matrix(space)) @ xyz_matrix("sRGB")).T


def in_space(space: str, image: np.ndarray) -> np.ndarray:
    """A scene as Display P3, Adobe RGB or sRGB write it."""
    linear = np.clip(linear_in(space, image), 0, 1)
    return linear ** (1 / ADOBE_GAMMA) if space == "Adobe RGB" else from_linear(linear)


def in_pq(space: str, image: np.ndarray) -> np.ndarray:
    """A scene whose white has 203 cd/m2, by SMPTE ST 2084."""
    light = (np.clip(linear_in(space, image), 0, 1) * 203 / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * light) / (1 + 2392 / 128 * light)) ** (2523 / 32)


def in_hlg(space: str, image: np.ndarray) -> np.ndarray:
    """A scene whose white is at 0.75 of the signal, by the curve of ARIB STD-B67."""
    light = np.clip(linear_in(space, image), 0, 1) * 0.265
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = a * np.log(np.maximum(12 * light - b, b)) + c
    return np.where(light <= 1 / 12, np.sqrt(3 * light), bright)


def lab(image: np.ndarray) -> np.ndarray:
    """CIELAB under D50 of a scene."""
    xyz = to_linear(image) @ (adaptation() @ xyz_matrix("sRGB")).T / D50
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def inks(image: np.ndarray) -> np.ndarray:
    """C, M, Y, K of [0, 1] that `ink_profile` makes a pale scene of; K is 0.05."""
    rest = lab(image) - [100, 0, 0] - 0.05 * LAB_OF_INKS[:, 3]
    cmy = rest @ np.linalg.inv(LAB_OF_INKS[:, :3]).T
    assert cmy.min() >= 0
    assert cmy.max() <= 1
    return np.concatenate([cmy, np.full_like(cmy[..., :1], 0.05)], axis=-1)


def table_rgb(image: np.ndarray) -> np.ndarray:
    """R, G, B of [0, 1] that `rgb_table_profile` makes a scene of."""
    rgb = lab(image) @ np.linalg.inv(LAB_OF_RGB).T
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    return rgb


def adaptation() -> np.ndarray:
    """Bradford's, of D65 to D50."""
    return np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2.4 (ICC.1:2001-04)."""
    text = b"made up\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0" + text, b"wtpt": _xyz(D50)} | tags
    body, table, offset = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = b"\0\0\0\0\x02\x40\0\0" + kind + space + connection
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    head = struct.pack(">I", 128 + len(table) + len(body)) + (head + bytes(128))[:124]
    return head + table + body


def _fixed(values: np.ndarray) -> bytes:
    return np.round(np.asarray(values) * 65536).astype(">i4").tobytes()


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(space: str) -> bytes:
    if space == "Adobe RGB":
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)
    table = np.round(to_linear(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()


def profile(space: str) -> bytes:
    """An ICC profile of primaries and curves."""
    columns = (adaptation() @ xyz_matrix(space)).T
    tags = {name + b"XYZ": _xyz(c) for name, c in zip((b"r", b"g", b"b"), columns, strict=True)}
    tags |= {name + b"TRC": _curve(space) for name in (b"r", b"g", b"b")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float = 2.2) -> bytes:
    """An ICC profile of gray."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def _table(matrix: np.ndarray, offset: np.ndarray) -> bytes:
    """A2B0 of type lut16 with two points on every axis."""
    inputs = matrix.shape[1]
    corners = np.stack(np.meshgrid(*[[0, 1]] * inputs, indexing="ij"), -1).reshape(-1, inputs)
    values = corners @ matrix.T + offset
    encoded = np.round([65280 / 100, 256, 256] * (values + np.array([0, 128, 128]))).astype(">u2")
    ramp = np.array([0, 65535], ">u2").tobytes()
    head = b"mft2\0\0\0\0" + bytes([inputs, 3, 2, 0]) + _fixed(np.eye(3)) + struct.pack(">HH", 2, 2)
    return head + inputs * ramp + encoded.tobytes() + 3 * ramp


def ink_profile(padding: int = 0) -> bytes:
    """A profile of CMYK by a table, as of print; so many bytes of it say nothing."""
    tags = {b"A2B0": _table(LAB_OF_INKS, np.array([100, 0, 0]))}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags | {b"pad ": b"data\0\0\0\0" + bytes(padding)})


def rgb_table_profile(padding: int = 0) -> bytes:
    """A profile of RGB by a table alone, for perceptual conversion alone."""
    tags = {b"A2B0": _table(LAB_OF_RGB, np.zeros(3))}
    return _profile(b"scnr", b"RGB ", b"Lab ", tags | {b"pad ": b"data\0\0\0\0" + bytes(padding)})
