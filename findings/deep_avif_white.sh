#!/usr/bin/env bash
# pillow-heif 1.8.1, libvips 8.18.7 (pyvips-binary): the white of a deep HEIC or AVIF is not white.
#
# Both libraries hand out pictures of 10 and 12 bits as 16-bit arrays, and both make them by
# shifting, not by scaling: the largest value of 10 bits, 1023, becomes 65472 and that of 12 bits
# 65520. One would expect 65535, since the array, its type and everything that reads it next say
# that the range is 0 to 65535. Saved as a 16-bit PNG, white is a very light grey; divided by 65535,
# a clipped sky is 0.99904 and a test for saturated pixels finds none. Pairs for training must be
# scaled by the depth that the file states.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 pillow==12.3.0 pillow_heif==1.8.1 \
  pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
venv/bin/python - <<'PROGRAM'
import numpy as np
import pillow_heif
import pyvips

print("pillow-heif", pillow_heif.__version__, "libheif", pillow_heif.libheif_info()["libheif"])
print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)))
white = np.full((64, 64, 3), 65535, np.uint16)
for depth, shifted in ((10, 1023 << 6), (12, 4095 << 4)):
    pillow_heif.options.SAVE_HDR_TO_12_BIT = depth == 12
    pillow_heif.from_bytes("RGB;16", (64, 64), white.tobytes()).save(
        f"white{depth}.heic", quality=-1, chroma=444, matrix_coefficients=0
    )
    heic = pillow_heif.open_heif(f"white{depth}.heic", convert_hdr_to_8bit=False)
    assert heic.info["bit_depth"] == depth
    heic_white = int(np.asarray(heic).max())
    picture = pyvips.Image.new_from_array(white, interpretation="rgb16")
    picture.write_to_file(f"white{depth}.avif", bitdepth=depth, lossless=True, compression="av1")
    avif = pyvips.Image.new_from_file(f"white{depth}.avif")
    assert avif.get("bits-per-sample") == depth
    avif.write_to_file(f"white{depth}.png")
    avif_white = int(pyvips.Image.new_from_file(f"white{depth}.png").max())
    print(f"{depth} bits, white: expected 65535; HEIC by pillow-heif {heic_white},")
    print(f"    AVIF by libvips, saved as a 16-bit PNG, {avif_white} ({avif_white / 65535:.5f})")
    assert heic_white == avif_white == shifted
PROGRAM
