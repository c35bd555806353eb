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
from dped_jax.images.pixels import to_float, to_integers

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
        if half and family != "identity":
            assert not np.allclose(found, wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", ["instance_norm", "teacher"])
def test_variance_is_exact_where_the_mean_is_large(family):
    """On a photograph of one grey with faint noise; ONNX's InstanceNormalization is 1e-3 off."""
    _, network, variables = random_networks.make(family)
    noise = np.random.default_rng(0).normal(0, 0.003, (1, 384, 512, 3))
    photo = (0.8 + noise).astype(np.float32)
    (found,) = run(onnx_files.whole(network, variables, "float32", False, {}), [photo])
    np.testing.assert_allclose(found, in_jax(family)(photo), rtol=0, atol=2e-5)


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
