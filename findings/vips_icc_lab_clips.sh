#!/usr/bin/env bash
# libvips 8.18.7 (pyvips-binary): icc_import and icc_export with one and the same wide profile do
# not give the picture back.
#
# Between the two steps the picture is Lab in float, whose a and b are nonetheless clipped to -128
# to 127. A saturated colour of ProPhoto RGB or BT.2020 lies beyond: pure BT.2020 green comes back
# with about 100 of 255 levels of red. One would expect floats to hold it, as they hold XYZ: there
# ProPhoto comes back within a level. (The 8 bits in and out are not to blame: icc_transform
# changes nothing.) Working in Lab between import and export, which is what icc_import is for,
# damages the very colours that a wide-gamut photograph was kept for.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
venv/bin/python - <<'PROGRAM'
import struct

import numpy as np
import pyvips


def fixed(values):
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def profile(primaries, white, gamma):
    """A matrix profile, ICC 4.3, adapted from `white` to D50 by Bradford."""
    d50 = np.array([0.9642, 1.0, 0.8249])
    cone = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    cone = np.array(cone)
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    source = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    adapt = np.linalg.inv(cone) @ np.diag((cone @ d50) / (cone @ source)) @ cone
    matrix = adapt @ columns * np.linalg.solve(columns, source)
    text = "made for this".encode("utf-16-be")
    words = b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(text), 28) + text
    curve = b"para" + bytes(8) + fixed([gamma])
    tags = {b"desc": words, b"cprt": words, b"wtpt": b"XYZ " + bytes(4) + fixed(d50)}
    for name, column in zip("rgb", matrix.T, strict=True):
        tags[name.encode() + b"XYZ"] = b"XYZ " + bytes(4) + fixed(column)
        tags[name.encode() + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI", 128 + len(table) + len(body), bytes(4), 0x04300000)
    header += b"mntrRGB XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    return (header + fixed(d50)).ljust(128, b"\0") + table + body


print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)))
wide = {
    "ProPhoto RGB": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), 1.8),
    "BT.2020": (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), (0.3127, 0.3290), 2.4),
}
steps = np.arange(0, 256, 17)
cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(64, 64, 3)
picture = pyvips.Image.new_from_array(cube.astype(np.uint8), interpretation="srgb")
green = int(np.flatnonzero((cube.reshape(-1, 3) == (0, 255, 0)).all(-1))[0])
print("expected: every one of 4,096 colours as it was, within a few levels")
for name, values in wide.items():
    path = name + ".icc"
    with open(path, "wb") as file:
        file.write(profile(*values))
    lab = picture.icc_import(input_profile=path, intent="relative")
    assert lab.format == "float"
    a_and_b = lab[1:3]
    back = lab.icc_export(output_profile=path, intent="relative").numpy()
    one = picture.icc_transform(path, input_profile=path, intent="relative").numpy()
    difference = np.abs(back.astype(int) - cube).max(-1)
    print(f"{name}: a and b from {a_and_b.min()} to {a_and_b.max()};", end=" ")
    print(f"up to {difference.max()} levels")
    print(f"    off, {(difference > 5).mean():.0%} of the colours by more than 5;", end=" ")
    print("pure green comes back as", back.reshape(-1, 3)[green], "(in one step: no change)")
    assert (a_and_b.min(), a_and_b.max()) == (-128, 127)
    assert difference.max() >= 80
    assert np.array_equal(one, cube)
    if name == "ProPhoto RGB":
        xyz = picture.icc_import(input_profile=path, intent="relative", pcs="xyz")
        back = xyz.icc_export(output_profile=path, intent="relative", pcs="xyz").numpy()
        assert np.abs(back.astype(int) - cube).max() <= 1
PROGRAM
