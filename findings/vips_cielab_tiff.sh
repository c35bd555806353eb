#!/usr/bin/env bash
# libvips 8.18.7 (pyvips-binary): an ordinary 8-bit CIELAB TIFF is refused as a bad LabQ picture.
#
# TIFF 6.0 defines CIELAB with three samples of 8 bits. Pillow and tifffile write it so, and read
# each other's. libvips takes every 8-bit CIELAB for its own four-sample LabQ and ends with "bad
# labq format". One would expect the picture, or a word that the format is not supported; the same
# picture with 16 bits is read. Edited photographs that are stored in Lab need another reader.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 pillow==12.3.0 tifffile==2026.3.3 \
  pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
venv/bin/python - <<'PROGRAM'
import numpy as np
import PIL
import pyvips
import tifffile
from PIL import Image

print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)))
print("Pillow", PIL.__version__, "tifffile", tifffile.__version__)
lab = np.full((32, 32, 3), (128, 20, 226), np.uint8)  # L* 50, a* 20, b* -30
Image.frombytes("LAB", (32, 32), lab.tobytes()).save("pillow.tif")
tifffile.imwrite("tifffile.tif", lab, photometric="cielab")
tifffile.imwrite("deep.tif", lab.astype(np.uint16) << 8, photometric="cielab")
print("expected: a picture of 32 by 32 from every file")
for name in ("pillow.tif", "tifffile.tif"):
    assert np.array_equal(tifffile.imread(name), lab)
    with Image.open(name) as picture:
        assert picture.mode == "LAB" and picture.tobytes() == lab.tobytes()
    try:
        pyvips.Image.new_from_file(name)
    except pyvips.Error as error:
        message = " ".join(str(error).split())
    else:
        raise AssertionError(f"{name} is read")
    print(f"{name}: Pillow and tifffile read it; libvips: {message}")
    assert "bad labq format" in message
deep = pyvips.Image.new_from_file("deep.tif")
print("deep.tif, the same in 16 bits: libvips reads", deep.width, "x", deep.height)
assert (deep.width, deep.height, deep.bands) == (32, 32, 3)
PROGRAM
