"""Camera raw: recognised by what a file holds, and developed by LibRaw (the extra `raw`).

Development is a function of the file alone, the same from run to run, and depends on nothing that
the photograph shows. Raw whose data are not there is refused: LibRaw would give black, or what was
in the memory before.
"""

import calendar
import contextlib
import datetime
import importlib
import io
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from dped_jax.base.errors import InputError
from dped_jax.base.tiff_tags import SUB_DIRECTORIES, Directory, Tiff, extents

DEVELOPMENT: dict[str, Any] = {
    "use_camera_wb": True,
    "no_auto_bright": True,
    "adjust_maximum_thr": 0.0,  # else a bright spot would count as white
    "gamma": (2.4, 12.92),  # close to the curve of sRGB
    "output_bps": 8,
}  # output_color is sRGB, demosaicing AHD, by default

_STARTS = (
    *(b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb", b"II\x1a\0\0\0HEAPCCDR"),
    *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
)
_PHOTOMETRIC, _COMPRESSION, _DNG_VERSION = 262, 259, 50706
_RAW_PHOTOMETRICS = ((32803,), (34892,))  # a mosaic; linear
_RAW_COMPRESSIONS = ((32767,), (32769,), (34713,), (65535,))  # Sony's, Epson's, Nikon's, Pentax'


def is_raw(data: bytes) -> bool:
    """Whether a file is camera raw: its start says so, or, in TIFF, DNG's version or a mosaic."""
    if data.startswith(_STARTS) or data[4:12] == b"ftypcrx ":
        return True
    if data[8:12] in (b"CR\2\0", b"IIII", b"MMMM"):  # CR2; Phase One
        return data[:2] in (b"II", b"MM")
    return any(
        _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS
        or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS
        for tags in _directories(data)
    )


def develop(data: bytes, name: str) -> np.ndarray:
    """Develops camera raw to (H, W, 3) uint8 sRGB, upright; see `DEVELOPMENT`.

    Raises:
      InputError: LibRaw cannot read it, its data are cut off, or rawpy is not installed (then its
        cause is an ImportError).
    """
    for tags in _directories(data):  # LibRaw looks itself whether the data of other kinds are there
        is_mosaic = tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS
        if is_mosaic and any(end > len(data) for _, end in extents(tags)):
            raise InputError(f"{name}: raw file without its data, or cut short; copy it anew")
    with _opened(data, name) as photo:
        return np.ascontiguousarray(photo.postprocess(**DEVELOPMENT))


def size(data: bytes, name: str) -> tuple[int, int]:
    """Height and width of a raw file as it is developed, from its header; raises as `develop`."""
    with _opened(data, name) as photo:
        height, width = photo.sizes.iheight, photo.sizes.iwidth
        return (width, height) if photo.sizes.flip & 4 else (height, width)


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Any]:
    """The file as LibRaw knows it; errors of LibRaw become one line."""
    rawpy = _library(name)
    try:
        with rawpy.imread(io.BytesIO(data)) as photo:
            yield photo
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        problem = f"raw file that LibRaw cannot read ({reason})"
        raise InputError(f"{name}: {problem}; develop it to JPEG or TIFF") from error


def development() -> str:
    """How raw files are developed, and by what."""
    rawpy = _library("camera raw")
    version = ".".join(map(str, rawpy.libraw_version))
    settings = ", ".join(f"{name}={value}" for name, value in DEVELOPMENT.items())
    return f"rawpy {rawpy.__version__}, LibRaw {version}: {settings}, sRGB"


def _library(name: str) -> types.ModuleType:
    try:
        return importlib.import_module("rawpy")
    except ImportError as error:
        raise InputError(f"{name}: camera raw needs another library: pip install rawpy") from error


def capture_time(data: bytes) -> tuple[float, float] | None:
    """The time that LibRaw finds in raw files without EXIF, as old formats; else None."""
    if not is_raw(data):
        return None
    try:
        with _library("").imread(io.BytesIO(data)) as photo:
            stamp = photo.other.timestamp  # LibRaw takes the camera's clock for a local time
        if not isinstance(stamp, datetime.datetime):
            stamp = datetime.datetime.fromtimestamp(stamp)
    except Exception:  # not installed, too old, or the file is damaged
        return None
    seconds = calendar.timegm(stamp.timetuple())
    return (float(seconds), float("nan")) if seconds > 86400 else None


def _directories(data: bytes) -> list[Directory]:
    """The directories of a TIFF, those below others too; none of other files."""
    try:
        tiff = Tiff(data)
    except ValueError:
        return []
    pages = tiff.directories()
    return [*pages, *(below for tags in pages for below in tiff.below(tags, SUB_DIRECTORIES))]
