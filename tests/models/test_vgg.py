"""VGG-19 against PyTorch, through every layout of weight file with that layout's own convention.

The files are written here, of random weights in the true shapes.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from vgg_layouts import (
    MEAN_RGB,
    OTHER_MEAN_RGB,
    SHAPES,
    write_keras,
    write_keras3,
    write_mat,
    write_pth,
    write_safetensors,
)

from dped_jax.convert import vgg_files
from dped_jax.models import vgg

CHECKED_LAYERS = ["relu1_1", "relu2_2", "relu5_2", "relu5_4"]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent implementation")


@pytest.fixture(scope="module")
def weights():
    """{name: (kernel, bias)}; kernels (out, in, H, W), as PyTorch has them."""
    rng = np.random.default_rng(7)
    result = {}
    for name, (cin, cout) in SHAPES.items():
        kernel = rng.normal(0, (2 / 9 / cin) ** 0.5, (cout, cin, 3, 3)).astype(np.float32)
        result[name] = kernel, rng.normal(0, 0.1, cout).astype(np.float32)
    return result


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(8).random((1, 100, 100, 3), np.float32)


@pytest.fixture
def path(tmp_path):
    """A name that says nothing of the content; the file is 80 MB, so it goes after the test."""
    path = tmp_path / "weights.bin"
    yield path
    path.unlink(missing_ok=True)


# How each family of files documents its network's input.
CONVENTIONS = {
    "rgb255": lambda images: images * 255 - MEAN_RGB,
    "rgb255, other mean": lambda images: images * 255 - OTHER_MEAN_RGB,
    "bgr255": lambda images: images[..., ::-1] * 255 - MEAN_RGB[::-1],
    "torch": lambda images: (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
}


@pytest.fixture(scope="module")
def expected(torch, weights, images):
    """A function of the convention: {layer: features (N, H, W, C)}, by PyTorch."""

    @functools.cache
    def features(convention):
        x = torch.from_numpy(CONVENTIONS[convention](images).astype(np.float32)).movedim(3, 1)
        layers = {}
        for name, (kernel, bias) in weights.items():
            if name.endswith("_1") and name != "conv1_1":
                x = torch.nn.functional.max_pool2d(x, 2, 2, ceil_mode=True)
            arrays = torch.from_numpy(kernel), torch.from_numpy(bias)
            x = torch.relu(torch.nn.functional.conv2d(x, *arrays, padding=1))
            layers[name.replace("conv", "relu")] = x.movedim(1, 3).numpy()
        return layers

    return features


def assert_features_agree(vgg_params, images, expected, layers):
    for layer in layers:
        actual = vgg.extract_features(vgg_params, images, layer)
        assert actual.dtype == jnp.float32
        assert actual.shape == expected[layer].shape
        error = np.abs(actual - expected[layer]).max() / np.abs(expected[layer]).max()
        assert error < 1e-4, (layer, error)


KERAS_MODEL = {"root": "model_weights", "names": "{0}/kernel {0}/bias", "full": True}
LAYOUTS = {
    "mat older": ("rgb255, other mean", write_mat, {"newer": False, "mean": OTHER_MEAN_RGB}),
    "mat newer": ("rgb255", write_mat, {"newer": True}),
    "pth legacy": ("torch", write_pth, {"_use_new_zipfile_serialization": False}),
    "pth zip": ("torch", write_pth, {}),
    "safetensors": ("torch", write_safetensors, {}),
    "keras notop": ("bgr255", write_keras, {}),
    "keras full": ("bgr255", write_keras, {"full": True}),
    "keras saved model": ("bgr255", write_keras, KERAS_MODEL),
    "keras 3 weights": ("bgr255", write_keras3, {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_of_each_layout_agree_with_pytorch(layout, path, weights, images, expected):
    convention, write, options = LAYOUTS[layout]
    write(path, weights, **options)
    vgg_params = vgg_files.load_vgg_params(path)
    assert {leaf.dtype for leaf in jax.tree.leaves(vgg_params)} == {np.dtype(np.float32)}
    assert_features_agree(vgg_params, images, expected(convention), CHECKED_LAYERS)


def test_every_layer_and_odd_sizes_under_jit(path, weights, images, expected):
    write_safetensors(path, weights)
    vgg_params = vgg_files.load_vgg_params(path)
    assert_features_agree(vgg_params, images, expected("torch"), vgg.VGG19_RELU_LAYERS)
    extract = jax.jit(vgg.extract_features, static_argnames=("layer", "dtype"))
    assert extract(vgg_params, images[:, :37, :51], "relu5_1").shape == (1, 3, 4, 512)


def test_features_give_the_content_loss_of_the_ground_truth():
    data = pathlib.Path(__file__).parents[3] / "shared" / "data"
    if not (data / "golden").is_dir():
        pytest.skip(f"the ground truth is not here: {data / 'golden'}")
    with np.load(data / "golden" / "iphone_orig_patches.npz") as file:
        enhanced = file["enhanced"]
    images = [Image.open(data / "dped_iphone" / "canon" / f"{i}.jpg") for i in range(8)]
    dslr = np.stack([np.asarray(image, np.float32) / 255 for image in images])
    features = functools.partial(
        vgg.extract_features, vgg_files.random_vgg_params(0), layer="relu5_4"
    )
    actual = np.mean((features(enhanced) - features(dslr)) ** 2)
    steps = json.loads((data / "golden" / "train_3_steps.json").read_text())["steps"]
    np.testing.assert_allclose(actual, steps[0]["content"], rtol=1e-4)


def test_parameter_count():
    params = vgg_files.random_vgg_params(0)
    convolutions = {name: layer for name, layer in params.items() if name.startswith("conv")}
    assert sum(leaf.size for leaf in jax.tree.leaves(convolutions)) == 20_024_384
    assert params["input_scale"].shape == params["input_mean"].shape == (3,)
    image, key = jnp.zeros((1, 16, 16, 3)), jax.random.key(0)
    initialised = jax.eval_shape(vgg.VGG19(("relu5_4",)).init, key, image)["params"]
    assert jax.tree.map(np.shape, initialised) == jax.tree.map(np.shape, convolutions)
    shallow = jax.eval_shape(vgg.VGG19(("relu1_2",)).init, key, image)["params"]
    assert set(shallow) == {"conv1_1", "conv1_2"}  # nothing beyond is computed


def test_unknown_layer_lists_the_known(images):
    with pytest.raises(ValueError, match=r"conv5_2.*relu1_1, .*relu5_4"):
        vgg.extract_features(vgg_files.random_vgg_params(0), images, "conv5_2")


def test_low_precision_returns_float32(images):
    params = vgg_files.random_vgg_params(0)
    full = vgg.extract_features(params, images, "relu2_2")
    low = vgg.extract_features(params, images, "relu2_2", jnp.bfloat16)
    assert low.dtype == jnp.float32
    difference = np.linalg.norm(low - full) / np.linalg.norm(full)
    assert 1e-4 < difference < 0.02
