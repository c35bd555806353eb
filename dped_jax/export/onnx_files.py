"""ONNX files of a generator: one for whole photographs, or one for each stage of the tile engine.

Photographs are RGB, (N, H, W, 3), named `photo` going in and `enhanced` coming out: float32 in
[0, 1], not clipped, or uint8. docs/export.md says how stages are run.
"""

import json
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import onnx
from onnx import TensorProto, helper

from dped_jax.checkpoint import Tree
from dped_jax.enhance import sections
from dped_jax.export import networks
from dped_jax.export.graph import REGION, Graph
from dped_jax.models.generator import Generator

MANIFEST = "stages.json"
FORMAT, VERSION = "dped_jax stages", 1


def _pixel_type(pixels: str) -> int:
    return TensorProto.UINT8 if pixels == "uint8" else TensorProto.FLOAT


def _value(name: str, dtype: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _images_in(g: Graph, name: str, pixels: str) -> str:
    """The input of this name as (N, C, H, W) float32."""
    if pixels == "uint8":
        x = g.op("Cast", name, to=TensorProto.FLOAT)
        name = g.op("Div", x, g.constant(255))
    return g.op("Transpose", name, perm=[0, 3, 1, 2])


def _images_out(g: Graph, x: str, name: str, pixels: str) -> None:
    """Makes the output of this name of (N, C, H, W) float32."""
    if pixels != "uint8":
        g.op("Transpose", x, perm=[0, 2, 3, 1], name=name)
        return
    x = g.op("Clip", x, g.constant(0), g.constant(1))
    x = g.op("Round", g.op("Mul", x, g.constant(255)))
    x = g.op("Cast", x, to=TensorProto.UINT8)
    g.op("Transpose", x, perm=[0, 2, 3, 1], name=name)


def whole(
    network: nn.Module, variables: Tree, pixels: str, half: bool, metadata: dict[str, Any]
) -> bytes:
    """The file of a generator that takes whole photographs, of any number and size.

    Args:
      network: a generator.
      variables: of it.
      pixels: "float32" or "uint8".
      half: whether kernels are kept as float16.
      metadata: to put into the file: JSON values.
    """
    g = Graph(variables, half)
    _images_out(g, networks.enhance(g, network, _images_in(g, "photo", pixels)), "enhanced", pixels)
    shape = (_pixel_type(pixels), "batch", "height", "width", 3)
    return g.finish(
        [_value("photo", *shape)], [_value("enhanced", *shape)], _strings(metadata)
    ).SerializeToString()


def stages(
    network: nn.Module, variables: Tree, pixels: str, half: bool, metadata: dict[str, Any]
) -> dict[str, bytes]:
    """Files by name: a manifest, and one file for each stage; arguments as of `whole`.

    A network with instance norm that keeps activations between its sections, `Generator`, has a
    stage for each; all others begin from the photograph in each stage and go as far as statistics
    are known.
    """
    files, listed = {}, []
    by_section = isinstance(network, Generator) and network.norm == "instance"
    count = network.num_sections if by_section else len(network.statistics) + 1
    for k in range(count):
        g = Graph(variables, half, stage=k)
        measures = f"statistics{k}" if k + 1 < count else None
        if isinstance(network, Generator) and by_section:
            inputs = ["photo"] if k == 0 else [f"x{k - 1}"]
            if k and k % 2 == 0:
                inputs.append(f"skip{k - 2}")
            planes = _section(g, network, k, inputs, pixels)
            margin = sections.halo(network, variables, k)
        else:
            inputs = ["photo"]
            _, scale, size = [*network.statistics, ("", 1, 1)][k]
            reach = network.reach + (size - 1) * scale
            margin = -(-reach // network.stride) * network.stride
            images = networks.enhance(g, network, _images_in(g, "photo", pixels))
            planes = {} if measures else {"enhanced": images}
        channels = [3 if name == "enhanced" else network.width for name in planes]
        for name, x in planes.items():
            kind = pixels if name == "enhanced" else "float32"
            _images_out(g, g.region(x), name, kind)
        name = f"stage{k}.onnx"
        listed.append(
            {
                "file": name,
                "inputs": inputs,
                "statistics": g.read,
                "outputs": list(planes),
                "channels": channels,
                "measures": measures,
                "margin": margin,
            }
        )
        model = _stage_model(g, listed[-1], network, pixels, _strings(metadata | listed[-1]))
        files[name] = model.SerializeToString()
    manifest = metadata | {"format": FORMAT, "version": VERSION, "stages": listed}
    return {MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()} | files


def _section(
    g: Graph, network: Generator, k: int, inputs: Sequence[str], pixels: str
) -> dict[str, str]:
    """Adds a section, and what it measures; returns what planes it makes."""
    g.num_statistics = max(k - 1, 0)
    windows = [_images_in(g, name, pixels if k == 0 else "float32") for name in inputs]
    x, skip = networks.section(g, network, k, windows[0], windows[-1])
    if k + 1 == network.num_sections:
        return {"enhanced": x}
    g.measure(x)
    return {f"x{k}": x} if k % 2 else {f"x{k}": x, f"skip{k}": skip}


def _stage_model(
    g: Graph, stage: dict[str, Any], network: nn.Module, pixels: str, metadata: dict[str, str]
) -> onnx.ModelProto:
    def plane(name: str, channels: int, *shape: str) -> onnx.ValueInfoProto:
        kind = pixels if name in ("photo", "enhanced") else "float32"
        return _value(name, _pixel_type(kind), 1, *shape, channels)

    inputs = [
        plane(name, 3 if name == "photo" else network.width, "height", "width")
        for name in stage["inputs"]
    ]
    inputs.append(_value(REGION, TensorProto.INT32, 4))
    inputs += [_value(name, TensorProto.FLOAT, 2, f"{name}_channels") for name in g.read]
    outputs = [
        plane(name, channels, "rows", "columns")
        for name, channels in zip(stage["outputs"], stage["channels"], strict=True)
    ]
    if stage["measures"]:
        outputs.append(_value("statistics", TensorProto.FLOAT, 3, "measured_rows", "channels"))
    return g.finish(inputs, outputs, metadata)


def _strings(metadata: dict[str, Any]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
