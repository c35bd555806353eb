"""Files of VGG-19's weights as others write them, each layout with its own convention.

Kernels are given as PyTorch has them, (out, in, H, W); fully connected layers are tiny.
"""

import h5py
import numpy as np
import safetensors.numpy
import scipy.io

CHANNELS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
CONVS = [f"conv{b}_{i}" for b, n in zip("12345", (2, 2, 4, 4, 4), strict=True) for i in "1234"[:n]]
OUTPUTS = [CHANNELS[name[4]] for name in CONVS]
SHAPES = {name: pair for name, *pair in zip(CONVS, [3, *OUTPUTS], OUTPUTS, strict=False)}
TORCH_INDICES = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
MEAN_RGB = [123.68, 116.779, 103.939]
OTHER_MEAN_RGB = [120.5, 110.25, 99.0]  # unlike the published one: it must come from the file


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
