"""StableHLO, as `jax.export` keeps it: a folder of the program, its metadata and a README."""

import json
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.export

from dped_jax.checkpoint import Tree
from dped_jax.export.functions import enhance_function, photo_type

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM = "enhance.stablehlo"
README = """# Enhancing photographs, as StableHLO

    import pathlib
    import jax, jax.export

    content = pathlib.Path("{program}").read_bytes()
    enhance = jax.jit(jax.export.deserialize(bytearray(content)).call)
    enhanced = enhance(photo)  # (N, H, W, 3) {pixels} RGB{range}, of any size

This needs JAX and nothing else; it runs on {platforms}. It was written with JAX {version}.
JAX promises to read such a file for six months: one released later may refuse it. Keep the workdir
that it was made from, to export again. `metadata.json` says what the model is.
"""


def export(
    network: nn.Module, variables: Tree, pixels: str, half: bool, metadata: dict[str, Any]
) -> dict[str, bytes]:
    """Files by name; arguments as of `onnx_files.whole`."""
    enhance = jax.jit(enhance_function(network, variables, pixels, half))
    program = jax.export.export(enhance, platforms=PLATFORMS)(photo_type(pixels)).serialize()
    readme = README.format(
        program=PROGRAM,
        pixels=pixels,
        range="" if pixels == "uint8" else " in [0, 1]",
        platforms=", ".join(PLATFORMS),
        version=jax.__version__,
    )
    return {
        PROGRAM: bytes(program),
        "metadata.json": (json.dumps(metadata, indent=2) + "\n").encode(),
        "README.md": readme.encode(),
    }


def runner(folder: pathlib.Path) -> Any:
    """The program of an exported folder, on (N, H, W, 3) photographs."""
    content = (folder / PROGRAM).read_bytes()
    return jax.jit(jax.export.deserialize(bytearray(content)).call)
