"""LPIPS against torchmetrics, with random weights in torchvision's layout; absent libraries."""

import importlib.util
import json
import logging
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import tiny

from dped_jax.base.errors import InputError
from dped_jax.evaluate import perceptual
from dped_jax.evaluate.scores import score_batches, summarize

torch = pytest.importorskip("torch", reason="PyTorch is the independent implementation")


def alexnet_features():
    """torchvision's AlexNet up to its last pool, as torchvision documents it."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    return alexnet_features()


@pytest.fixture(scope="module")
def weights(features, tmp_path_factory):
    """A file as torchvision's alexnet-owt-7be5be79.pth, its classifier cut short."""
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    tensors = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    torch.save(tensors | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return str(path)


@pytest.fixture(scope="module")
def pictures():
    """Three photographs and blurred, darker ones, (3, 100, 120, 3) float32."""
    photos = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")]
    target = np.stack([photo[50:150, 60:180] for photo in photos])
    images = np.stack([0.8 * cv2.blur(photo, (1, 1 + 2 * i)) for i, photo in enumerate(target)])
    return np.float32(images / 255), np.float32(target / 255)


def test_lpips_is_that_of_torchmetrics(features, weights, pictures, monkeypatch):
    library = pytest.importorskip("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(library, "_get_tv_model_features", lambda *_: features)  # not torchvision
    images, target = pictures
    tensors = [torch.from_numpy(array).movedim(3, 1) for array in pictures]
    expected = library.learned_perceptual_image_patch_similarity(
        *tensors, net_type="alex", reduction="none", normalize=True
    )
    lpips = perceptual.make_measures(["lpips"], weights)["lpips"]
    scores = np.asarray(lpips(images, target))
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-4)
    assert scores.min() > 1e-4
    assert np.ptp(scores) > 0.1 * scores.mean()
    np.testing.assert_array_equal(lpips(target, target), 0)
    with pytest.raises(InputError, match="at least 31 pixels a side, not 30x40"):
        lpips(images[:, :30, :40], target[:, :30, :40])
    assert np.isfinite(lpips(images[:, :31, :31], target[:, :31, :31])).all()


def test_the_command_adds_lpips_to_the_scores(weights, tmp_path):
    tiny.write_pairs(tmp_path, 3)
    given = [f"--enhanced_dir={tmp_path}/phone", f"--dslr_dir={tmp_path}/dslr"]
    given += [f"--json={tmp_path}/scores.json", "--perceptual=lpips", f"--lpips_weights={weights}"]
    result = tiny.command("dped_jax.evaluate", *given)
    assert result.returncode == 0, result.stderr
    assert "not the published AlexNet" in result.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["enhanced"]
    assert scores.keys() == {"psnr", "ms_ssim", "ssim", "identical_pairs", "lpips"}
    assert f"LPIPS {scores['lpips']:.4f}" in result.stdout


def test_perceptual_scores_are_of_clipped_images_and_of_each_image():
    batch = {"phone": np.full((3, 40, 40, 3), 200, np.uint8)}
    batch |= {"dslr": batch["phone"], "enhanced": batch["phone"]}
    measures = {"highest": lambda images, target: images.max((1, 2, 3)) + 0 * target[:, 0, 0, 0]}
    scores = score_batches(lambda phone: phone / np.float32(100), [batch], measures=measures)
    np.testing.assert_allclose(scores["input"]["highest"], [200 / 255] * 3, rtol=1e-6)
    np.testing.assert_array_equal(scores["enhanced"]["highest"], [1, 1, 1])
    assert summarize(scores["enhanced"])["highest"] == 1


def test_what_is_missing_is_told(weights, tmp_path, monkeypatch):
    def refused(match, *given):
        with pytest.raises(InputError, match=match) as error:
            perceptual.make_measures(*given)
        assert "\n" not in str(error.value)

    refused("no 'ssim'; use lpips, niqe", ["ssim"])
    refused("give alexnet-owt-7be5be79.pth .* as --lpips_weights", ["lpips"])
    refused(r"nowhere.pth: no such file; give alexnet", ["lpips"], "nowhere.pth")
    (tmp_path / "text.pth").write_text("text")
    refused(r"text.pth: damaged, or not AlexNet", ["lpips"], str(tmp_path / "text.pth"))
    wrong = {name: tensor[:2] for name, tensor in torch.load(weights).items()}
    torch.save(wrong, tmp_path / "wrong.pth")
    refused("wrong.pth: damaged, or not AlexNet", ["lpips"], str(tmp_path / "wrong.pth"))
    refused("give niqe_weights.pt .* as --niqe_weights", ["niqe"])
    refused("nowhere.pt: no such file; give niqe", ["niqe"], None, "nowhere.pt")
    monkeypatch.setitem(sys.modules, "deepinv", None)
    refused("niqe: pip install deepinv", ["niqe"], None, weights)
    monkeypatch.setitem(sys.modules, "torch", None)
    refused("needs PyTorch: pip install torch", ["lpips"], weights)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused("lpips: needs its heads: pip install torchmetrics", ["lpips"], weights)


def test_the_published_file_is_not_warned_about(weights, monkeypatch, caplog):
    with open(weights, "rb") as file:
        digest = perceptual.hashlib.file_digest(file, "sha256").hexdigest()
    with caplog.at_level(logging.WARNING):
        perceptual.make_lpips(weights)
        assert "not the published AlexNet" in caplog.text
        caplog.clear()
        monkeypatch.setattr(perceptual, "_ALEXNET_SHA256", digest[:8])
        perceptual.make_lpips(weights)
        assert not caplog.text


@pytest.mark.skipif(not importlib.util.find_spec("deepinv"), reason="needs deepinv, for NIQE")
def test_niqe_rises_with_noise_and_refuses_patches(tmp_path):
    from deepinv.loss.metric import NIQE

    photos = [skimage.data.astronaut(), skimage.data.coffee()[:384, :480]]
    clean = [torch.from_numpy(photo.transpose(2, 0, 1)).float() for photo in photos]
    weights = tmp_path / "niqe.pt"
    NIQE(weights_path=None, round_tensor=True).create_weights(clean, 0.2, weights)
    niqe = perceptual.make_measures(["niqe"], None, str(weights))["niqe"]
    cat = np.float32(skimage.data.chelsea()[:288, :384] / 255)
    noise = np.random.default_rng(0).normal(0, 0.1, cat.shape)
    noisy = np.float32(np.clip(cat + noise, 0, 1))
    scores = niqe(np.stack([cat, noisy]), None)
    assert scores.shape == (2,)
    assert scores[1] > scores[0] + 1
    with pytest.raises(InputError, match="whole photographs"):
        niqe(cat[None, :100, :100], None)
