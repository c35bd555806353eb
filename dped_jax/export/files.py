"""What an export needs and leaves: libraries of a format, and files that are whole or absent."""

import importlib.metadata
import os
import pathlib
import shutil

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically

# What a format is written with, and run with for --check: modules, the packages that bring them,
# and the lowest versions that were tried.
WRITING = {
    "onnx": {"onnx": ("onnx", (1, 23))},
    "litert": {"tensorflow": ("tensorflow-cpu", (2, 21))},
    "stablehlo": {},
    "coreml": {
        "coremltools": ("coremltools", (9, 0)),
        "stablehlo_coreml": ("stablehlo-coreml", (0, 1)),
    },
}
RUNNING = {
    "onnx": {"onnxruntime": ("onnxruntime", (1, 30))},
    "litert": {"ai_edge_litert": ("ai-edge-litert", (2, 3))},
    "stablehlo": {},
}


def check_libraries(format_name: str, check: bool) -> None:
    """Raises InputError where a library of a format is absent or too old."""
    installed = importlib.metadata.packages_distributions()
    needed = WRITING[format_name] | (RUNNING[format_name] if check else {})
    for module, (package, lowest) in needed.items():
        wanted = f"{package}>={'.'.join(map(str, lowest))}"
        remedy = f"pip install '{wanted}'"
        if module not in installed:
            what = f"--format={format_name}" + (" --check" if check else "")
            raise InputError(f"{what}: needs {package}, which is absent: {remedy}")
        version = importlib.metadata.version(installed[module][0])
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < lowest:
            raise InputError(f"--format={format_name}: needs {wanted}, not {version}: {remedy}")


def check_output(output: pathlib.Path) -> None:
    """Raises InputError where an output exists already, or its folder does not."""
    if output.exists() or output.is_symlink():
        raise InputError(f"--output={output}: exists already; remove it, or choose another name")
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: no folder {output.parent}; make it first")


def write(output: pathlib.Path, content: bytes | dict[str, bytes]) -> None:
    """Writes a file, or a folder of files by name, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    if isinstance(content, bytes):
        write_atomically(output, content)
        return
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, data in content.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(data)
        os.rename(partial, output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
