"""Readers of the VGG-19 weight files that users have, into the pytree that `vgg` describes."""

import hashlib
import math
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from dped_jax.base.errors import InputError
from dped_jax.models.vgg import VGG19_KERNEL_SHAPES, WEIGHT_FILES

_MAT_AXES = (1, 0, 2, 3)  # stored W, H, in, out
_TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_STD = (0.229, 0.224, 0.225)
_KNOWN_CHECKSUMS = {
    "md5 8ee3263992981a1d26e73b3ca028a123": "imagenet-vgg-verydeep-19.mat (older)",
    "md5 106118b7cf60435e6d8e04f6a6dc3657": "imagenet-vgg-verydeep-19.mat (newer)",
    "md5 253f8cb515780f3b799900260a226db6": "vgg19_weights_…_notop.h5 of Keras",
    "md5 cbe5617147190e668d6c5d5026f83318": "vgg19_weights_….h5 of Keras",
    "sha256 dcbb9e9d": "vgg19-dcbb9e9d.pth of torchvision",
}


def random_vgg_params(seed: int) -> dict[str, Any]:
    """He-normal kernels and zero biases, for trying things out without a weight file.

    Kernels are drawn one after another by `numpy.random.default_rng(seed)` in the axis order of the
    .mat files, (W, H, in, out), and images are normalised as for those files.

    Args:
        seed: of NumPy's generator.

    Returns:
        A `vgg_params` pytree of float32 NumPy arrays.
    """
    generator = np.random.default_rng(seed)
    layers = {}
    for name, shape in VGG19_KERNEL_SHAPES.items():
        kernel = generator.standard_normal(shape) * math.sqrt(2 / (9 * shape[2]))
        layers[name] = kernel, np.zeros(shape[3])
    return _vgg_params((255.0,) * 3, _CAFFE_MEAN, layers, _MAT_AXES)


def load_vgg_params(path: str | os.PathLike) -> dict[str, Any]:
    """Reads pretrained weights from any of the usual VGG-19 files, recognised by their content.

    MatConvNet's .mat, older and newer (RGB 0-255 less a mean, which is read from the file);
    torchvision's .pth, older and newer serialisation (RGB 0-1 less a mean, over a deviation; needs
    PyTorch, and nothing but tensors is unpickled); timm's .safetensors of the same net; Keras' .h5
    with or without the top (BGR 0-255 less a mean). Logs the layout and the checksum, and warns
    when the checksum is not a published one.

    Args:
        path: of the file.

    Returns:
        A `vgg_params` pytree of float32 NumPy arrays.

    Raises:
        InputError: the file is missing, damaged, of no known layout, or holds another network.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise InputError(
            f"{path}: no such file; {WEIGHT_FILES}, or try out --config.vgg.weights=random"
        )
    try:
        reader, layout, algorithm = _reader(path)
        vgg_params = reader(path)
    except InputError:
        raise
    except Exception as error:  # whatever five parsers raise on damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: damaged, or not VGG-19 weights ({reason}); fetch it again or {WEIGHT_FILES}"
        ) from error
    _check_layers(path, vgg_params)
    logging.info("%s: VGG-19 weights in %s", path, layout)
    with open(path, "rb") as file:
        checksum = f"{algorithm} {hashlib.file_digest(file, algorithm).hexdigest()}"
    names = [name for known, name in _KNOWN_CHECKSUMS.items() if checksum.startswith(known)]
    if names:
        logging.info("%s: %s is that of %s", path, checksum, names[0])
    else:
        logging.warning("%s: %s is not that of a published VGG-19 file", path, checksum)
    return vgg_params


def _vgg_params(
    scale: Any, mean: Any, layers: dict[str, tuple[np.ndarray, np.ndarray]], axes: tuple[int, ...]
) -> dict[str, Any]:
    """The pytree, from 4-D kernels whose `axes`, in this order, are height, width, in and out."""
    params = {"input_scale": np.float32(scale), "input_mean": np.float32(mean)}
    for name, (kernel, bias) in layers.items():
        hwio = np.ascontiguousarray(kernel.transpose(axes), np.float32)
        params[name] = {"kernel": hwio, "bias": np.float32(bias).reshape(-1)}
    return params


def _check_layers(path: str, vgg_params: dict[str, Any]) -> None:
    for name, shape in VGG19_KERNEL_SHAPES.items():
        layer = vgg_params.get(name, {})
        shapes = {key: array.shape for key, array in layer.items()}
        if shapes != {"kernel": shape, "bias": shape[-1:]}:
            found = f"has {shapes}, expected a kernel {shape}" if layer else "is missing"
            raise InputError(f"{path}: not VGG-19: {name} {found}; {WEIGHT_FILES}")
        if not all(np.isfinite(array).all() for array in layer.values()):
            raise InputError(
                f"{path}: damaged: {name} has values that are not finite; {WEIGHT_FILES}"
            )


def _reader(path: str) -> tuple[Callable[[str], dict[str, Any]], str, str]:
    """The function for this layout, the layout in words, the algorithm of its known checksums."""
    with open(path, "rb") as file:
        head = file.read(1024)
    torchvision = "torchvision's layout, RGB 0-1 less the mean, over the deviation"
    if head.startswith(b"MATLAB 5.0"):
        return _read_mat, "MatConvNet's layout, RGB 0-255 less the mean", "md5"
    if head.startswith(b"\x89HDF"):
        return _read_keras, "Keras' layout, BGR 0-255 less the mean", "md5"
    if head.startswith((b"PK\x03\x04", b"\x80")):  # a zip archive, or a binary pickle
        return _read_torch, torchvision, "sha256"
    if head[8:9] == b"{":  # the length of a JSON header, then the header
        return _read_safetensors, torchvision, "sha256"
    what = "not a file of VGG-19 weights"
    if head.startswith(b"MATLAB 7.3"):
        what = "a MATLAB 7.3 file, where the published one is of version 5"
    elif head.lstrip().startswith(b"<"):
        what = "a web page, not weights: the download went wrong"
    raise InputError(f"{path}: {what}; {WEIGHT_FILES}")


def _read_mat(path: str) -> dict[str, Any]:
    import scipy.io

    contents = scipy.io.loadmat(path, variable_names=["layers", "normalization", "meta"])
    if "layers" not in contents:
        raise InputError(f"{path}: not VGG-19: it has no variable `layers`; {WEIGHT_FILES}")
    # The field that holds (kernel, bias) is the first in older files and the third in newer ones.
    found = [
        tuple(field.flat)
        for layer in contents["layers"].flat
        for field in (layer[0, 0] if layer.size else ())
        if field.dtype == object and field.size == 2 and field.flat[0].ndim == 4
    ]
    layers = dict(zip(VGG19_KERNEL_SHAPES, found, strict=False))  # fully connected ones follow
    try:
        parent = contents if "normalization" in contents else contents["meta"][0, 0]
        image = parent["normalization"][0, 0]["averageImage"].reshape(-1, 3)
    except (KeyError, ValueError):  # no such variable, no such field
        image = np.array([])
    mean = image.mean(0, np.float64) if image.size else _CAFFE_MEAN
    return _vgg_params((255.0,) * 3, mean, layers, _MAT_AXES)


def _read_torch(path: str) -> dict[str, Any]:
    try:
        import torch

        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs PyTorch: pip install torch, or use timm's model.safetensors"
        ) from error
    except pickle.UnpicklingError as error:  # whose text recommends to execute the file
        raise InputError(
            f"{path}: damaged, or it holds more than tensors and is not executed; {WEIGHT_FILES}"
        ) from error
    return _torchvision_params(tensors, lambda key: tensors[key].float().numpy())


def _read_safetensors(path: str) -> dict[str, Any]:
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        return _torchvision_params(file.keys(), file.get_tensor)


def _torchvision_params(keys: Any, read: Callable[[str], np.ndarray]) -> dict[str, Any]:
    layers = {}
    for name, index in zip(VGG19_KERNEL_SHAPES, _TORCHVISION_INDICES, strict=True):
        pair = f"features.{index}.weight", f"features.{index}.bias"
        if not all(key in keys for key in pair):
            break
        layers[name] = read(pair[0]), read(pair[1])
    std = np.array(_TORCHVISION_STD)
    axes = (2, 3, 1, 0)  # stored out, in, H, W
    return _vgg_params(1 / std, _TORCHVISION_MEAN / std, layers, axes)


def _read_keras(path: str) -> dict[str, Any]:
    import h5py

    arrays = {}

    def visit(group_path: str, group: h5py.Group | h5py.Dataset) -> None:
        if group_path.startswith("optimizer"):
            return
        names = map(os.fsdecode, group.attrs.get("weight_names", []))  # of bytes, or of str
        datasets = {f"{group_path}/{name}": group[name] for name in names}
        if group_path.endswith("vars"):  # .weights.h5 of Keras 3: numbered datasets
            datasets = {f"{group.attrs.get('name')}/{key}": group[key] for key in group}
        for label, dataset in datasets.items():
            if match := re.search(r"block(\d_)conv(\d)", label):
                arrays.setdefault("conv" + match[1] + match[2], {})[dataset.ndim] = dataset[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    layers = {name: (a[4], a[1]) for name, a in arrays.items() if 4 in a and 1 in a}
    if "conv1_1" in layers:  # BGR → RGB
        layers["conv1_1"] = layers["conv1_1"][0][:, :, ::-1], layers["conv1_1"][1]
    return _vgg_params((255.0,) * 3, _CAFFE_MEAN, layers, (0, 1, 2, 3))
