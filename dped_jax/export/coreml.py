"""Core ML, by stablehlo-coreml: a package that Apple's systems of 2024 and later can run.

Nothing but an Apple system runs it: on others it is written and validated only.
"""

import json
import pathlib
import tempfile
from typing import Any

import flax.linen as nn
import jax
import jax.export

from dped_jax.checkpoint import Tree
from dped_jax.export.functions import enhance_function, photo_type


def export(
    network: nn.Module, variables: Tree, half: bool, size: tuple[int, int], metadata: dict[str, Any]
) -> dict[str, bytes]:
    """Files of the package by name, for one float32 photograph of a size at a time.

    Args:
      network: a generator.
      variables: of it.
      half: whether weights are kept and all is computed as float16.
      size: height and width in pixels.
      metadata: as of `onnx_files.whole`.
    """
    import coremltools as ct
    from jax._src.interpreters import mlir as jax_mlir
    from jax._src.lib.mlir import ir
    from stablehlo_coreml import build_pass_pipeline, convert

    function = enhance_function(network, variables, "float32", half=False)
    exported = jax.export.export(jax.jit(function))(photo_type("float32", size))
    module = ir.Module.parse(exported.mlir_module(), context=jax_mlir.make_ir_context())
    model = ct.convert(
        convert(module, minimum_deployment_target=ct.target.iOS18),
        source="milinternal",
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        pass_pipeline=build_pass_pipeline(),
        skip_model_load=True,
    )
    spec = model.get_spec()
    ct.utils.rename_feature(spec, spec.description.output[0].name, "enhanced")
    model = ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)
    model.short_description = "Enhances a photograph, RGB in [0, 1]; the output is not clipped."
    model.license = metadata.get("license", "")
    for key, value in metadata.items():
        model.user_defined_metadata[key] = value if isinstance(value, str) else json.dumps(value)
    with tempfile.TemporaryDirectory() as folder:
        package = pathlib.Path(folder, "model.mlpackage")
        model.save(str(package))
        ct.models.MLModel(str(package), skip_model_load=True)  # reads it back
        files = [path for path in package.rglob("*") if path.is_file()]
        return {str(path.relative_to(package)): path.read_bytes() for path in files}
