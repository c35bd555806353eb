"""VGG-19 against PyTorch, through every layout of weight file with that layout's own convention.

The files are written here, of random weights in the true shapes; fully connected layers are tiny.
"""

import functools
import hashlib
import json
import logging
import os
import pathlib
import pickle
import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import scipy.io
from PIL import Image

from dped_jax.cli import InputError
from dped_jax.convert import vgg_files
from dped_jax.models import vgg

CHANNELS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
CONVS = [f"conv{b}_{i}" for b, n in zip("12345", (2, 2, 4, 4, 4), strict=True) for i in "1234"[:n]]
OUTPUTS = [CHANNELS[name[4]] for name in CONVS]
SHAPES = {name: pair for name, *pair in zip(CONVS, [3, *OUTPUTS], OUTPUTS, strict=False)}
TORCH_INDICES = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
MEAN_RGB = [123.68, 116.779, 103.939]
OTHER_MEAN_RGB = [120.5, 110.25, 99.0]  # unlike the published one: it must come from the file
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
def zeros():
    """As `weights`, of one byte each."""
    return {
        name: (np.zeros((cout, cin, 3, 3), np.int8), np.zeros(cout, np.int8))
        for name, (cin, cout) in SHAPES.items()
    }


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


def cell(*values):
    result = np.empty((1, len(values)), object)
    result[0, :] = values
    return result


def write_mat(path, weights, *, newer, mean=MEAN_RGB):
    """Stores kernels as (W, H, in, out) and adds what real files have besides."""
    layers = []

    def add(kind, name, *arrays):
        parts = {"weights": cell(*arrays)} if arrays else {}
        names = {"name": name, "type": kind}
        layers.append(names | parts | {"stride": 1.0} if newer else parts | names | {"pad": 0.0})

    for name, (kernel, bias) in weights.items():
        if name.endswith("_1") and name != "conv1_1":
            add("pool", f"pool{int(name[4]) - 1}")
        add("conv", name, kernel.transpose(3, 2, 1, 0), bias.reshape((-1, 1) if newer else (1, -1)))
        add("relu", name.replace("conv", "relu"))
    add("pool", "pool5")
    for name, shape in {"fc6": (7, 7, 512, 2), "fc7": (1, 1, 2, 2), "fc8": (1, 1, 2, 3)}.items():
        add("conv", name, np.ones(shape, np.float32), np.ones((1, shape[3]), np.float32))
    add("softmax", "prob")
    image = np.broadcast_to(np.float32(mean), (1, 1, 3) if newer else (224, 224, 3))
    meta = {
        "classes": {"name": cell("n01440764", "n01443537"), "description": cell("tench", "fish")},
        "normalization": {"imageSize": [224.0, 224.0, 3.0], "averageImage": image, "border": 0.0},
    }
    save_mat(path, {"layers": cell(*layers)} | ({"meta": meta} if newer else meta))


def save_mat(path, contents):
    with open(path, "wb") as file:  # savemat would append .mat to a name
        scipy.io.savemat(file, contents)


def state_dict(weights, *top):
    result = {key: np.ones(2, np.float32) for key in top}
    for index, (kernel, bias) in zip(TORCH_INDICES, weights.values(), strict=True):
        result |= {f"features.{index}.weight": kernel, f"features.{index}.bias": bias}
    return result


def write_pth(path, weights, **options):
    import torch

    arrays = state_dict(weights, "classifier.0.weight", "classifier.0.bias")
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path, **options)


def write_safetensors(path, weights):
    arrays = state_dict(weights, "pre_logits.fc1.weight", "pre_logits.fc1.bias", "head.fc.weight")
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})


def write_keras(path, weights, *, root="/", names="{0}_W_1:0 {0}_b_1:0", full=False):
    """The published files; with `root`, what a newer Keras writes for a compiled model."""
    groups = {f"block{name[4]}_conv{name[6]}": arrays for name, arrays in weights.items()}
    if full:
        groups["fc1"] = np.ones((2, 3, 1, 1)), np.ones(2)
    with h5py.File(path, "w") as file:
        parent = file.require_group(root)
        parent.attrs["layer_names"] = np.bytes_([*groups, "block1_pool"])
        parent.create_group("block1_pool").attrs["weight_names"] = np.array([], "S1")
        for layer, (kernel, bias) in groups.items():
            group = parent.create_group(layer)
            labels = names.format(layer).split()
            group.attrs["weight_names"] = np.bytes_(labels) if root == "/" else labels
            group[labels[0]], group[labels[1]] = kernel.transpose(2, 3, 1, 0), bias
        if root != "/":
            group = file.create_group("optimizer_weights")
            group.attrs["weight_names"] = ["adam/block1_conv1/kernel"]
            group["adam/block1_conv1/kernel"] = np.zeros((3, 3, 3, 64), np.float32)


def write_keras3(path, weights):
    with h5py.File(path, "w") as file:
        for i, (name, (kernel, bias)) in enumerate(weights.items()):
            group = file.create_group(f"layers/conv2d_{i}/vars" if i else "layers/conv2d/vars")
            group.attrs["name"] = f"block{name[4]}_conv{name[6]}"
            group["0"], group["1"] = kernel.transpose(2, 3, 1, 0), bias
        file.create_group("layers/max_pooling2d/vars").attrs["name"] = "block1_pool"


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


def test_mean_of_the_newer_mat_is_read_and_is_optional(path, zeros):
    write_mat(path, zeros, newer=True, mean=OTHER_MEAN_RGB)
    np.testing.assert_allclose(vgg_files.load_vgg_params(path)["input_mean"], OTHER_MEAN_RGB)
    save_mat(path, {"layers": scipy.io.loadmat(path)["layers"]})
    vgg_params = vgg_files.load_vgg_params(path)
    np.testing.assert_allclose(vgg_params["input_mean"], MEAN_RGB, rtol=1e-6)
    np.testing.assert_array_equal(vgg_params["input_scale"], [255.0] * 3)


def test_random_weights_are_those_of_the_ground_truth_recipe(path):
    rng = np.random.default_rng(0)
    weights = {}
    for name, (cin, cout) in SHAPES.items():
        stored = (rng.standard_normal((3, 3, cin, cout)) * np.sqrt(2 / (9 * cin))).astype("f4")
        weights[name] = stored.transpose(3, 2, 1, 0), np.zeros(cout, np.float32)
    write_mat(path, weights, newer=False)
    from_file, drawn = vgg_files.load_vgg_params(path), vgg_files.random_vgg_params(0)
    jax.tree.map(np.testing.assert_array_equal, from_file, drawn)
    np.testing.assert_array_equal(drawn["conv5_4"]["kernel"], stored.transpose(1, 0, 2, 3))


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


def test_checksum_is_named_and_recognised(path, zeros, monkeypatch, caplog):
    write_safetensors(path, zeros)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with caplog.at_level(logging.INFO, logger="absl"):
        vgg_files.load_vgg_params(path)
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warned) == 1
        assert str(path) in warned[0]
        assert digest in warned[0]
        caplog.clear()
        monkeypatch.setitem(vgg_files._KNOWN_CHECKSUMS, f"sha256 {digest[:8]}", "a published file")
        vgg_files.load_vgg_params(path)
        assert {record.levelname for record in caplog.records} == {"INFO"}
        assert "a published file" in caplog.text


def write_vgg16_mat(path, zeros):
    write_mat(path, {n: zeros[n] for n in zeros if n[4:] not in ("3_4", "4_4", "5_4")}, newer=True)


def write_not_finite(path, zeros):
    kernel = np.full((64, 3, 3, 3), np.nan, np.float32)
    write_safetensors(path, zeros | {"conv1_1": (kernel, np.zeros(64, np.float32))})


def write_keras_other_net(path, zeros):
    write_keras(path, zeros | {"conv1_1": (np.zeros((64, 3, 7, 7)), np.zeros(64))})


def bytes_of(content):
    return lambda path, zeros: path.write_bytes(content)


def halved(write):
    return lambda path, zeros: (write(path, zeros), os.truncate(path, path.stat().st_size // 2))


BAD_FILES = {
    "empty": (bytes_of(b""), "not a file of VGG-19"),
    "text": (bytes_of(b"hello " * 100), "not a file of VGG-19"),
    "web page": (bytes_of(b"\n<!DOCTYPE html><html>404</html>"), "web page"),
    "mat v7.3": (bytes_of(b"MATLAB 7.3 MAT-file".ljust(600)), "7.3"),
    "mat of something else": (lambda path, zeros: save_mat(path, {"a": 1.0}), "layers"),
    "mat of VGG-16": (write_vgg16_mat, "conv3_4"),
    "mat truncated": (halved(write_vgg16_mat), "damaged"),
    "not finite": (write_not_finite, "conv1_1.*not finite"),
    "safetensors truncated": (halved(write_safetensors), "damaged"),
    "keras without a layer": (lambda path, zeros: write_keras(path, {}), "conv1_1 is missing"),
    "keras of another net": (write_keras_other_net, r"conv1_1.*\(7, 7, 3, 64\)"),
    "keras truncated": (halved(write_keras), "damaged"),
}
BAD_TORCH_FILES = {
    "pth truncated": (halved(write_pth), "damaged"),
    "zip of something else": (bytes_of(b"PK\x03\x04".ljust(200, b"\0")), "damaged"),
    "pickle of a list": (bytes_of(pickle.dumps([1, 2], protocol=2)), "damaged"),
}


def assert_refused(path, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        vgg_files.load_vgg_params(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "imagenet-vgg-verydeep-19.mat" in message  # the remedy


@pytest.mark.parametrize("kind", [*BAD_FILES, *BAD_TORCH_FILES])
def test_bad_file_ends_in_one_line(kind, path, zeros, request):
    if kind in BAD_TORCH_FILES:
        request.getfixturevalue("torch")
    write, pattern = (BAD_FILES | BAD_TORCH_FILES)[kind]
    write(path, zeros)
    assert_refused(path, pattern)


def test_missing_file_says_where_to_get_one(tmp_path):
    assert_refused(tmp_path / "no.mat", "no such file.*--config.vgg.weights=random")
    assert_refused(tmp_path, "no such file")


def test_pytorch_is_optional(path, monkeypatch):
    path.write_bytes(pickle.dumps({}, protocol=2))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"needs PyTorch.*safetensors"):
        vgg_files.load_vgg_params(path)


class CreatesDirectory:
    """Unpickled, it creates a directory."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("how", ["pickle", "legacy", "zip"])
def test_pickled_code_is_not_executed(how, path, tmp_path, torch):
    target = tmp_path / "created"
    contents = {"features.0.weight": CreatesDirectory(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(contents, protocol=2))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=how == "zip")
    assert_refused(path, "more than tensors")
    assert not target.exists()
    pickle.loads(pickle.dumps(contents, protocol=2))
    assert target.exists()  # it would have
