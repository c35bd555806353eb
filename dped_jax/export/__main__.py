"""Writes the generator of a workdir as a file of another runtime.

    python -m dped_jax.export --workdir=runs/iphone --output=model.onnx --format=onnx --check
    python -m dped_jax.export --workdir=runs/iphone --output=model --format=onnx --stages

The file takes photographs of any size, RGB, (N, H, W, 3): `photo` to `enhanced`. With --stages the
output is a folder of files that enhance a photograph window by window, in bounded memory, with the
result of the network on the whole. docs/export.md tells what each format gives.
"""

import pathlib

from absl import flags

from dped_jax import checkpoint, cli
from dped_jax.export import check, files
from dped_jax.export.metadata import describe
from dped_jax.models.generator import make_generator


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    output, workdir = pathlib.Path(FLAGS.output), pathlib.Path(FLAGS.workdir)
    files.check_output(output)
    files.check_libraries(FLAGS.format, FLAGS.check)
    from dped_jax.export import onnx_files

    config, variables, step = checkpoint.load_generator(workdir, FLAGS.step)
    config = config.copy_and_resolve_references()
    config.compute_dtype = "float32"
    network = make_generator(config)
    metadata = describe(
        workdir, config, step, network, scores=FLAGS.scores, license_text=FLAGS.license
    )
    metadata |= {"pixels": FLAGS.pixels, "weights": "float16" if FLAGS.half else "float32"}
    arguments = (network, variables, FLAGS.pixels, FLAGS.half, metadata)
    content = onnx_files.stages(*arguments) if FLAGS.stages else onnx_files.whole(*arguments)
    files.write(output, content)
    parts = content.values() if isinstance(content, dict) else [content]
    print(f"exported: {output}, {sum(map(len, parts)):,} bytes, step {step} of {workdir}")
    if FLAGS.check:
        run = check.onnx_runner(output)
        result = check.compare(run, network, variables, FLAGS.pixels)
        print(f"checked in onnxruntime: {result}")


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Model: made by dped_jax.train or convert.", required=True)
    flags.DEFINE_string("step", "best", "Checkpoint of the workdir: best, newest or a step.")
    flags.DEFINE_string("output", None, "File to write, or folder with --stages.", required=True)
    flags.DEFINE_enum("format", None, ["onnx"], "Of the file.", required=True)
    flags.DEFINE_enum("pixels", "float32", ["float32", "uint8"], "Type of photographs.")
    flags.DEFINE_bool("half", False, "Keep weights as float16: half the size of the file.")
    flags.DEFINE_bool("stages", False, "A folder of stages, to be run window by window.")
    flags.DEFINE_bool("check", False, "Run the file and compare it with the workdir's network.")
    flags.DEFINE_string("scores", None, "File that dped_jax.evaluate --json wrote, to be told of.")
    flags.DEFINE_string("license", None, "Text of the licence, to be put into the file.")
    cli.run(main)
