"""Files of VGG-19's weights: what is read from them, and how others are refused."""

import hashlib
import logging
import os
import pickle
import sys

import jax
import numpy as np
import pytest
import scipy.io
from vgg_layouts import (
    MEAN_RGB,
    OTHER_MEAN_RGB,
    SHAPES,
    save_mat,
    write_keras,
    write_mat,
    write_pth,
    write_safetensors,
)

from dped_jax.base.errors import InputError
from dped_jax.convert import vgg_files


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent implementation")


@pytest.fixture(scope="module")
def zeros():
    """{name: (kernel, bias)} of one byte each."""
    return {
        name: (np.zeros((cout, cin, 3, 3), np.int8), np.zeros(cout, np.int8))
        for name, (cin, cout) in SHAPES.items()
    }


@pytest.fixture
def path(tmp_path):
    """A name that says nothing of the content; the file may be 80 MB, so it goes after the test."""
    path = tmp_path / "weights.bin"
    yield path
    path.unlink(missing_ok=True)


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
