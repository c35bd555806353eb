#!/usr/bin/env bash
# onnxruntime 1.32.0: a linear Resize of an 8-bit picture cuts the fraction off, so it darkens.
#
# Between the levels 0 and 255 the values 31.875 and 95.625 are given as 31 and 95, and a picture
# enlarged four times is half a level darker in the mean than by the same Resize in float32. One
# would expect rounding, as Pillow does and ONNX's own reference evaluator, which gives 32 and 96.
# Whoever lets an exported model resize the 8-bit photograph before it becomes float gets a darker
# one, steadily and in nearly every pixel: cast to float first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'PROGRAM'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)


def enlarge(picture, kind, by_reference=False):
    """Four times the size by a linear Resize of opset 18, of `kind` in and out."""
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", kind, picture.shape)],
        [helper.make_tensor_value_info("y", kind, [None] * 4)],
        [numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    if by_reference:
        return ReferenceEvaluator(model).run(None, {"x": picture})[0]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": picture})[0]


edge = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)
print("an edge in float32:", enlarge(edge.astype(np.float32), TensorProto.FLOAT)[0, 0, 0])
row = enlarge(edge, TensorProto.UINT8)[0, 0, 0]
reference_row = enlarge(edge, TensorProto.UINT8, by_reference=True)[0, 0, 0]
print("the same in uint8: ", row)
print("ONNX's reference:  ", reference_row)
assert row[2:4].tolist() == [31, 95] and reference_row[2:4].tolist() == [32, 96]
picture = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
exact = enlarge(picture.astype(np.float32), TensorProto.FLOAT)
eight_bits = enlarge(picture, TensorProto.UINT8).astype(np.float32)
difference = eight_bits - exact
rounded = np.round(exact) - exact
print(f"expected: {rounded.mean():+.3f} levels in the mean, at most 0.5 in a pixel (rounded)")
print(f"seen:     {difference.mean():+.3f} levels in the mean, up to {-difference.min():.3f}")
assert difference.mean() < -0.45 and difference.min() < -0.9 and difference.max() < 0.05
assert abs(rounded.mean()) < 0.05
PROGRAM
