"""When a photograph was taken, by the clock of the camera, whatever the format of its file.

The first date that can be read counts: EXIF's of taking, then of digitising, also where a program
put them into the first directory, then those of XMP. Dates of zeros and blanks are passed over, and
so is EXIF's date of change. Nothing is decoded, and no optional library is needed; where LibRaw is
installed, it is asked about raw files without EXIF.
"""

import calendar
import datetime
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

from dped_jax.base import png_chunks, raw
from dped_jax.base.tiff_tags import EXIF, Directory, Tiff

# Tags of EXIF: a date, the fraction of its second, its zone.
_DATES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))
_ZONES = (0x9011, 0x9010, 0x9012)  # some programs write only that of the date of change
_XMP_DATES = ("exif:DateTimeOriginal", "photoshop:DateCreated", "x[am]p:CreateDate")
_TIFF = (re.compile(rb"II\*\0"), re.compile(rb"MM\0\*"))
# What is before a block of EXIF in JPEG; in WebP; in CR3; in HEIF and AVIF, which have zeros alone.
_BEFORE = re.compile(rb".*(Exif\0\0|EXIF.{4}|CMT[12]|\0{4})", re.DOTALL)
_BLOCKS, _LONGEST = 8, 1 << 20  # looked at, of one file; bytes of one
_DATE = re.compile(
    r"\s*(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"\s*(Z|[+-]\d\d:?\d\d)?"
)
_ZONE = re.compile(r"\s*(?:(Z)|([+-])(\d\d):?(\d\d))")

Moment = tuple[float, float]


def capture_time(source: Path | bytes) -> Moment | None:
    """Reads when a photograph was taken.

    Returns:
      Seconds since 1970 as the camera's clock showed them, and the clock's zone in seconds east of
      UTC, NaN where the file does not say; None where it has no date, is damaged or no photograph.

    Raises:
      OSError: the file cannot be read.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    moments = itertools.chain(map(_exif_moment, _blocks(data)), map(_xmp_moment, _blocks(data)))
    return next(filter(None, moments), None) or raw.capture_time(data)


def _blocks(data: bytes) -> Iterator[bytes]:
    """What may hold EXIF or XMP: the file itself, and what is in it."""
    if not data.startswith(png_chunks.PNG_START):
        yield data
        starts = (match.start() for mark in _TIFF for match in mark.finditer(data))
        starts = (i for i in starts if _BEFORE.fullmatch(data[max(i - 8, 0) : i]))
        for start in itertools.islice(starts, _BLOCKS):
            yield data[start : start + _LONGEST]
        return
    try:
        yield from png_chunks.split(data)[1].values()
    except ValueError:  # damaged
        return


def _exif_moment(block: bytes) -> Moment | None:
    """The moment of a block of EXIF, or of a TIFF."""
    try:
        tiff = Tiff(block)
    except ValueError:
        return None
    main = tiff.directory(tiff.start)
    directories = [*tiff.below(main, EXIF), main]
    for date, *others in _DATES:
        zones = [_text(directories, tag) for tag in (*others, *_ZONES)]
        for tags in directories:
            if moment := _moment(_text([tags], date), *zones):
                return moment
    return None


def _text(directories: list[Directory], tag: int) -> str:
    """The first value of a tag, if it is text."""
    values = (tags[tag] for tags in directories if isinstance(tags.get(tag), bytes))
    return next(values, b"").decode("latin-1")


def _xmp_moment(block: bytes) -> Moment | None:
    """The moment of the first XMP in a block."""
    xmp = block.partition(b"<x:xmpmeta")[2].partition(b"</x:xmpmeta")[0]
    text = xmp.decode(errors="replace")
    for name in _XMP_DATES:
        for date in re.findall(rf"{name}\s*(?:=\s*[\"']|>)([^\"'<]*)", text):
            if moment := _moment(date):
                return moment
    return None


def _moment(date: str, fraction: str = "", *zones: str) -> Moment | None:
    """The moment of a date of EXIF or XMP; None if it is none, as of a clock that was never set."""
    parts = _DATE.match(date)
    if not parts:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    digits = re.match(r"\s*(\d+)", fraction)
    part = float("0." + (parts[7] or (digits[1] if digits else "0")))
    zone = next(filter(None, map(_ZONE.match, (parts[8] or "", *zones))), None)
    east = math.nan
    if zone:
        east = 0.0 if zone[1] else float(f"{zone[2]}1") * (3600 * int(zone[3]) + 60 * int(zone[4]))
    return calendar.timegm(moment.timetuple()) + part, east
