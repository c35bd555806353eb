#!/usr/bin/env bash
# pillow-heif 1.8.1 (libheif 1.23.6, x265): a picture under 32 pixels high and over 4,216 wide
# cannot be saved as HEIC.
#
# For a picture with a side under 32 pixels the encoder's block size is lowered to 16 pixels, which
# HEVC does not allow at the level (5 and up) that sides over 4,216 pixels ask for: saving ends with
# "x265 encoder could not be opened with the given parameters". 32 rows of the same width, and 31
# rows of 4,216 columns, are saved. One would expect any picture within HEVC's limits to be
# saved, or an error that names the size. Photographs are not so narrow, but strips, slit scans and
# the last strip of a picture that is worked on in strips are: they need a few rows of padding.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==12.3.0 pillow_heif==1.8.1
cd "$folder"
venv/bin/python - <<'PROGRAM'
import io

import pillow_heif
from PIL import Image

information = pillow_heif.libheif_info()
print("pillow-heif", pillow_heif.__version__, "libheif", information["libheif"])
print(information["HEIF"])
pillow_heif.register_heif_opener()


def answer(width, height):
    stream = io.BytesIO()
    try:
        Image.new("RGB", (width, height), (90, 120, 150)).save(stream, "HEIF")
    except RuntimeError as error:
        return str(error)
    with Image.open(stream) as picture:
        assert picture.size == (width, height)
    return "saved"


print("expected: every size is saved")
for width, height, is_saved in (
    (4216, 31, True),
    (4217, 31, False),
    (8192, 16, False),
    (8192, 31, False),
    (8192, 32, True),
    (31, 4217, False),
    (32, 4217, True),
):
    result = answer(width, height)
    print(f"{width} x {height}: {result}")
    assert (result == "saved") == is_saved
    assert is_saved or "could not be opened" in result
PROGRAM
