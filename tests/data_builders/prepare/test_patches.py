"""Patches: the measure, the windows, and how exactly a window is found again."""

import cv2
import numpy as np
import pytest
from real_images import read_patches

from data_builders.dped.prepare import patches

MARGIN = 20  # pixels of real photo around the windows that are disturbed here


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def test_correlation_of_the_published_pairs(shared_data):
    """An independent computation on Rec. 601 gray gave 98.99 % of 297, median 0.954."""
    folder = shared_data / "dped_iphone"
    phone, dslr = (read_patches(folder / camera, range(300)) for camera in ("iphone", "canon"))
    found = np.array([patches.correlation(a, b) for a, b in zip(phone, dslr, strict=True)])
    assert np.isnan(found).sum() == 3  # saturated sky, the same in both
    found = found[~np.isnan(found)]
    assert np.mean(found > 0.9) >= 0.98
    assert np.median(found) == pytest.approx(0.954, abs=0.001)


def test_correlation_is_that_of_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 100, 100, 3), np.uint8)
    b = np.uint8(0.6 * a + 0.4 * b)
    expected = np.corrcoef(*((x @ [0.299, 0.587, 0.114]).ravel() for x in (a, b)))[0, 1]
    assert patches.correlation(a, b) == pytest.approx(expected, abs=1e-4)
    assert patches.correlation(a, 255 - a) == pytest.approx(-1, abs=1e-4)
    assert patches.correlation(a, np.uint8(a // 2 + 9)) == pytest.approx(1, abs=1e-3)


def test_correlation_of_a_blank_patch_is_undefined():
    rng = np.random.default_rng(0)
    textured = rng.integers(0, 256, (100, 100, 3), np.uint8)
    sky = np.uint8(np.rint(rng.normal(230, 0.7, (100, 100, 3))))
    assert np.isnan(patches.correlation(sky, textured))
    assert np.isnan(patches.correlation(textured, sky))
    (pair,) = patches.extract_patches(sky, textured)
    assert pair.blank
    assert (pair.shift, pair.angle) == ((0, 0), 0)


def test_windows_do_not_overlap_and_leave_the_same_at_both_ends():
    photo = np.random.default_rng(0).integers(0, 256, (285, 410, 3), np.uint8)
    pairs = patches.extract_patches(photo, photo, refine=False)
    assert [(pair.x, pair.y) for pair in pairs] == [
        (x, y) for y in (42, 142) for x in (5, 105, 205, 305)
    ]
    for pair in pairs:
        window = photo[pair.y : pair.y + 100, pair.x : pair.x + 100]
        np.testing.assert_array_equal(pair.dslr, window)
        np.testing.assert_array_equal(pair.phone, window)
    assert patches.extract_patches(photo[:99], photo[:99]) == []
    with pytest.raises(ValueError, match="one size"):
        patches.extract_patches(photo, photo[:200])


def disturb(region: np.ndarray, shift: np.ndarray, angle: float) -> np.ndarray:
    """Moves what a region shows by `shift`, and turns it about its middle, clockwise as seen."""
    middle = (np.array(region.shape[1::-1]) - 1) / 2
    matrix = cv2.getRotationMatrix2D(tuple(middle), -angle, 1.0)
    matrix[:, 2] += shift
    size, mode = region.shape[1::-1], cv2.BORDER_REFLECT
    return cv2.warpAffine(region, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=mode)


def degrade(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What tells cameras apart: blur, other colours, noise."""
    light = (cv2.GaussianBlur(patch, (0, 0), 1.0) / 255) ** 0.8 * rng.uniform(0.9, 1.1, 3)
    return np.uint8(np.clip(np.rint(255 * light + rng.normal(0, 3, patch.shape)), 0, 255))


def regions(aligned_city100, camera: str) -> list[tuple[int, int, np.ndarray]]:
    """Real windows with their surroundings, textured ones, as (photo, number, region)."""
    found = []
    for number, aligned in enumerate(aligned_city100):
        photo = getattr(aligned, camera)
        height, width = photo.shape[:2]
        for y in range(MARGIN, height - 100 - MARGIN, 100):
            for x in range(MARGIN, width - 100 - MARGIN, 200):
                rows, columns = (
                    slice(y - MARGIN, y + 100 + MARGIN),
                    slice(x - MARGIN, x + 100 + MARGIN),
                )
                if gray(photo[y : y + 100, x : x + 100]).std() > 6:
                    found.append((number, (rows, columns), photo[rows, columns]))
    return found


@pytest.mark.parametrize("degraded", [False, True])
def test_known_disturbances_of_real_patches_are_recovered(aligned_city100, degraded):
    rng = np.random.default_rng(0)
    errors = []
    inner = slice(MARGIN, MARGIN + 100)
    for _, _, region in regions(aligned_city100, "phone"):
        direction, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, 5)
        shift = length * np.array([np.cos(direction), np.sin(direction)])
        angle = rng.uniform(-3, 3)
        before = region[inner, inner]
        disturbed = disturb(region, shift, angle)
        dslr = disturbed.copy()
        dslr[inner, inner] = degrade(before, rng) if degraded else before
        (pair,) = patches.extract_patches(disturbed, dslr)
        assert (pair.x, pair.y) == (MARGIN, MARGIN)
        errors.append((*(np.array(pair.shift) - shift), pair.angle - angle))
        assert pair.correlation >= patches.correlation(before, pair.dslr) - 0.01
    errors = np.array(errors)
    assert len(errors) > 200
    assert np.median(np.linalg.norm(errors[:, :2], axis=1)) < 0.15
    assert np.median(np.abs(errors[:, 2])) < 0.15


def test_disturbances_between_two_real_cameras_are_recovered(aligned_city100):
    """Relative to where the undisturbed window was found, since the truth is not known there."""
    rng = np.random.default_rng(1)
    errors = []
    for number, where, region in regions(aligned_city100, "phone"):
        dslr = aligned_city100[number].dslr[where]
        (reference,) = patches.extract_patches(region, dslr)
        if reference.correlation < 0.9:
            continue
        shift, angle = rng.uniform(-3, 3, 2), rng.uniform(-2, 2)
        (pair,) = patches.extract_patches(disturb(region, shift, angle), dslr)
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        expected = shift + np.array([[cos, -sin], [sin, cos]]) @ reference.shift
        errors.append((*(np.array(pair.shift) - expected), pair.angle - reference.angle - angle))
    errors = np.array(errors)
    assert len(errors) > 100
    assert np.median(np.linalg.norm(errors[:, :2], axis=1)) < 0.15
    assert np.median(np.abs(errors[:, 2])) < 0.15


def phase_shift(a: np.ndarray, b: np.ndarray) -> float:
    """Distance between two patches by phase correlation, which refinement does not use."""
    window = cv2.createHanningWindow((100, 100), cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(*(np.float32(gray(patch)) for patch in (a, b)), window)
    return float(np.hypot(*shift))


def test_refinement_loses_no_patch_and_brings_the_others_closer(aligned_city100):
    before, after = (
        [
            pair
            for aligned in aligned_city100
            for pair in patches.extract_patches(aligned.phone, aligned.dslr, refine=refine)
        ]
        for refine in (False, True)
    )
    kept = [[pair.correlation > 0.9 for pair in pairs] for pairs in (before, after)]
    assert all(late for early, late in zip(*kept, strict=True) if early)
    assert sum(kept[1]) >= max(414, sum(kept[0]))
    shifts = []
    for pairs, keeps in zip((before, after), kept, strict=True):
        chosen = [pair for pair, keep in zip(pairs, keeps, strict=True) if keep]
        shifts.append(np.median([phase_shift(pair.phone, pair.dslr) for pair in chosen]))
    assert shifts[1] < shifts[0]
    assert shifts[1] < 0.3
    assert max(abs(value) for pair in after for value in pair.shift) <= patches.MAX_SHIFT
    assert max(abs(pair.angle) for pair in after) <= patches.MAX_ANGLE


def test_a_window_at_the_edge_stays_inside_the_photo(aligned_city100):
    """What lies beyond the photo is not made up: the window moves only as far as there is photo."""
    photo = aligned_city100[0].phone[100:300, 100:300]
    phone, dslr = (
        photo[:100, 3:103],
        photo[:100, :100],
    )  # 3 more columns on the left would be needed
    (pair,) = patches.extract_patches(phone, dslr)
    assert abs(pair.shift[0]) < 0.5
    assert pair.correlation >= patches.correlation(phone, dslr)
