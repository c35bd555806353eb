"""Shots of photographs: what is where, by spots whose places are known."""

import cv2
import numpy as np
import pytest

from data_builders.dped.simulate import photos, viewpoints

SIZE = (300, 220)
SPOTS = np.array(
    [(40.0, 35.0), (150.0, 30.0), (262.0, 40.0), (45.0, 185.0), (150.3, 110.6), (260, 180)]
)


def spotted_photograph():
    """A photograph with round spots."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    squared = (x[..., None] - SPOTS[:, 0]) ** 2 + (y[..., None] - SPOTS[:, 1]) ** 2
    spots = np.exp(-squared / (2 * 3.0**2)).sum(-1)
    return np.uint8(np.rint(255 * np.repeat(spots[..., None], 3, -1)))


def find_spots(image, near):
    """Centres of gravity of the light around some points."""
    light, found = image[..., 1].astype(np.float64), []
    for x, y in np.rint(near).astype(int):
        part = light[y - 14 : y + 15, x - 14 : x + 15]
        dy, dx = np.mgrid[-14:15, -14:15]
        found.append((x + (part * dx).sum() / part.sum(), y + (part * dy).sum() / part.sum()))
    return np.array(found)


def drawn(seed, distortion=0.004):
    rng = np.random.default_rng(seed)
    dslr = viewpoints.frame_shot(SIZE, photos.DSLR_STANCE, 0.0, rng)
    return viewpoints.frame_shot(SIZE, photos.PHONE_STANCE, distortion, rng), dslr


@pytest.mark.parametrize("seed", range(4))
def test_spots_lie_where_the_homography_and_the_distortion_say(seed):
    phone, dslr = drawn(seed)
    photograph = spotted_photograph()
    guess = [viewpoints.project(np.linalg.inv(shot.to_photograph), SPOTS) for shot in (phone, dslr)]
    on_phone, on_dslr = (
        find_spots(viewpoints.take_shot(photograph, shot), near)
        for shot, near in zip((phone, dslr), guess, strict=True)
    )
    # OpenCV's own mapping, after the formula of the distortion spelled out.
    centre, half_diagonal = (np.array(phone.size) - 1) / 2, np.hypot(*phone.size) / 2
    radius = np.hypot(*(on_phone - centre).T)[:, None] / half_diagonal
    perfect = centre + (on_phone - centre) * (1 + 0.004 * radius**2)
    homography = viewpoints.phone_to_dslr(phone, dslr)
    mapped = cv2.perspectiveTransform(perfect[:, None], homography)[:, 0]
    np.testing.assert_allclose(mapped, on_dslr, atol=0.03)
    # The distortion is worth mentioning: without it the corners are off.
    mapped = cv2.perspectiveTransform(on_phone[:, None], homography)[:, 0]
    assert np.abs(mapped - on_dslr).max() > 0.2


def test_the_homography_warps_one_shot_into_the_other():
    photograph = photos.photographs()["coffee"]
    size = photograph.shape[1::-1]
    rng = np.random.default_rng(0)
    dslr = viewpoints.frame_shot(size, photos.DSLR_STANCE, 0.0, rng)
    phone = viewpoints.frame_shot(size, photos.PHONE_STANCE, 0.0, rng)
    seen = np.float64(viewpoints.take_shot(photograph, phone))
    homography = viewpoints.phone_to_dslr(phone, dslr)

    def error(homography):
        warped = cv2.warpPerspective(
            viewpoints.take_shot(photograph, dslr),
            homography,
            phone.size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        )
        return np.sqrt(np.mean((seen - warped)[40:-40, 40:-40] ** 2))

    least = error(homography)
    assert least < 3  # of 255
    for dx, dy in ((0.3, 0), (-0.3, 0), (0, 0.3), (0, -0.3)):
        assert error(homography @ [[1, 0, dx], [0, 1, dy], [0, 0, 1]]) > 1.2 * least


@pytest.mark.parametrize("distortion", [-0.004, 0.0, 0.004])
def test_no_shot_leaves_the_photograph_and_none_wastes_it(distortion):
    white = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    areas = []
    for seed in range(20):
        for shot in drawn(seed, distortion):
            assert viewpoints.take_shot(white, shot).min() == 255
            w, h = shot.size
            corners = np.array([(-0.5, -0.5), (w - 0.5, -0.5), (-0.5, h - 0.5), (w - 0.5, h - 0.5)])
            corners = viewpoints.undistort(corners, shot.size, shot.distortion)
            corners = viewpoints.project(shot.to_photograph, corners)
            low, high = corners.min(0), corners.max(0)
            areas.append(np.max((high - low) / SIZE))
    assert min(areas) > 0.93


def test_viewpoints_differ_as_much_as_they_should():
    turns, scales = [], []
    for seed in range(100):
        homography = viewpoints.phone_to_dslr(*drawn(seed))
        middle = np.array([(149.5, 109.5), (150.5, 109.5)])
        step = np.diff(viewpoints.project(homography, middle), axis=0)[0]
        turns.append(np.degrees(np.arctan2(step[1], step[0])))
        scales.append(np.hypot(*step))
    assert 2 < max(turns) < 3.2
    assert -3.2 < min(turns) < -2
    assert 1.0 < min(scales) < max(scales) < 1.1


def test_a_fine_pattern_becomes_gray_and_does_not_alias():
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    board = np.uint8(255 * ((x + y) % 2))[..., None].repeat(3, -1)
    shot = viewpoints.Shot((120, 90), np.diag([2.3, 2.3, 1.0]))
    assert np.std(np.float64(viewpoints.take_shot(board, shot))[1:-1, 1:-1]) < 12
    picked = cv2.warpPerspective(board, shot.to_photograph, (120, 90), flags=cv2.WARP_INVERSE_MAP)
    assert np.std(np.float64(picked)) > 40
