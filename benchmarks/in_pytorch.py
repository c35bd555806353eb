"""The steps of `release.py` and `mobile.py` as somebody would write them in plain PyTorch.

Parameters are dictionaries from flax's names, joined by "/", to tensors; images are NCHW float32.
Nothing of `dped_jax` is used here: tests compare losses and gradients of both.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

Params = dict[str, torch.Tensor]
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
BLOCKS = (2, 2, 4, 4, 4)  # of VGG-19


def tensors(arrays: dict[str, np.ndarray]) -> Params:
    """Parameters of flax's names and layout as leaves with gradients, kernels of convs OIHW."""
    found = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.array(array))
        tensor = tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor
        found[name] = tensor.requires_grad_()
    return found


def to_images(pixels: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


def conv(params: Params, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """A convolution with TensorFlow's 'SAME' padding."""
    kernel = params[f"{name}/kernel"]
    size = kernel.shape[-1]
    missing = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[2:]]
    if stride == 1:
        return functional.conv2d(x, kernel, params[f"{name}/bias"], padding=size // 2)
    (top, left), (bottom, right) = ([f(n / 2) for n in missing] for f in (math.floor, math.ceil))
    x = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(x, kernel, params[f"{name}/bias"], stride)


def norm(params: Params, name: str, x: torch.Tensor) -> torch.Tensor:
    """Instance norm."""
    layer = f"{name}/InstanceNorm_0"
    weight, bias = params[f"{layer}/scale"], params[f"{layer}/bias"]
    return functional.instance_norm(x, weight=weight, bias=bias, eps=1e-3)


def resnet(params: Params, images: torch.Tensor) -> torch.Tensor:
    """The generator with instance norm."""
    x = torch.relu(conv(params, "conv_first", images))
    for i in itertools.count():
        if f"block{i}_conv0/kernel" not in params:
            break
        skip = x
        for j in range(2):
            x = conv(params, f"block{i}_conv{j}", x)
            x = torch.relu(norm(params, f"block{i}_norm{j}", x))
        x = skip + x
    for j in range(2):
        x = torch.relu(conv(params, f"conv_post{j}", x))
    return 0.58 * torch.tanh(conv(params, "conv_last", x)) + 0.5


def discriminator(params: Params, images: torch.Tensor) -> torch.Tensor:
    """The release's: (N, 1, H, W) to (N,) logits of "this is a DSLR image"."""
    x = images
    for i, stride in enumerate((4, 2, 1, 1, 2)):
        x = functional.leaky_relu(conv(params, f"conv{i}", x, stride), 0.2)
        x = norm(params, f"norm{i}", x) if i else x
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = functional.leaky_relu(x @ params["dense0/kernel"] + params["dense0/bias"], 0.2)
    columns = x @ params["dense1/kernel"] + params["dense1/bias"]
    return columns[:, 0] - columns[:, 1]


def gray(images: torch.Tensor) -> torch.Tensor:
    """Luma, (N, 3, H, W) to (N, 1, H, W)."""
    return torch.einsum("c,nchw->nhw", torch.tensor([0.2989, 0.5870, 0.1140]), images)[:, None]


def vgg(params: Params, images: torch.Tensor) -> torch.Tensor:
    """Features relu5_4."""
    scale, mean = (params[f"input_{name}"][:, None, None] for name in ("scale", "mean"))
    x = images * scale - mean
    for block, num in enumerate(BLOCKS, 1):
        x = functional.max_pool2d(x, 2, ceil_mode=True) if block > 1 else x
        for i in range(1, num + 1):
            x = torch.relu(conv(params, f"conv{block}_{i}", x))
    return x


def blurred(images: torch.Tensor, factor: torch.Tensor, padding: int) -> torch.Tensor:
    """Filters each channel with a separable kernel."""
    channels, size = images.shape[1], len(factor)
    down = factor.reshape(1, 1, size, 1).expand(channels, -1, -1, -1)
    x = functional.conv2d(images, down, groups=channels, padding=(padding, 0))
    across = down.transpose(2, 3)
    return functional.conv2d(x, across, groups=channels, padding=(0, padding))


def release_kernel() -> torch.Tensor:
    """The factor of the release's blur kernel."""
    edges = torch.linspace(-3 - 1 / 6, 3 + 1 / 6, 22, dtype=torch.float64)
    masses = torch.diff(torch.special.ndtr(edges))
    return (masses.sqrt() / masses.sqrt().sum()).float()


def release_terms(
    params: dict[str, Params], kernel: torch.Tensor, phone: torch.Tensor, target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The generator's losses of `release.py`, each unweighted."""
    enhanced = resnet(params["generator"], phone)
    with torch.no_grad():
        wanted = vgg(params["vgg"], target)
    logits = discriminator(params["discriminator"], gray(enhanced))
    color = blurred(enhanced - target, kernel, len(kernel) // 2).square().sum((1, 2, 3)) / 2
    down, across = enhanced.diff(dim=2).square(), enhanced.diff(dim=3).square()
    fake = functional.softplus(logits).clamp(max=-math.log(1e-10))
    return {
        "color": color.mean(),
        "content": functional.mse_loss(vgg(params["vgg"], enhanced), wanted),
        "tv": down.mean() + across.mean(),
        "texture": -fake.sum(),
    }


def halved(x: torch.Tensor) -> torch.Tensor:
    """Means of 2x2 pixels; the last row and column are repeated where their number is odd."""
    odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    return functional.avg_pool2d(functional.pad(x, odd, mode="replicate"), 2)


def ms_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """MS-SSIM of the PIRM-2018 kit, (N,)."""
    a, b = 255 * a - 127.5, 255 * b - 127.5
    terms = []
    for k in range(5):
        a, b = (halved(a), halved(b)) if k else (a, b)
        window = min(11, *a.shape[2:])
        offsets = torch.arange(window) - (window - 1) / 2
        factor = torch.exp(-offsets.square() / (2 * (1.5 * window / 11) ** 2))
        moments = blurred(torch.cat([a, b, a * a, b * b, a * b], 1), factor / factor.sum(), 0)
        mean_a, mean_b, square_a, square_b, product = moments.chunk(5, 1)
        variances = square_a - mean_a**2 + square_b - mean_b**2
        contrast = (2 * (product - mean_a * mean_b) + 58.5225) / (variances + 58.5225)
        mean_a, mean_b = mean_a + 127.5, mean_b + 127.5
        luminance = (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
        terms.append((contrast if k < 4 else contrast * luminance).mean((1, 2, 3)))
    return torch.stack(terms, 1).clamp(min=0).pow(torch.tensor(MS_SSIM_WEIGHTS)).prod(1)


def _act(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2)


def _extended(params: Params, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(x, params[f"{name}/kernel"], params[f"{name}/bias"], stride)


def _two(params: Params, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    x = _act(_extended(params, f"{name}_conv0", x, stride))
    return _act(_extended(params, f"{name}_conv1", x))


def unet(params: Params, images: torch.Tensor) -> torch.Tensor:
    """The U-Net of two levels, for images of 100x100."""
    pixels = functional.pad(images, (0, 4, 0, 4), mode="replicate") - 0.5
    n, c, h, w = pixels.shape
    # `pixel_unshuffle` has the channels outside of the block, flax's network inside.
    blocks = functional.pixel_unshuffle(pixels, 2).reshape(n, c, 4, h // 2, w // 2)
    first = _two(params, "down0", blocks.transpose(1, 2).reshape(n, 4 * c, h // 2, w // 2))
    second = _two(params, "down1", first, 2)
    thumbnail = _two(params, "thumbnail", functional.avg_pool2d(pixels, 8)).mean((2, 3))
    dense = params["thumbnail_dense/kernel"], params["thumbnail_dense/bias"]
    vector = torch.relu(thumbnail @ dense[0] + dense[1]) @ params["join_vector/kernel"]
    joined = functional.conv2d(second, params["join/kernel"].T[..., None, None])
    x = _act(joined + params["join/bias"][:, None, None] + vector[..., None, None])
    x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = _two(params, "up0", torch.cat([x, first], 1))
    x = _extended(params, "last", x * first)
    x = x.reshape(n, 4, c, h // 2, w // 2).transpose(1, 2).reshape(n, 4 * c, h // 2, w // 2)
    return images + functional.pixel_shuffle(x, 2)[..., :100, :100]


def mobile_terms(
    params: dict[str, Params], phone: torch.Tensor, target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The losses of `mobile.py`, each unweighted."""
    enhanced = unet(params["generator"], phone)
    similarity = ms_ssim(enhanced, target).mean()
    return {"l1": functional.l1_loss(enhanced, target), "ms_ssim": 1 - similarity}


def gradients(loss: torch.Tensor, params: Params) -> None:
    """Leaves the gradient of a loss at these parameters, and computes no others'."""
    for tensor, grad in zip(
        params.values(), torch.autograd.grad(loss, [*params.values()]), strict=True
    ):
        tensor.grad = grad


def release_steps(params: dict[str, Params], weights: dict[str, float]) -> Iterator[Any]:
    """Sent two pairs of uint8 batches each time, makes a step and gives the loss."""
    kernel = release_kernel()
    optimizers = {
        name: torch.optim.Adam(params[name].values(), 5e-4, eps=1e-8)
        for name in ("generator", "discriminator")
    }
    total = None
    while True:
        batch, following = yield total
        terms = release_terms(params, kernel, *map(to_images, batch))
        total = sum(weights[name] * term for name, term in terms.items())
        gradients(total, params["generator"])
        optimizers["generator"].step()
        phone, target = map(to_images, following)
        with torch.no_grad():
            enhanced = resnet(params["generator"], phone)
        labels = torch.rand(len(phone)) < 0.5
        shown = torch.where(labels[:, None, None, None], gray(target), gray(enhanced))
        logits = discriminator(params["discriminator"], shown)
        losses = functional.softplus(torch.where(labels, -logits, logits))
        gradients(losses.clamp(max=-math.log(1e-10)).sum(), params["discriminator"])
        optimizers["discriminator"].step()
        total = float(total.detach())


def mobile_steps(params: dict[str, Params], weights: dict[str, float]) -> Iterator[Any]:
    """Sent a pair of uint8 batches each time, makes a step and gives the loss."""
    generator = params["generator"]
    groups = [
        {"params": [t for t in generator.values() if t.ndim > 1], "weight_decay": 0.05},
        {"params": [t for t in generator.values() if t.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, 3e-3, betas=(0.9, 0.99))
    average = [t.detach().clone() for t in generator.values()]
    total = None
    while True:
        (batch,) = yield total
        terms = mobile_terms(params, *map(to_images, batch))
        total = sum(weights[name] * term for name, term in terms.items())
        gradients(total, generator)
        torch.nn.utils.clip_grad_norm_(generator.values(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(average, generator.values(), strict=True):
                old.lerp_(new, 0.002)
        total = float(total.detach())
