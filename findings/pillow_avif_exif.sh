#!/usr/bin/env bash
# Pillow 12.3.0: saved as AVIF, EXIF with an Orientation loses its thumbnail and its layout.
#
# For AVIF alone Pillow takes the Orientation out of the EXIF, to store it as the file's own
# rotation, and writes the rest anew: the second directory with the thumbnail is dropped, and a
# float becomes a double. It does so even for Orientation 1, which turns nothing; without an
# Orientation the block is stored as given, and in JPEG, PNG and WebP always. One would expect
# exif= to be stored as given but for that one tag. Enhanced photographs that keep the EXIF of their
# original lose parts of it in AVIF only, and comparing the stored block with the given one fails.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==12.3.0
cd "$folder"
venv/bin/python - <<'PROGRAM'
import io
import struct

import PIL
from PIL import Image, features

print("Pillow", PIL.__version__, "libavif", features.version("avif"))


def directory(entries, start, following):
    """One TIFF directory: entries are (tag, type, count, bytes)."""
    table, data = struct.pack("<H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        table += struct.pack("<HHI", tag, kind, count)
        if len(value) > 4:
            table += struct.pack("<I", behind + len(data))
            data += value + bytes(len(value) % 2)
        else:
            table += value.ljust(4, b"\0")
    return table + struct.pack("<I", following) + data


def exif(orientation):
    """Make, Orientation if any, a tone curve of DNG in floats, and a thumbnail."""
    first = [(0x010F, 2, 6, b"Maker\0")]
    if orientation:
        first.append((0x0112, 3, 1, struct.pack("<H", orientation)))
    first.append((0xC6FC, 11, 4, struct.pack("<4f", 0, 0, 1, 1)))
    second = 8 + len(directory(first, 8, 0))
    small = [(0x0103, 3, 1, b"\6\0"), (0x0201, 4, 1, bytes(4)), (0x0202, 4, 1, bytes(4))]
    place = second + len(directory(small, second, 0))
    small[1:] = [
        (0x0201, 4, 1, struct.pack("<I", place)),
        (0x0202, 4, 1, struct.pack("<I", len(thumbnail))),
    ]
    directories = directory(first, 8, second) + directory(small, second, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + directories + thumbnail


stream = io.BytesIO()
Image.new("RGB", (16, 8), (200, 10, 10)).save(stream, "JPEG")
thumbnail = stream.getvalue()
picture = Image.new("RGB", (64, 32), (200, 10, 10))
print("expected: the block as given, but perhaps for the Orientation; thumbnail and types kept")
for orientation in (6, 1, 0):
    given = exif(orientation)
    for format_name in ("JPEG", "PNG", "WEBP", "AVIF"):
        stream = io.BytesIO()
        picture.save(stream, format_name, exif=given)
        as_given = given[6:] in stream.getvalue()
        assert as_given == (format_name != "AVIF" or not orientation), format_name
    stored = stream.getvalue()
    doubles = struct.pack("<4d", 0, 0, 1, 1) in stored
    print(f"Orientation {orientation or 'absent'}: JPEG, PNG, WebP as given; AVIF", end=" ")
    print(f"as given: {as_given}, thumbnail kept: {thumbnail in stored}, doubles: {doubles}")
    assert (thumbnail in stored) == (not orientation)
    assert doubles == bool(orientation)
PROGRAM
