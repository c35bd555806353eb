"""The simulated camera: each step does what its name says, and the whole can be undone."""

import dataclasses
import re

import cv2
import numpy as np
import pytest

from data_builders.dped import patch_files, patch_pairs, simulate

NEUTRAL = simulate.Camera(
    blur_sigma=1e-3,
    vignetting=0.0,
    exposure=1.0,
    cast=(1.0, 1.0, 1.0),
    shot_noise=0.0,
    read_noise=0.0,
    saturation=1.0,
    contrast=1.0,
    haze=0.0,
    jpeg_quality=100,
)


def shoot(photo, seed=0, **changes):
    camera = dataclasses.replace(NEUTRAL, **changes)
    out = simulate.simulate_phone(photo, camera, np.random.default_rng(seed))
    assert (out.shape, out.dtype) == (photo.shape, np.uint8)
    return np.float64(out)


@pytest.fixture
def flat():
    return np.full((120, 160, 3), (200, 120, 60), np.uint8)


def test_a_neutral_camera_changes_nothing_but_jpeg_rounding(flat):
    np.testing.assert_allclose(shoot(flat), flat, atol=1)


def test_exposure_and_cast_are_factors(flat):
    out = shoot(flat, exposure=0.8, cast=(1.1, 1.0, 0.9))
    np.testing.assert_allclose(out, flat * [0.88, 0.8, 0.72], atol=1.5)


def test_vignetting_darkens_the_corners_only(flat):
    out = shoot(flat, vignetting=0.25)
    np.testing.assert_allclose(out[58:62, 78:82].mean((0, 1)), flat[0, 0], atol=1.5)
    np.testing.assert_allclose(out[0, 0], 0.75 * flat[0, 0], atol=2)
    np.testing.assert_allclose(out[0, 80], 0.875 * flat[0, 0], atol=2)


def test_no_saturation_is_gray_of_the_same_luma(flat):
    out = shoot(flat, saturation=0.0)
    np.testing.assert_allclose(out, 0.299 * 200 + 0.587 * 120 + 0.114 * 60, atol=1.5)


def test_contrast_turns_about_mid_gray_and_haze_lifts_black(flat):
    out = shoot(flat, contrast=0.5, haze=0.1)
    np.testing.assert_allclose(out, 127.5 + 0.5 * (flat - 127.5) + 25.5, atol=1.5)


def test_noise_grows_with_light():
    # Gray levels, since JPEG keeps brightness at full resolution.
    for level in (60, 180):
        photo = np.full((200, 200, 3), level, np.uint8)
        out = shoot(photo, shot_noise=0.001, read_noise=0.0005) @ [0.299, 0.587, 0.114]
        variance = (0.001 * level / 255 + 0.0005) * (0.299**2 + 0.587**2 + 0.114**2)
        assert np.std(out) / 255 == pytest.approx(np.sqrt(variance), rel=0.1)


def test_blur_has_the_width_it_says():
    photo = np.zeros((101, 101, 3), np.uint8)
    photo[:, 50:] = 255
    edge = np.diff(shoot(photo, blur_sigma=2.0)[50, :, 1]) / 255  # the line spread function
    position = np.arange(100) - np.sum(np.arange(100) * edge) / np.sum(edge)
    assert np.sqrt(np.sum(position**2 * edge) / np.sum(edge)) == pytest.approx(2.0, rel=0.1)


def test_patches_are_cut_row_by_row():
    photo = np.arange(250 * 330 * 3, dtype=np.uint32).reshape(250, 330, 3)
    patches = simulate.crop_patches(photo, 100)
    assert len(patches) == 2 * 3
    np.testing.assert_array_equal(patches[4], photo[100:200, 100:200])
    assert len(simulate.crop_patches(photo, 50)) == 4 * 5


def test_seed_fixes_camera_and_noise(tmp_path):
    def made(name, seed):
        simulate.write_dataset(tmp_path / name, seed)
        return [file.read_bytes() for file in sorted((tmp_path / name).rglob("*.jpg"))]

    first = made("a", 0)
    assert made("b", 0) == first
    assert made("c", 1) != first


def load(folder, subsample=1):
    files = sorted(folder.iterdir(), key=lambda file: int(file.stem))
    images = [cv2.imread(str(file))[::subsample, ::subsample] for file in files]
    return np.stack(images).astype(np.float64) / 255


def psnr(a, b):
    return np.mean(-10 * np.log10(np.mean((a - b) ** 2, axis=(1, 2, 3))))


def test_command_writes_the_published_layout_that_a_colour_map_can_undo(tmp_path, run_command):
    done = run_command("simulate", f"--output_dir={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert "SIMULATED" in done.stdout
    root = tmp_path / "out" / "custom"
    splits = patch_pairs.find_published(root, "phone", "dslr")
    assert 200 < len(splits["train"]) < 1000
    assert (len(splits["validation"]), len(splits["test"])) == (12, 24)
    for pairs in splits.values():
        assert not any(checked.problems for checked in patch_files.read_checked(pairs))
    (whole,) = (root / "test_data/full_size_test_images").iterdir()
    assert cv2.imread(str(whole)).shape == (400, 600, 3)

    phone, dslr = (load(root / "test_data/patches" / camera) for camera in ("phone", "dslr"))
    assert 17 < psnr(phone, dslr) < 20
    printed = float(re.search(r"([0-9.]+) dB", done.stdout)[1])
    assert psnr(phone, dslr) == pytest.approx(printed, abs=0.2)

    def terms(x):
        b, g, r = np.moveaxis(x, -1, 0)
        return np.stack([b, g, r, b * b, g * g, r * r, b * g, b * r, g * r, 0 * b + 1], -1)

    train = [load(root / "training_data" / camera, 5) for camera in ("phone", "dslr")]
    fit = np.linalg.lstsq(terms(train[0]).reshape(-1, 10), train[1].reshape(-1, 3), rcond=None)[0]
    assert psnr(np.clip(terms(phone) @ fit, 0, 1), dslr) > psnr(phone, dslr) + 6


def test_an_existing_folder_is_left_alone(tmp_path, run_command):
    (tmp_path / "mine.txt").write_text("mine")
    done = run_command("simulate", f"--output_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: --output_dir={tmp_path}: is already there: name another or remove it\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing(tmp_path):
    def fill(folder):
        with simulate._made_whole(folder) as scratch:
            (scratch / "custom").mkdir()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill(tmp_path / "out")
    assert not list(tmp_path.iterdir())
