"""Homographies against published ones and known geometry, and what is refused."""

import cv2
import numpy as np
import pytest
import skimage.data

from data_builders.dped.prepare.homography import (
    AlignmentError,
    check_plausible,
    detection_unit,
    estimate_homography,
    match_keypoints,
    quarter_turns,
)
from data_builders.dped.simulate import viewpoints

STANCE = viewpoints.Stance(rotation=3.0, perspective=0.05, step=(1.0, 1.2))


def find(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return estimate_homography(*match_keypoints(source, target), detection_unit(target))[0]


def errors(found: np.ndarray, truth: np.ndarray, points: np.ndarray) -> np.ndarray:
    found, truth = (viewpoints.project(homography, points) for homography in (found, truth))
    return np.linalg.norm(found - truth, axis=-1)


def frame(width: int, height: int, count: int = 2) -> np.ndarray:
    x, y = np.linspace(0, width - 1, count), np.linspace(0, height - 1, count)
    return np.stack(np.meshgrid(x, y), -1)


# Bounds of the mean error in pixels; a plain SIFT and RANSAC has 0.95, 1.13, 0.42, 0.20.
@pytest.mark.parametrize(
    ("scene", "number", "bound"),
    [("graf", 2, 1.0), ("graf", 3, 1.3), ("boat", 2, 1.0), ("boat", 3, 1.0)],
)
def test_published_homographies(shared_data, scene, number, bound):
    folder = shared_data / "homography" / scene
    suffix = {"graf": "png", "boat": "pgm"}[scene]
    first, other = (cv2.imread(str(folder / f"img{n}.{suffix}")) for n in (1, number))
    truth = np.loadtxt(folder / f"H1to{number}p")
    corners = frame(first.shape[1], first.shape[0])
    assert errors(find(first, other), truth, corners).mean() <= bound


@pytest.fixture(scope="module")
def simulated() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Two shots of one photograph each, blurred, recoloured and noisy, and their homography."""
    photographs = (
        skimage.data.astronaut(),
        skimage.data.coffee(),
        skimage.data.stereo_motorcycle()[0],
        skimage.data.rocket(),  # at night: few keypoints
    )
    pairs = []
    for seed, photograph in enumerate(photographs):
        rng = np.random.default_rng(seed)
        shots = [viewpoints.frame_shot(photograph.shape[1::-1], STANCE, 0.0, rng) for _ in range(2)]
        phone, dslr = (np.float64(viewpoints.take_shot(photograph, shot)) for shot in shots)
        phone = 255 * (cv2.GaussianBlur(phone, (0, 0), 0.8) / 255) ** 1.2 * [1.05, 1, 0.9]
        phone = np.uint8(np.clip(phone + rng.normal(0, 3, phone.shape), 0, 255))
        pairs.append((phone, np.uint8(dslr), viewpoints.phone_to_dslr(*shots)))
    return pairs


def test_simulated_viewpoints_are_recovered_over_the_whole_frame(simulated):
    for phone, dslr, truth in simulated:
        points = frame(phone.shape[1], phone.shape[0], 9)
        assert errors(find(phone, dslr), truth, points).max() < 0.5


def test_half_of_the_matches_may_be_wrong(simulated):
    for phone, dslr, truth in simulated[:3]:
        source, matched = match_keypoints(phone, dslr)
        points = frame(phone.shape[1], phone.shape[0], 9)
        for seed in range(5):
            rng, target = np.random.default_rng(seed), matched.copy()
            wrong = rng.permutation(len(source))[: len(source) // 2]
            target[wrong] = rng.uniform(0, dslr.shape[1::-1], (len(wrong), 2))
            found, agreeing = estimate_homography(source, target)
            assert errors(found, truth, points).max() < 0.7
            assert np.mean(agreeing[wrong]) < 0.02


def test_matches_are_mutual_neighbours_under_exhaustive_search(simulated, monkeypatch):
    """The whole-number arithmetic of the search, against OpenCV's matcher."""
    monkeypatch.setattr("data_builders.dped.prepare.homography.CONTRASTS", (0.04,))
    phone, dslr, _ = simulated[1]
    source, target = match_keypoints(phone, dslr)
    sift = cv2.SIFT_create(nfeatures=5000, enable_precise_upscale=True)
    points, descriptors = [], []
    for photo in (phone, dslr):
        keypoints, found = sift.detectAndCompute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None)
        points.append(np.array([keypoint.pt for keypoint in keypoints]))
        descriptors.append(np.sqrt(found / found.sum(1, keepdims=True)))
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    back = {m.queryIdx: m.trainIdx for (m,) in matcher.knnMatch(*descriptors[::-1], 1)}
    expected = {
        (*points[0][best.queryIdx], *points[1][best.trainIdx])
        for best, second in matcher.knnMatch(*descriptors, 2)
        if best.distance < 0.9 * second.distance and back[best.trainIdx] == best.queryIdx
    }
    found = {(*a, *b) for a, b in zip(source, target, strict=True)}
    assert len(found & expected) > 0.97 * len(found | expected)  # rounding decides a few


def test_keypoints_on_a_reduced_copy_are_in_pixels_of_the_photo(simulated, monkeypatch):
    phone, dslr, truth = simulated[0]
    monkeypatch.setattr("data_builders.dped.prepare.homography.DETECTION_PIXELS", 90_000)
    assert detection_unit(dslr) > 1.3
    points = frame(phone.shape[1], phone.shape[0], 9)
    assert errors(find(phone, dslr), truth, points).max() < 0.7


def test_pairs_of_different_scenes_are_refused(city100):
    dslr = [pair[1] for pair in city100]
    for i, (phone, _) in enumerate(city100):
        with pytest.raises(AlignmentError, match="not the same scene"):
            find(phone, dslr[(i + 5) % len(dslr)])


def test_mirrored_and_blank_photos_are_refused(city100):
    for phone, dslr in city100[::2]:
        with pytest.raises(AlignmentError, match="not the same scene"):
            find(np.ascontiguousarray(phone[:, ::-1]), dslr)
    with pytest.raises(AlignmentError, match=r"only 0 matching keypoints: .* blank"):
        find(np.full_like(dslr, 200), dslr)


def about_centre(matrix: np.ndarray, width: int = 800, height: int = 600) -> np.ndarray:
    move = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    whole = np.eye(3)
    whole[: len(matrix), : len(matrix)] = matrix
    return move @ whole @ np.linalg.inv(move)


def turn(degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.diag([-1.0, 1.0]), "mirrored"),
        (np.diag([9.0, 9.0]), "extreme scale: the DSLR photo shows it 9x as large"),
        (np.diag([0.1, 0.1]), "extreme scale"),
        (np.array([[1, 0, 0], [0, 1, 0], [1.2e-3, 0, 1]]), "extreme perspective"),
        (np.array([[1, 0, 0], [0, 1, 0], [4e-3, 0, 1]]), "extreme perspective: part of a photo"),
        (np.array([[1, 0, 750], [0, 1, 0], [0, 0, 1]]), "share only 6% of the scene"),
        (np.diag([1.0, 0.0]), "degenerate"),
    ],
)
def test_implausible_homographies_are_refused(matrix, reason):
    with pytest.raises(AlignmentError, match=reason):
        check_plausible(about_centre(matrix), (600, 800), (600, 800))


@pytest.mark.parametrize("degrees", [0, 44, 46, 90, 134, 180, 224, 226, 270, 316])
def test_quarter_turns_are_the_nearest_ones(degrees):
    """y points down: a positive angle is clockwise as seen."""
    matrix = about_centre(turn(degrees))
    overlap = check_plausible(matrix, (600, 800), (600, 800))
    assert quarter_turns(matrix, overlap.mean(0)) == round(degrees / 90) % 4


def test_what_both_photos_show():
    overlap = check_plausible(about_centre(np.diag([2.0, 2.0])), (600, 800), (600, 800))
    np.testing.assert_allclose(np.ptp(overlap, axis=0), [799 / 2, 599 / 2], atol=1e-3)
    with pytest.raises(AlignmentError, match="only 2 matching keypoints"):
        estimate_homography(np.zeros((2, 2)), np.zeros((2, 2)))


def test_photos_that_share_nothing_are_refused():
    away = np.array([[1.0, 0, 1000], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(AlignmentError, match="share nothing of the scene"):
        check_plausible(away, (300, 400), (300, 400))
