"""Camera raw files made by tifffile: of a camera whose colours are sRGB's."""

import pathlib

import numpy as np
import tifffile

# CIE XYZ to linear sRGB, D65: IEC 61966-2-1.
XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def write_dng(file: pathlib.Path, photo: np.ndarray, orientation: int = 1, extra=()) -> None:
    """A Bayer mosaic of (H, W, 3) uint8; `extra` are further tags, as tifffile takes them."""
    linear = np.uint16(np.round(np.where(
        photo <= 10, photo / 255 / 12.92, ((photo / 255 + 0.055) / 1.055) ** 2.4
    ) * 65535))  # fmt: skip
    mosaic = linear[..., 1].copy()  # R G / G B
    mosaic[::2, ::2] = linear[::2, ::2, 0]
    mosaic[1::2, 1::2] = linear[1::2, 1::2, 2]
    matrix = [part for value in XYZ_TO_RGB.ravel() for part in (round(10000 * value), 10000)]
    tags = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Camera", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),  # CFAPattern
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Maker Camera", True),  # UniqueCameraModel
        (50717, "I", 1, 65535, True),  # WhiteLevel
        (50721, "2i", 9, tuple(matrix), True),  # ColorMatrix1
        (50728, "2I", 3, (1,) * 6, True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
        *extra,
    ]
    tifffile.imwrite(file, mosaic, photometric="CFA", extratags=tags, metadata=None)
