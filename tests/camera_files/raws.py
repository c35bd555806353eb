"""Made-up files of camera raw, and such as lack what they should hold."""

import io
import struct

import numpy as np
import tifffile

from . import scene as scenes
from .kinds import EITHER, REFUSE, Kind
from .scene import quantized

# A mosaic lacks two of three values; within the parts of the scene they hardly differ.
LIMIT = 6.0


def dng(
    image: np.ndarray, orientation: int = 1, thumbnail: np.ndarray | None = None, **tags: bytes
) -> bytes:
    """A Bayer raw file of a camera whose colours are sRGB's; a thumbnail is put first."""
    linear = quantized(scenes.to_linear(image), 16)
    mosaic = linear[..., 1].copy()  # R G / G B
    mosaic[::2, ::2] = linear[::2, ::2, 0]
    mosaic[1::2, 1::2] = linear[1::2, 1::2, 2]
    matrix = np.linalg.inv(scenes.xyz_matrix("sRGB"))
    fractions = [part for value in matrix.ravel() for part in (round(10000 * value), 10000)]
    camera = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Camera", True),
        (274, "H", 1, orientation, True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Maker Camera", True),  # UniqueCameraModel
        (50721, "2i", 9, tuple(fractions), True),  # ColorMatrix1
        (50728, "2I", 3, (1,) * 6, True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    sensor = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),  # CFAPattern
        (50717, "I", 1, 65535, True),  # WhiteLevel
    ]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        if thumbnail is not None:
            writer.write(
                thumbnail,
                photometric="rgb",
                subifds=1,
                subfiletype=1,
                extratags=camera,
                metadata=None,
            )
        camera = camera if thumbnail is None else []
        writer.write(mosaic, photometric="CFA", extratags=sensor + camera, metadata=None)
    return file.getvalue()


def raw_kinds(height: int, width: int) -> list[Kind]:
    """Developed, or refused in a line that says how; never the thumbnail instead."""
    seen = scenes.scene(height, width)
    laid = scenes.laid(seen, 6)
    small = quantized(1 - seen[::4, ::4])
    with_thumbnail = dng(seen, thumbnail=small)
    data_size = 2 * height * width
    refusal = "raw"
    developed = {"truth": 255 * seen, "limit": LIMIT, "result": "developed"}
    without = {"right": REFUSE, "refusal": refusal}
    row = "without its raw data"
    nikon = with_thumbnail.replace(b"Maker\0", b"NIKON\0", 1)
    version = struct.pack("<HHI", 50706, 1, 4)
    nikon = nikon.replace(version, struct.pack("<HHI", 50706 + 900, 1, 4), 1)
    return [
        Kind("raw.dng", "DNG", dng(seen), **developed),
        Kind("raw_turned.dng", "DNG, turned", dng(laid, 6), stored=255 * laid, **developed),
        Kind(
            "raw_thumbnail_first.dng",
            "DNG whose first picture is a thumbnail",
            with_thumbnail,
            **developed,
        ),
        Kind("raw_named.jpg", "named .jpg", with_thumbnail, **developed | {"right": EITHER}),
        Kind("raw_no_data.dng", row, with_thumbnail[:-data_size], **without),
        Kind("raw_half_data.dng", row, with_thumbnail[: -data_size // 2], **without),
        Kind("raw_no_data_nikon.nef", row, nikon[:-data_size], **without),
    ]
