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
import struct
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from .errors import InputError

# Names of files that LibRaw 0.22 reads: in a folder, they are photographs.
SUFFIXES = (
    ".3fr", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".cs1", ".dc2", ".dcr", ".dcs",
    ".dng", ".drf", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kc2", ".kdc", ".mdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".pxn", ".raf", ".raw", ".rdc",
    ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".sti", ".x3f",
)  # fmt: skip
DEVELOPMENT: dict[str, Any] = {
    "use_camera_wb": True,
    "no_auto_bright": True,
    "adjust_maximum_thr": 0.0,  # else a bright spot would count as white
    "gamma": (2.4, 12.92),  # close to the curve of sRGB
    "output_bps": 8,
}  # output_color is sRGB, demosaicing AHD, by default

_STARTS = (
    b"FUJIFILMCCD-RAW",
    b"\0MRM",
    b"FOVb",
    b"II\x1a\0\0\0HEAPCCDR",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
)
_SIZE_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 13: 4}  # those of TIFF that are of use here
_PHOTOMETRIC, _DNG_VERSION, _SUB_DIRECTORIES = 262, 50706, 330
_RAW_PHOTOMETRICS = ((32803,), (34892,))  # a mosaic; linear
_EXTENTS = ((273, 279), (324, 325))  # where strips and tiles begin, and their lengths
_MOST_DIRECTORIES, _MOST_BYTES = 64, 1 << 20  # of one file; of one tag


def is_raw(data: bytes) -> bool:
    """Whether a file is camera raw: its start says so, or, in TIFF, DNG's version or a mosaic."""
    if data.startswith(_STARTS) or data[4:12] == b"ftypcrx ":
        return True
    if data[8:12] in (b"CR\2\0", b"IIII", b"MMMM"):  # CR2; Phase One
        return bool(tiff_order(data))
    return any(
        _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS
        for tags in _directories(data)
    )


def develop(data: bytes, name: str, *, max_megapixels: float = 200.0) -> np.ndarray:
    """Develops camera raw with the camera's white balance, upright; see `DEVELOPMENT`.

    Args:
      data: the file.
      name: of it, for messages.
      max_megapixels: more are refused.

    Returns:
      (H, W, 3) uint8, sRGB.

    Raises:
      InputError: LibRaw cannot read it, its data are cut off, it is too large, or rawpy is not
        installed (then its cause is an ImportError).
    """
    with _opened(data, name) as photo:
        width, height = photo.sizes.width, photo.sizes.height
        if width * height > max_megapixels * 1e6:
            raise InputError(
                f"{name}: {width}x{height} pixels: more than {max_megapixels:g} megapixels:"
                " reduce it"
            )
        if not _has_data(data):
            raise InputError(f"{name}: raw file without its data, or cut short: copy it anew")
        return np.ascontiguousarray(photo.postprocess(**DEVELOPMENT))


def size(data: bytes, name: str) -> tuple[int, int]:
    """Height and width of a raw file as it is developed, from its header; raises as `develop`."""
    with _opened(data, name) as photo:
        height, width = photo.sizes.iheight, photo.sizes.iwidth
        return (width, height) if photo.sizes.flip & 4 else (height, width)


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Any]:
    """The file as LibRaw knows it; errors of LibRaw become one line."""
    rawpy = library(name)
    try:
        with rawpy.imread(io.BytesIO(data)) as photo:
            yield photo
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise InputError(
            f"{name}: raw file that LibRaw cannot read ({reason}): develop it to JPEG or TIFF"
        ) from error


def development() -> str:
    """How raw files are developed, and by what."""
    rawpy = library("camera raw")
    version = ".".join(map(str, rawpy.libraw_version))
    settings = ", ".join(f"{name}={value}" for name, value in DEVELOPMENT.items())
    return f"rawpy {rawpy.__version__}, LibRaw {version}: {settings}, sRGB"


def library(name: str) -> types.ModuleType:
    """The package rawpy; where it is not installed, an InputError about the file of this name."""
    try:
        return importlib.import_module("rawpy")
    except ImportError as error:
        raise InputError(
            f"{name}: camera raw photos need another library: pip install rawpy"
        ) from error


def capture_time(data: bytes) -> tuple[float, float] | None:
    """The time that LibRaw finds in raw files without EXIF, as old formats; else None."""
    if not is_raw(data):
        return None
    try:
        rawpy = library("")
        with rawpy.imread(io.BytesIO(data)) as photo:
            stamp = photo.other.timestamp  # LibRaw takes the camera's clock for a local time
    except Exception:  # not installed, too old, or the file is damaged
        return None
    if not isinstance(stamp, datetime.datetime):
        stamp = datetime.datetime.fromtimestamp(stamp)
    seconds = calendar.timegm(stamp.timetuple())
    return (float(seconds), float("nan")) if seconds > 86400 else None


def tiff_order(data: bytes) -> str:
    """Order of bytes, as `struct` writes it, of a file laid out as TIFF is; "" of others."""
    marks = {b"II*\0": "<", b"MM\0*": ">", b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}
    return marks.get(data[:4], "")


def _directories(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """The whole numbers of every directory of a TIFF, those below others too, by tag."""
    order = tiff_order(data)
    places = list(struct.unpack_from(order + "I", data, 4)) if order and len(data) >= 8 else []
    seen: set[int] = set()
    while places and len(seen) < _MOST_DIRECTORIES:
        place = places.pop(0)
        if place in seen or not 8 <= place <= len(data) - 2:
            continue
        seen.add(place)
        (count,) = struct.unpack_from(order + "H", data, place)
        count = min(count, (len(data) - place - 2) // 12)
        tags = {}
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
            width = _SIZE_OF_TYPE.get(kind, 0)
            length *= width
            if not 0 < length <= _MOST_BYTES:
                continue
            start = (
                entry + 8 if length <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            )
            letter = {1: "B", 2: "H", 4: "I"}[width]
            if start + length <= len(data):
                tags[tag] = struct.unpack_from(f"{order}{length // width}{letter}", data, start)
        yield tags
        following = place + 2 + 12 * count
        if following + 4 <= len(data):
            places.extend(struct.unpack_from(order + "I", data, following))
        places.extend(tags.get(_SUB_DIRECTORIES, ()))


def _has_data(data: bytes) -> bool:
    """Whether what a TIFF says of its raw data lies inside the file; LibRaw checks the others."""
    for tags in _directories(data):
        if tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS:
            for starts, lengths in _EXTENTS:
                for start, length in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False):
                    if start + length > len(data):
                        return False
    return True
