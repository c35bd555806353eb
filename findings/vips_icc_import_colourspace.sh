#!/usr/bin/env bash
# libvips 8.18.7 (pyvips-binary): icc_import followed by colourspace("srgb") changes the colours of
# a photograph that is sRGB already.
#
# icc_import gives Lab relative to D50, as profiles define it; every other operation of libvips,
# colourspace among them, takes Lab as relative to D65. Greys come out right, so nothing looks
# broken, but pure blue (0, 0, 255) turns (0, 35, 254) and ordinary sky and leaf colours move by 10
# and more levels. One would expect a picture with an sRGB profile to come back as it was. With
# pcs="xyz", or by icc_transform, it does. Training pairs of which only one picture carries a
# profile would differ by this, and a network would learn it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 pillow==12.3.0 \
  pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
venv/bin/python - <<'PROGRAM'
import numpy as np
import pyvips
from PIL import ImageCms

print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)))
with open("srgb.icc", "wb") as file:
    file.write(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
colours = {
    "grey": (128, 128, 128),
    "skin": (200, 150, 120),
    "sky": (135, 206, 235),
    "leaf": (34, 139, 34),
    "blue": (0, 0, 255),
}
row = np.array([list(colours.values())], np.uint8)
picture = pyvips.Image.new_from_array(row, interpretation="srgb")
by_lab = picture.icc_import(input_profile="srgb.icc").colourspace("srgb").numpy()
by_xyz = picture.icc_import(input_profile="srgb.icc", pcs="xyz").colourspace("srgb").numpy()
in_one = picture.icc_transform("srgb.icc", input_profile="srgb.icc").numpy()
print("expected: every colour as it was, but for a level of rounding")
for index, name in enumerate(colours):
    print(f"{name:5}", row[0, index], "through Lab", by_lab[0, index], "XYZ", by_xyz[0, index])
difference = np.abs(by_lab.astype(int) - row).max(-1)[0]
assert difference[0] <= 1, "grey is kept"
assert difference[2] >= 8 and difference[3] >= 12 and difference[4] >= 30, difference
for other in (by_xyz, in_one):
    assert np.abs(other.astype(int) - row).max() <= 1
PROGRAM
