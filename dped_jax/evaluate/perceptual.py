"""Scores nearer to what people see, for `evaluate --perceptual=lpips,niqe`; lower is better.

- LPIPS, version 0.1 with AlexNet, compares with the target. It runs in PyTorch; its weights are the
  user's file of torchvision's AlexNet and the heads that torchmetrics ships (0.5 MB of package;
  torchvision is not needed).
- NIQE takes no target: deepinv computes it, from its weights file. It is for whole photographs:
  from fewer than two blocks of 96x96 pixels, as in a patch of 100x100, it cannot be computed.

Both are optional, and nothing is downloaded.
"""

import hashlib
import importlib.util
import pathlib
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from dped_jax.base.errors import InputError

# (images, target) -> (N,) scores; both (N, H, W, 3) float32 in [0, 1].
Measure = Callable[[jax.Array, jax.Array], Any]

_ALEXNET_SHA256 = "7be5be79"  # its start, of the published file
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of inputs in [-1, 1]
_HEADS = "functional/image/lpips_models/alex.pth"  # in the folder of torchmetrics
MIN_LPIPS_SIDE = 31  # pixels; of smaller images the last layers have none
_DAMAGED = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, AttributeError)

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
    makers = {
        "lpips": (make_lpips, lpips_weights, LPIPS_REMEDY),
        "niqe": (make_niqe, niqe_weights, NIQE_REMEDY),
    }
    measures = {}
    for name in names:
        if name not in makers:
            raise InputError(f"--perceptual={','.join(names)}: no {name!r}; use lpips, niqe")
        make, path, remedy = makers[name]
        if not path or not pathlib.Path(path).is_file():
            where = f"{path}: no such file" if path else f"--perceptual={name}"
            raise InputError(f"{where}; {remedy}")
        measures[name] = make(path)
    return measures


def make_lpips(path: str) -> Measure:
    """Builds the learned perceptual image patch similarity (Zhang et al., CVPR 2018, eq. 1).

    Args:
      path: torchvision's AlexNet file; nothing but tensors is unpickled.

    Returns:
      A measure of at least 0, which is 0 for identical images. It raises InputError where a side
      has fewer than 31 pixels.

    Raises:
      InputError: PyTorch or torchmetrics is missing, or it is another file.
    """
    torchmetrics = importlib.util.find_spec("torchmetrics")
    if not torchmetrics or not torchmetrics.origin:
        raise InputError("--perceptual=lpips: needs its heads: pip install torchmetrics")
    try:
        import torch
    except ImportError as error:
        raise InputError(f"{path}: reading it needs PyTorch: pip install torch") from error
    file = pathlib.Path(torchmetrics.origin).parent / _HEADS
    heads = torch.load(file, map_location="cpu", weights_only=True)
    features = _read_alexnet(path)
    shift, scale = (torch.tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))

    @torch.inference_mode()
    def measure(images: jax.Array, target: jax.Array) -> np.ndarray:
        if min(images.shape[1:3]) < MIN_LPIPS_SIDE:
            raise InputError(
                f"--perceptual=lpips: needs pictures of at least {MIN_LPIPS_SIDE} pixels a side, "
                f"not {images.shape[1]}x{images.shape[2]} (height x width)"
            )
        both = torch.from_numpy(np.concatenate([images, target])).movedim(3, 1)
        x, scores = (2 * both - 1 - shift) / scale, []
        for layer in features:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                unit, unit_of_target = torch.nn.functional.normalize(x, dim=1).chunk(2)
                head = heads[f"lin{len(scores)}.model.1.weight"]
                scores.append((head * (unit - unit_of_target) ** 2).sum(1).mean((1, 2)))
        return sum(scores).numpy()

    return measure


def _read_alexnet(path: str) -> Any:
    """The convolutions of AlexNet up to its last ReLU, with torchvision's names and weights."""
    import torch
    from torch.nn import Conv2d, MaxPool2d, ReLU

    features = torch.nn.Sequential(
        *(Conv2d(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, 2)),
        *(Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, 2)),
        *(Conv2d(192, 384, 3, padding=1), ReLU()),
        *(Conv2d(384, 256, 3, padding=1), ReLU()),
        *(Conv2d(256, 256, 3, padding=1), ReLU()),
    )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        features.load_state_dict({k: tensors[f"features.{k}"] for k in features.state_dict()})
    except _DAMAGED as error:
        raise InputError(f"{path}: damaged, or not AlexNet's weights; {LPIPS_REMEDY}") from error
    with open(path, "rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(_ALEXNET_SHA256):
            logging.warning("%s: not the published AlexNet: its LPIPS compares with no other", path)
    return features


def make_niqe(path: str) -> Measure:
    """Builds the natural image quality evaluator (Mittal et al., 2013), as deepinv computes it.

    Args:
      path: deepinv's weights, which it would download otherwise.

    Returns:
      A measure that looks at the images alone. It raises InputError where they are too small.

    Raises:
      InputError: deepinv is missing, or it is another file.
    """
    try:
        import torch
        from deepinv.loss.metric import NIQE
    except (ImportError, RuntimeError) as error:  # the latter where torch and torchvision differ
        raise InputError(f"--perceptual=niqe: pip install deepinv ({error})") from error
    try:
        evaluator = NIQE(weights_path=path, round_tensor=True)
    except _DAMAGED as error:
        raise InputError(f"{path}: damaged, or not NIQE's weights; {NIQE_REMEDY}") from error

    def measure(images: jax.Array, target: jax.Array) -> np.ndarray:
        del target
        levels = torch.from_numpy(255 * np.array(images).transpose(0, 3, 1, 2))
        try:
            return evaluator(levels).numpy()
        except RuntimeError as error:
            raise InputError(f"--perceptual=niqe: only whole photographs: {error}") from error

    return measure
