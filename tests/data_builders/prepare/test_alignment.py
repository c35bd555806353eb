"""Aligned pairs: how well they match, what they show, and at which resolution."""

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.transform

from data_builders.dped.prepare import alignment, patches
from data_builders.dped.prepare.homography import AlignmentError
from data_builders.dped.simulate import viewpoints


def test_all_real_pairs_align_and_most_windows_match(aligned_city100):
    windows = [
        pair
        for aligned in aligned_city100
        for pair in patches.extract_patches(aligned.phone, aligned.dslr, refine=False)
    ]
    assert len(windows) == 560
    assert sum(pair.correlation > 0.9 for pair in windows) >= 414
    for aligned in aligned_city100:
        assert aligned.phone.shape == aligned.dslr.shape
        assert aligned.phone.shape[1] / aligned.phone.shape[0] == pytest.approx(1.35, abs=0.005)
        assert 60 < aligned.inliers <= aligned.matches
        assert aligned.error < 0.6


def test_without_a_ratio_more_windows_are_kept(city100):
    kept = total = 0
    for phone, dslr in city100:
        aligned = alignment.align_pair(phone, dslr, None)
        pairs = patches.extract_patches(aligned.phone, aligned.dslr, refine=False)
        total += len(pairs)
        kept += sum(pair.correlation > 0.9 for pair in pairs)
    assert total >= 593
    assert kept >= 450


def test_the_coarser_photo_keeps_its_pixels(city100, aligned_city100):
    """Nothing is upsampled: each aligned phone photo is a crop of the original."""
    for (phone, _), aligned in zip(city100, aligned_city100, strict=True):
        found = cv2.matchTemplate(phone, aligned.phone, cv2.TM_SQDIFF)
        _, _, (x, y), _ = cv2.minMaxLoc(found)
        height, width = aligned.phone.shape[:2]
        np.testing.assert_array_equal(phone[y : y + height, x : x + width], aligned.phone)
    # The other way round, it is the DSLR photo that must not be enlarged.
    phone, dslr = city100[0]
    small = cv2.resize(dslr, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    aligned = alignment.align_pair(phone, small)
    assert aligned.dslr.shape[1] <= small.shape[1]
    found = cv2.minMaxLoc(cv2.matchTemplate(small, aligned.dslr, cv2.TM_SQDIFF_NORMED))
    assert found[0] < 1e-6


def test_large_photos_are_reduced_to_the_size_asked_for(city100):
    phone, dslr = city100[0]
    aligned = alignment.align_pair(phone, dslr, (540, 400))
    assert aligned.phone.shape == aligned.dslr.shape == (400, 540, 3)
    assert patches.correlation(aligned.phone, aligned.dslr) > 0.9


def test_portraits_have_the_ratio_upright(city100):
    # Two portraits: parts of the photos that show the same.
    phone, dslr = city100[0][0][:, 100:500], city100[0][1][:, 120:760]
    aligned = alignment.align_pair(phone, dslr)
    height, width = aligned.phone.shape[:2]
    assert height / width == pytest.approx(1.35, abs=0.01)
    assert patches.correlation(aligned.phone, aligned.dslr) > 0.9


def test_simulated_photos_lie_upon_each_other():
    photograph = skimage.data.astronaut()
    stance = viewpoints.Stance(rotation=3.0, perspective=0.05, step=(1.0, 1.2))
    rng = np.random.default_rng(0)
    shots = [viewpoints.frame_shot((512, 512), stance, 0.0, rng) for _ in range(2)]
    phone, dslr = (viewpoints.take_shot(photograph, shot) for shot in shots)
    aligned = alignment.align_pair(phone, dslr)
    difference = np.abs(np.float64(aligned.phone) - aligned.dslr)
    assert difference.mean() < 3.0
    both = tuple(slice(0, min(ends)) for ends in zip(phone.shape, dslr.shape, strict=True))
    unaligned = np.abs(np.float64(phone[both]) - dslr[both])
    assert unaligned.mean() > 5 * difference.mean()


def test_a_shift_by_whole_pixels_is_exact():
    photo = skimage.data.coffee()
    shift = np.array([[1.0, 0, 17], [0, 1, 30], [0, 0, 1]])
    np.testing.assert_array_equal(
        alignment.resample(photo, shift, (300, 200)), photo[30:230, 17:317]
    )


@pytest.mark.parametrize("factor", [1.45, 2.0, 3.4])
def test_reducing_averages_over_the_area_of_a_pixel(factor):
    """Against scikit-image's integration, and against the noise that point sampling keeps."""
    photo = skimage.data.coffee()
    size = int(600 / factor), int(400 / factor)
    grid = np.array([[factor, 0, factor / 2 - 0.5], [0, factor, factor / 2 - 0.5], [0, 0, 1]])
    small = alignment.resample(photo, grid, size)
    expected = skimage.transform.resize_local_mean(
        photo[: round(size[1] * factor), : round(size[0] * factor)], size[::-1], preserve_range=True
    )
    assert np.abs(np.float64(small) - expected).mean() < 1.5
    noise = np.uint8(np.random.default_rng(0).normal(128, 30, (400, 600, 3)))
    assert alignment.resample(noise, grid, size).std() < 1.25 * 30 / factor


def test_different_scenes_raise(city100):
    with pytest.raises(AlignmentError, match="not the same scene"):
        alignment.align_pair(city100[0][0], city100[1][1])


@pytest.mark.parametrize("ratio", [0.5, 1.35, 3.0])
def test_the_largest_rectangle_in_a_polygon(ratio):
    """Against a search over a fine grid of centres."""
    polygon = np.array([[10.0, 5], [300, 40], [280, 250], [-20, 180]])
    left, top, width, height = alignment._largest_of_ratio(polygon, ratio)
    assert width / height == pytest.approx(ratio)

    def inside(x, y):
        return cv2.pointPolygonTest(np.float32(polygon), (float(x), float(y)), True) > -1e-3

    for x, y in (
        (left, top),
        (left + width, top),
        (left, top + height),
        (left + width, top + height),
    ):
        assert inside(x, y)
    bigger = 1.01 * np.array([ratio * height, height]) / 2
    for x in np.linspace(-20, 300, 60):
        for y in np.linspace(5, 250, 60):
            assert not all(
                inside(x + i * bigger[0], y + j * bigger[1]) for i in (-1, 1) for j in (-1, 1)
            )
