"""Writes the generator of a workdir as a file of another runtime.

    python -m dped_jax.export --workdir=runs/iphone --output=model.onnx --format=onnx --check
    python -m dped_jax.export --workdir=runs/iphone --output=model --format=onnx --stages

The file takes photographs of any size, RGB, (N, H, W, 3): `photo` to `enhanced`. With --stages the
output is a folder of files that enhance a photograph window by window, in bounded memory, with the
result of the network on the whole. docs/export.md tells what each format gives.
"""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from absl import flags

from dped_jax import checkpoint
from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.export import check, files
from dped_jax.export.metadata import describe
from dped_jax.models.generator import make_generator

FORMATS = ("onnx", "litert", "stablehlo", "coreml")


def _check_flags() -> tuple[int, int]:
    """Raises InputError where flags do not go with the format; returns height and width."""
    name = f"--format={FLAGS.format}"
    if FLAGS.stages and FLAGS.format != "onnx":
        raise InputError(f"{name} --stages: only --format=onnx has stages")
    if FLAGS.format != "coreml":
        if FLAGS.size:
            raise InputError(f"{name} --size: takes all sizes; leave it out")
        return 0, 0
    if FLAGS.check:
        raise InputError(f"{name} --check: only Apple's systems run Core ML; leave it out")
    if FLAGS.pixels != "float32":
        raise InputError(f"{name} --pixels={FLAGS.pixels}: Core ML takes --pixels=float32")
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", FLAGS.size or "")
    if not match:
        raise InputError(f"{name} --size={FLAGS.size or ''}: write WIDTHxHEIGHT of photographs")
    return int(match[2]), int(match[1])


def _export(
    network: nn.Module, variables: dict[str, Any], size: tuple[int, int], metadata: dict[str, Any]
) -> bytes | dict[str, bytes]:
    """The file, or the files of a folder by name, that the flags ask for."""
    arguments = (network, variables, FLAGS.pixels, FLAGS.half, metadata)
    if FLAGS.format == "onnx":
        from dped_jax.export import onnx_files

        return onnx_files.stages(*arguments) if FLAGS.stages else onnx_files.whole(*arguments)
    if FLAGS.format == "litert":
        from dped_jax.export import litert

        return litert.export(*arguments)
    if FLAGS.format == "stablehlo":
        from dped_jax.export import stablehlo

        return stablehlo.export(*arguments)
    from dped_jax.export import coreml

    return coreml.export(network, variables, FLAGS.half, size, metadata)


def _runner(output: pathlib.Path) -> Callable:
    """The output in its own runtime."""
    if FLAGS.format == "onnx":
        return check.onnx_runner(output)
    if FLAGS.format == "litert":
        from dped_jax.export import litert

        return litert.runner(output)
    from dped_jax.export import stablehlo

    return stablehlo.runner(output)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    output, workdir = pathlib.Path(FLAGS.output), pathlib.Path(FLAGS.workdir)
    files.check_output(output)
    size = _check_flags()
    files.check_libraries(FLAGS.format, FLAGS.check)
    config, variables, step = checkpoint.load_generator(workdir, FLAGS.step)
    config = config.copy_and_resolve_references()
    config.compute_dtype = "float32"
    network = make_generator(config)
    told = {"scores": FLAGS.scores, "license_text": FLAGS.license}
    metadata = describe(workdir, config, step, network, **told)
    metadata |= {"pixels": FLAGS.pixels, "weights": "float16" if FLAGS.half else "float32"}
    content = _export(network, variables, size, metadata)
    files.write(output, content)
    parts = content.values() if isinstance(content, dict) else [content]
    print(f"exported: {output}, {sum(map(len, parts)):,} bytes, step {step} of {workdir}")
    if FLAGS.check:
        result = check.compare(_runner(output), network, variables, FLAGS.pixels)
        print(f"checked against the network in JAX: {result}")


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train or convert.", required=True)
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("output", None, "File or folder to make.", required=True)
    flags.DEFINE_enum("format", None, FORMATS, "Of the file.", required=True)
    flags.DEFINE_enum("pixels", "float32", ["float32", "uint8"], "Type of photographs.")
    flags.DEFINE_bool("half", False, "Keep weights as float16: half the size of the file.")
    flags.DEFINE_bool("stages", False, "A folder of stages, to be run window by window; of ONNX.")
    flags.DEFINE_bool("check", False, "Run the file and compare it with the workdir's network.")
    flags.DEFINE_string("size", None, "WIDTHxHEIGHT of photographs; for Core ML alone.")
    flags.DEFINE_string("scores", None, "File that dped_jax.evaluate --json wrote, to be told of.")
    flags.DEFINE_string("license", None, "Text of the licence, to be put into the file.")
    command.run(main)
