"""Scores nearer to what people see, for `evaluate --perceptual=lpips,niqe`; lower is better.

- LPIPS, version 0.1 with AlexNet, compares with the target. It runs in JAX; its weights are the
  user's file of torchvision's AlexNet and the heads that torchmetrics ships (0.5 MB of package;
  torchvision is not needed).
- NIQE takes no target: deepinv computes it, from its weights file. It is for whole photographs:
  from fewer than two blocks of 96x96 pixels, as in a patch of 100x100, it cannot be computed.

Both are optional, and nothing is downloaded.
"""

import functools
import hashlib
import importlib.util
import pathlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from dped_jax.base.errors import InputError

# (images, target) -> (N,) scores; both (N, H, W, 3) float32 in [0, 1].
Measure = Callable[[jax.Array, jax.Array], Any]

# By torchvision's index of the layer: kernel (out, in, height, width), stride, padding.
ALEXNET = {
    0: ((64, 3, 11, 11), 4, 2),
    3: ((192, 64, 5, 5), 1, 2),
    6: ((384, 192, 3, 3), 1, 1),
    8: ((256, 384, 3, 3), 1, 1),
    10: ((256, 256, 3, 3), 1, 1),
}
_POOLED_BEFORE = (3, 6)
_ALEXNET_SHA256 = "7be5be79"  # its start, of the published file
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of inputs in [-1, 1]
_HEADS = "functional/image/lpips_models/alex.pth"  # in the folder of torchmetrics
MIN_LPIPS_SIDE = 31  # pixels; of smaller images the last layers have none

LPIPS_REMEDY = "give alexnet-owt-7be5be79.pth (download.pytorch.org/models) as --lpips_weights"
NIQE_REMEDY = "give niqe_weights.pt (huggingface.co/deepinv/demo) as --niqe_weights"


def make_measures(
    names: Sequence[str], lpips_weights: str | None = None, niqe_weights: str | None = None
) -> dict[str, Measure]:
    """The perceptual scores of these names, for `evaluate.score`.

    Args:
      names: of "lpips" and "niqe".
      lpips_weights: torchvision's AlexNet file.
      niqe_weights: deepinv's file of NIQE.

    Returns:
      A function by name.

    Raises:
      InputError: another name; a library or a file is missing, or the file is another one.
    """
    makers: dict[str, Callable[[], Measure]] = {
        "lpips": lambda: functools.partial(
            jax.jit(lpips), jax.device_put(load_lpips_params(lpips_weights))
        ),
        "niqe": lambda: make_niqe(niqe_weights),
    }
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise InputError(f"--perceptual={','.join(names)}: no {unknown[0]!r}; use lpips, niqe")
    return {name: makers[name]() for name in names}


def lpips(params: dict[str, Any], images: jax.Array, target: jax.Array) -> jax.Array:
    """Learned perceptual image patch similarity (Zhang et al., CVPR 2018, eq. 1).

    Args:
      params: from `load_lpips_params`.
      images: (N, H, W, 3) float32 in [0, 1], sides of at least 31 pixels.
      target: likewise.

    Returns:
      (N,) float32, at least 0; 0 for identical images.

    Raises:
      InputError: the images are too small.
    """
    if min(images.shape[1:3]) < MIN_LPIPS_SIDE:
        raise InputError(
            f"--perceptual=lpips: needs pictures of at least {MIN_LPIPS_SIDE} pixels a side, not "
            f"{images.shape[1]}x{images.shape[2]} (height x width)"
        )
    layers = zip(
        params["heads"],
        _unit_features(params["convolutions"], images),
        _unit_features(params["convolutions"], target),
        strict=True,
    )
    return sum((jnp.square(x - y) * head).sum(-1).mean((1, 2)) for head, x, y in layers)


def _unit_features(convolutions: Sequence[Any], images: jax.Array) -> Iterator[jax.Array]:
    """Activations after each ReLU, as unit vectors over the channels."""
    x = (2 * images - 1 - jnp.asarray(_SHIFT)) / jnp.asarray(_SCALE)
    for (index, (_, stride, padding)), (kernel, bias) in zip(
        ALEXNET.items(), convolutions, strict=True
    ):
        if index in _POOLED_BEFORE:
            x = nn.max_pool(x, (3, 3), strides=(2, 2))
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        x = nn.relu(x + bias)
        yield x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-10)


def load_lpips_params(path: str | None) -> dict[str, Any]:
    """Reads the weights of LPIPS.

    Args:
      path: torchvision's AlexNet file; needs PyTorch, and nothing but tensors is unpickled.

    Returns:
      "convolutions", a kernel (OIHW) and a bias of each, and "heads", (channels,) of each.

    Raises:
      InputError: the file, PyTorch or torchmetrics is missing, or it is another file.
    """
    if not path:
        raise InputError(f"--perceptual=lpips: {LPIPS_REMEDY}")
    torchmetrics = importlib.util.find_spec("torchmetrics")
    if not torchmetrics or not torchmetrics.submodule_search_locations:
        raise InputError("--perceptual=lpips: needs its heads: pip install torchmetrics")
    shapes = {}
    for index, (shape, _, _) in ALEXNET.items():
        shapes |= {f"features.{index}.weight": shape, f"features.{index}.bias": shape[:1]}
    arrays = list(_read_tensors(path, shapes).values())
    with open(path, "rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(_ALEXNET_SHA256):
            logging.warning("%s: not the published AlexNet: its LPIPS compares with no other", path)
    heads = str(pathlib.Path(torchmetrics.submodule_search_locations[0]) / _HEADS)
    head_shapes: dict[str, tuple[int, ...]] = {
        f"lin{i}.model.1.weight": (1, shape[0], 1, 1)
        for i, (shape, *_) in enumerate(ALEXNET.values())
    }
    return {
        "convolutions": list(zip(arrays[::2], arrays[1::2], strict=True)),
        "heads": [array.reshape(-1) for array in _read_tensors(heads, head_shapes).values()],
    }


def _read_tensors(path: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The tensors of these names and shapes in a file of PyTorch's, as float32 arrays."""
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file; {LPIPS_REMEDY}")
    try:
        import torch

        tensors = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: tensors[name].float().numpy() for name in shapes}
    except ImportError as error:
        raise InputError(f"{path}: reading it needs PyTorch: pip install torch") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise InputError(f"{path}: damaged, or not AlexNet's weights; {LPIPS_REMEDY}") from error
    wrong = [name for name, shape in shapes.items() if found[name].shape != shape]
    if wrong:
        raise InputError(
            f"{path}: not AlexNet: {wrong[0]} is {found[wrong[0]].shape}, not {shapes[wrong[0]]}; "
            f"{LPIPS_REMEDY}"
        )
    return found


def make_niqe(path: str | None) -> Measure:
    """Builds the natural image quality evaluator (Mittal et al., 2013), as deepinv computes it.

    Args:
      path: deepinv's weights, which it would download otherwise.

    Returns:
      A measure that looks at the images alone. It raises InputError where they are too small.

    Raises:
      InputError: the file or deepinv is missing, or it is another file.
    """
    if not path or not pathlib.Path(path).is_file():
        where = f"{path}: no such file" if path else "--perceptual=niqe"
        raise InputError(f"{where}; {NIQE_REMEDY}")
    try:
        import torch
        from deepinv.loss.metric import NIQE
    except (ImportError, RuntimeError) as error:  # the latter where torch and torchvision differ
        raise InputError(f"--perceptual=niqe: pip install deepinv ({error})") from error
    try:
        evaluator = NIQE(weights_path=path, round_tensor=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise InputError(f"{path}: damaged, or not NIQE's weights; {NIQE_REMEDY}") from error

    def measure(images: jax.Array, target: jax.Array) -> np.ndarray:
        del target
        levels = torch.from_numpy(255 * np.array(images).transpose(0, 3, 1, 2))
        try:
            return evaluator(levels).numpy()
        except RuntimeError as error:
            raise InputError(f"--perceptual=niqe: only whole photographs: {error}") from error

    return measure
