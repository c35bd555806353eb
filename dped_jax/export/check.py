"""Compares an exported file, in its own runtime, with the network that it came from."""

import functools
import pathlib
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import numpy as np

from dped_jax.checkpoint import Tree
from dped_jax.pixels import to_float, to_integers

SHAPES = ((2, 100, 100), (1, 67, 93), (1, 131, 75))  # of photographs: number, height, width
Run = Callable[[np.ndarray], np.ndarray]


def photographs(shape: Sequence[int], pixels: str) -> np.ndarray:
    """Made-up photographs: shades and noise, (N, H, W, 3) uint8 or float32 in [0, 1]."""
    rng = np.random.default_rng(shape)
    n, height, width = shape
    y, x = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 5, width)[:, None]
    shades = 0.5 + 0.3 * np.sin(y + rng.uniform(0, 6, (n, 1, 1, 3)) + x)
    images = np.float32(np.clip(shades + rng.normal(0, 0.1, shades.shape), 0, 1))
    return to_integers(images) if pixels == "uint8" else images


def compare(
    run: Run,
    network: nn.Module,
    variables: Tree,
    pixels: str,
    shapes: Sequence[Sequence[int]] = SHAPES,
) -> str:
    """Runs a file on made-up photographs; says how far it is from the network.

    Args:
      run: the file, (N, H, W, 3) to the same shape and type.
      network: the generator.
      variables: of it.
      pixels: type of photographs, "float32" or "uint8".
      shapes: numbers, heights and widths of photographs.
    """
    apply = jax.jit(functools.partial(network.apply, variables))
    differences = []
    for shape in shapes:
        images = photographs(shape, pixels)
        expected = np.asarray(apply(to_float(images)))
        if pixels == "uint8":
            expected = to_integers(expected)
        found = run(images)
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return f"gives {found.dtype} {found.shape} for {expected.dtype} {expected.shape}"
        differences.append(np.abs(found.astype(np.float32) - expected.astype(np.float32)).ravel())
    found = np.concatenate(differences)
    if pixels == "uint8":
        return f"{np.mean(found > 0):.4%} of values differ, at most by {found.max():.0f} of 255"
    return f"largest difference {found.max():.1e}"


def onnx_runner(path: pathlib.Path) -> Run:
    """An ONNX file, or a folder of stages, in onnxruntime."""
    import onnxruntime

    from dped_jax.export import run_stages

    if path.is_dir():
        return lambda images: np.stack([run_stages.run(path, image, side=64) for image in images])
    session = onnxruntime.InferenceSession(path)
    return lambda images: session.run(None, {"photo": images})[0]
