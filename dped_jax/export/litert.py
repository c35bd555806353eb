"""LiteRT (TensorFlow Lite), by jax2tf and TensorFlow's converter."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np

from dped_jax.checkpoint import Tree
from dped_jax.export.functions import enhance_function

SIGNATURE = "serving_default"


def export(
    network: nn.Module, variables: Tree, pixels: str, half: bool, metadata: dict[str, Any]
) -> bytes:
    """The file; arguments as of `onnx_files.whole`."""
    import tensorflow as tf
    from jax.experimental import jax2tf
    from tensorflow.lite.tools import flatbuffer_utils

    enhance = enhance_function(network, variables, pixels, half=False)
    shapes = ["(batch, height, width, 3)"]
    function = jax2tf.convert(enhance, polymorphic_shapes=shapes, with_gradient=False)
    module = tf.Module()
    photo = tf.TensorSpec([None, None, None, 3], pixels, name="photo")
    module.enhance = tf.function(
        lambda photo: {"enhanced": function(photo)}, input_signature=[photo], autograph=False
    )
    concrete = module.enhance.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(converter.convert()))
    schema = flatbuffer_utils.schema_fb
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    entry.name, entry.buffer = b"dped_jax", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def runner(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file in LiteRT, on (N, H, W, 3) photographs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    photo = interpreter.get_input_details()[0]["index"]
    enhanced = interpreter.get_output_details()[0]["index"]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(photo, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(photo, images)
        interpreter.invoke()
        return interpreter.get_tensor(enhanced)

    return run
