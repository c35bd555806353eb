"""ONNX files of all families of generators, in onnxruntime, against JAX and the tile engine."""

import functools
import json
import subprocess
import sys

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import random_networks
import tiny

from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.export import onnx_files, run_stages
from dped_jax.export.check import photographs
from dped_jax.export.graph import Graph
from dped_jax.pixels import to_float, to_integers

SHAPES = [(2, 100, 100), (1, 37, 61), (1, 131, 75), (1, 67, 193)]  # patches, and odd sizes

each_family = pytest.mark.parametrize("family", random_networks.FAMILIES)


@functools.cache
def in_jax(family: str):
    _, network, variables = random_networks.make(family)
    return jax.jit(functools.partial(network.apply, variables))


@functools.cache
def computed(family: str, pixels: str):
    """Photographs of all shapes, and what JAX makes of them: float32, not clipped."""
    images = [photographs(shape, pixels) for shape in SHAPES]
    return images, [np.asarray(in_jax(family)(to_float(photo))) for photo in images]


def run(content: bytes, images: list[np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content)
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("photo", ["batch", "height", "width", 3])
    ]
    assert [output.name for output in session.get_outputs()] == ["enhanced"]
    return [session.run(None, {"photo": photo})[0] for photo in images]


@each_family
@pytest.mark.parametrize("half", [False, True])
def test_one_file_takes_patches_and_photographs(family, half):
    _, network, variables = random_networks.make(family)
    content = onnx_files.whole(network, variables, "float32", half, {"step": 7})
    onnx.checker.check_model(content, full_check=True)
    images, expected = computed(family, "float32")
    for found, wanted in zip(run(content, images), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3 if half else 1e-5)
        if half and max(x.size for x in jax.tree.leaves(variables)) >= 1_000:
            assert not np.allclose(found, wanted, rtol=0, atol=1e-7)


def test_norms_are_exact_where_the_mean_is_large():
    """Against float64. The means of rows and of all, and the difference, are each rounded to steps
    of float32 at 30; ONNX's own InstanceNormalization is off by more (2.5e-4)."""
    x = np.random.default_rng(0).normal(30, 0.05, (1, 2, 768, 1024)).astype(np.float32)
    ones = {"scale": np.ones(2, np.float32), "bias": np.zeros(2, np.float32)}
    g = Graph({"params": {"norm0": {"InstanceNorm_0": ones}}})
    g.op("Identity", g.norm("norm0", "instance", "x"), name="y")
    values = [onnx.helper.make_tensor_value_info(n, 1, x.shape) for n in ("x", "y")]
    content = g.finish(values[:1], values[1:], {}).SerializeToString()
    (found,) = onnxruntime.InferenceSession(content).run(None, {"x": x})
    exact = x.astype(np.float64)
    exact = exact - exact.mean(axis=(2, 3), keepdims=True)
    exact /= np.sqrt(np.square(exact).mean(axis=(2, 3), keepdims=True) + 1e-3)
    three_steps = 3 * float(np.spacing(np.float32(30))) / np.sqrt(0.05**2 + 1e-3)
    np.testing.assert_allclose(found, exact, rtol=0, atol=three_steps)


def test_half_kernels_take_half_the_room():
    _, network, variables = random_networks.make("srcnn")
    sizes = [len(onnx_files.whole(network, variables, "float32", h, {})) for h in (False, True)]
    assert sizes[1] < 0.52 * sizes[0]


@each_family
def test_integer_pixels(family):
    """A value is off by a level where rounding differences straddle the middle of two levels."""
    _, network, variables = random_networks.make(family)
    images, expected = computed(family, "uint8")
    results = run(onnx_files.whole(network, variables, "uint8", False, {}), images)
    assert {result.dtype for result in results} == {np.dtype(np.uint8)}
    levels = [
        np.abs(found.astype(int) - to_integers(wanted)).ravel()
        for found, wanted in zip(results, expected, strict=True)
    ]
    levels = np.concatenate(levels)
    assert levels.max() <= 1
    assert levels.mean() <= 1e-4


def write(folder, family: str, pixels: str):
    config, network, variables = random_networks.make(family)
    metadata = {"stride": network.stride, "pixels": pixels}
    for name, content in onnx_files.stages(network, variables, pixels, False, metadata).items():
        (folder / name).write_bytes(content)
    return PhotoEnhancer(config, variables), json.loads((folder / "stages.json").read_text())


@each_family
def test_stages_give_what_enhance_gives(family, tmp_path):
    """Windows are so small that there are many; sides are no multiples of them, or of the grid."""
    enhancer, manifest = write(tmp_path, family, "float32")
    measured = [stage["measures"] for stage in manifest["stages"]]
    count = {"instance_norm": 4, "teacher": 5, "student": 3, "unet": 1, "unet3": 1}.get(family, 0)
    assert measured == [f"statistics{k}" for k in range(count)] + [None]
    (photo,) = photographs((1, 131, 203), "float32")
    found = run_stages.run(tmp_path, photo, side=50)
    np.testing.assert_allclose(found, enhancer(photo), rtol=0, atol=1e-5)


def test_stages_with_integer_pixels_and_activations_on_disk(tmp_path):
    enhancer, _ = write(tmp_path, "instance_norm", "uint8")
    (photo,) = photographs((1, 75, 91), "uint8")
    found = run_stages.run(tmp_path, photo, side=64, on_disk=str(tmp_path))
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - to_integers(enhancer(photo)))
    assert difference.max() <= 1
    assert difference.mean() <= 1e-3
    assert {path.suffix for path in tmp_path.iterdir()} == {".onnx", ".json"}


def test_stages_run_without_jax(tmp_path):
    write(tmp_path, "unet", "float32")
    program = (
        "import pathlib, sys, numpy as np; from dped_jax.export import run_stages;"
        "run_stages.run(pathlib.Path(sys.argv[1]), np.zeros((9, 11, 3), np.float32));"
        "print(*sys.modules, sep='\\n')"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(argv, cwd=tiny.ROOT, capture_output=True, text=True, check=True)
    assert not {"jax", "flax", "onnx"} & set(done.stdout.split())
