"""The simulated cameras: each step does what its name says, and the photos lie as is written."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from generated_patches import files_below

from data_builders.dped.simulate.photos import Camera, photographs, simulate_phone, write_photos

NEUTRAL = Camera(
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
    out = simulate_phone(photo, camera, np.random.default_rng(seed))
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


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated")
    write_photos(root / "a", seed=0, shots=2)
    return root / "a"


def test_seed_fixes_all_and_more_shots_only_add(tmp_path, photos):
    write_photos(tmp_path / "b", seed=0, shots=1)
    write_photos(tmp_path / "c", seed=1, shots=1)
    two, one, other = (files_below(root) for root in (photos, tmp_path / "b", tmp_path / "c"))
    truth, fewer = (json.loads(files.pop("homographies.json")) for files in (two, one))
    assert one.items() <= two.items()
    assert fewer.items() <= truth.items()
    assert not one.items() & other.items()


def load(file):
    return cv2.imread(str(file)).astype(np.float64) / 255


def warped_dslr(root, stem):
    """The DSLR camera's photo as the phone would see it, by the formula of README.md, and where."""
    truth = json.loads((root / "homographies.json").read_text())[stem]
    phone, dslr = (load(root / camera / f"{stem}.jpg") for camera in ("phone", "dslr"))
    height, width = phone.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    dx, dy = x - (width - 1) / 2, y - (height - 1) / 2
    stretch = 1 + truth["distortion"] * (dx**2 + dy**2) / ((width**2 + height**2) / 4)
    points = np.stack([(width - 1) / 2 + dx * stretch, (height - 1) / 2 + dy * stretch], -1)
    where = cv2.perspectiveTransform(points.reshape(-1, 1, 2), np.array(truth["homography"]))
    where = np.float32(where.reshape(height, width, 2))
    warped = cv2.remap(dslr, where[..., 0], where[..., 1], cv2.INTER_CUBIC)
    inside = np.all((where > 1) & (where < np.array(dslr.shape[1::-1]) - 2), -1)
    return phone, warped, inside


def whole_windows(inside, size=80):
    for y in range(0, inside.shape[0] - size, size):
        for x in range(0, inside.shape[1] - size, size):
            if inside[y : y + size, x : x + size].all():
                yield slice(y, y + size), slice(x, x + size)


STEMS = [f"{name}_{i}" for name in photographs() for i in range(2)]


def test_the_written_geometry_aligns_the_written_photos(photos):
    assert sorted(file.stem for file in (photos / "dslr").iterdir()) == sorted(STEMS)
    shifts = []
    for stem in STEMS:
        phone, warped, inside = warped_dslr(photos, stem)
        assert inside.mean() > 0.9  # the cameras see nearly the same
        hanning = cv2.createHanningWindow((80, 80), cv2.CV_64F)
        for window in whole_windows(inside):
            a, b = (image[window].mean(-1) for image in (phone, warped))
            if np.std(b) > 0.06:  # enough to tell a shift by
                shifts.append(cv2.phaseCorrelate(a - a.mean(), b - b.mean(), hanning)[0])
    assert len(shifts) > 100
    distances = np.linalg.norm(shifts, axis=1)
    assert np.median(distances) < 0.12
    assert np.percentile(distances, 90) < 0.25
    assert np.all(np.abs(np.median(shifts, 0)) < 0.03)


def test_one_map_of_colours_undoes_much_of_what_the_phone_did(photos):
    def terms(x):
        b, g, r = np.moveaxis(x, -1, 0)
        return np.stack([b, g, r, b * b, g * g, r * r, b * g, b * r, g * r, 0 * b + 1], -1)

    def psnr(a, b):
        return -10 * np.log10(np.mean((a - b) ** 2))

    pairs = {}
    for stem in STEMS:
        phone, warped, inside = warped_dslr(photos, stem)
        pairs[stem] = phone[inside], warped[inside]
    test = pairs.pop("coffee_0")
    del pairs["coffee_1"]
    phone, dslr = (np.concatenate([pair[i][::7] for pair in pairs.values()]) for i in range(2))
    fit = np.linalg.lstsq(terms(phone), dslr, rcond=None)[0]
    assert 16 < psnr(*test) < 20
    assert psnr(np.clip(terms(test[0]) @ fit, 0, 1), test[1]) > psnr(*test) + 6


def test_the_phone_has_fewer_pixels_but_keeps_nine_tenths_of_the_size(photos):
    for name, photograph in photographs().items():
        phone, dslr = (load(photos / camera / f"{name}_0.jpg") for camera in ("phone", "dslr"))
        assert phone.shape[0] < dslr.shape[0] < photograph.shape[0]
        # What fits is least where the phone is turned most, by 2.5 degrees.
        fits = 1 / (np.cos(np.radians(2.5)) + np.sin(np.radians(2.5)) * 1.5)
        assert phone.shape[1] > 0.9 * fits * photograph.shape[1]


def test_command_prints_the_camera_and_the_next_command(tmp_path, run_command):
    done = run_command("simulate", f"--output_dir={tmp_path}/out", "--shots=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SIMULATED" in done.stdout
    assert f"5 pairs in {tmp_path}/out/phone" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"next: python -m data_builders.dped.prepare --phone_dir={tmp_path}/out/phone"
        f" --dslr_dir={tmp_path}/out/dslr --scene_separator=_ --output_dir=PATCHES_DIR"
    )
    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent.name == "out") == [
        "dslr",
        "homographies.json",
        "phone",
    ]


def test_an_existing_folder_is_left_alone(tmp_path, run_command):
    (tmp_path / "mine.txt").write_text("mine")
    done = run_command("simulate", f"--output_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: --output_dir={tmp_path}: is already there: name another or remove it\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_flag_is_no_folder(run_command):
    done = run_command("simulate", "--output_dir=")
    assert done.returncode == 1
    assert done.stderr == ("error: --output_dir=: empty; give it a value or leave it out\n")


def test_a_failure_leaves_nothing(tmp_path, run_command):
    output = tmp_path / "new/out"
    done = run_command("simulate", f"--output_dir={output}", max_file_bytes=1000)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
