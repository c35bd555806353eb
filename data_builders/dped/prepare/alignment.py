"""Aligns a phone photo and a DSLR photo of the same scene (section 2 of the paper).

Photos are RGB, (H, W, 3) uint8. One of them may be turned by any angle: the phone's is turned by
quarters until it stands as the DSLR's does. Pixel centres have integer coordinates, (0, 0) is the
upper left one; a homography is a 3x3 float64 matrix that maps (x, y, 1) of the phone's photo to the
DSLR's, scaled so that its last element is 1. Nothing here reads or writes files.
"""

import dataclasses

import cv2
import numpy as np
import scipy.optimize

from .homography import (
    check_plausible,
    corner_points,
    detection_unit,
    estimate_homography,
    jacobian,
    match_keypoints,
    quarter_turns,
)

SIZE = (1080, 800)  # section 2: width and height of aligned photos


@dataclasses.dataclass(frozen=True)
class Alignment:
    """An aligned pair and how well it matches.

    Attributes:
      phone: (h, w, 3) uint8, the overlap as the phone saw it.
      dslr: (h, w, 3) uint8, the same as the DSLR camera saw it.
      homography: phone photo, as it came -> DSLR photo.
      turned: degrees clockwise by which the phone's photo was turned: 0, 90, 180 or 270.
      matches: keypoints matched.
      inliers: those that agree with the homography.
      error: median distance of matched inliers, in pixels of the aligned pair.
    """

    phone: np.ndarray
    dslr: np.ndarray
    homography: np.ndarray
    turned: int
    matches: int
    inliers: int
    error: float


def align_pair(
    phone: np.ndarray, dslr: np.ndarray, size: tuple[int, int] | None = SIZE
) -> Alignment:
    """Aligns two photos by a homography and crops both to what they have in common.

    SIFT keypoints are matched, and a homography is estimated from the matches. If it turns by more
    than 45 degrees, the phone's photo is turned by quarters and all is done again. The photo with
    fewer pixels in the overlap gives the pixel grid, the other one is resampled onto it with area
    filtering; both are cropped to the largest region of the ratio of `size` and reduced to `size`,
    or left at their resolution where they are smaller. Section 2 of the paper.

    Args:
      phone: (H, W, 3) uint8.
      dslr: (H, W, 3) uint8.
      size: (width, height) of the result for landscape photos, the other way round for portraits;
        None crops to the largest rectangle of any ratio, at full resolution.

    Returns:
      The aligned pair.

    Raises:
      AlignmentError: too few matches, or a homography that no two cameras at one place make.
    """
    homography, overlap, points, inliers = _estimate(phone, dslr)
    quarters = quarter_turns(homography, overlap.mean(0))
    turning = _turning(quarters, phone.shape[:2])
    if quarters:
        phone = np.ascontiguousarray(np.rot90(phone, -quarters))
        homography, overlap, points, inliers = _estimate(phone, dslr)
    to_phone, to_dslr, out_size = _common_grid(homography, overlap, size)
    ends = [
        cv2.perspectiveTransform(of_photo[inliers][None], np.linalg.inv(to_photo))[0]
        for of_photo, to_photo in zip(points, (to_phone, to_dslr), strict=True)
    ]
    as_it_came = homography @ turning
    return Alignment(
        phone=resample(phone, to_phone, out_size),
        dslr=resample(dslr, to_dslr, out_size),
        homography=as_it_came / as_it_came[2, 2],
        turned=90 * quarters,
        matches=len(inliers),
        inliers=int(np.count_nonzero(inliers)),
        error=float(np.median(np.linalg.norm(ends[0] - ends[1], axis=1))),
    )


def _estimate(
    phone: np.ndarray, dslr: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The homography, what both photos show, the matches, and which of them agree."""
    points = match_keypoints(phone, dslr)
    homography, inliers = estimate_homography(*points, detection_unit(dslr))
    overlap = check_plausible(homography, phone.shape[:2], dslr.shape[:2])
    return homography, overlap, points, inliers


def resample(image: np.ndarray, to_image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples a photo onto another pixel grid; where that is coarser, over the area of a pixel.

    The photo is interpolated (bicubic) on a grid that is finer by a whole factor, so that no pixel
    of it is passed over, and blocks of that grid are averaged. A shift by whole pixels is exact.

    Args:
      image: (H, W, 3) uint8.
      to_image: (3, 3), homography from the pixels of the result to those of `image`.
      size: (width, height) of the result.

    Returns:
      (height, width, 3) uint8.
    """
    corners = corner_points((size[1], size[0]))
    coarsest = max(np.sqrt(abs(np.linalg.det(jacobian(to_image, point)))) for point in corners)
    factor = max(1, int(np.ceil(coarsest - 0.1)))
    finer = to_image @ _scaling(1 / factor)
    fine_size = (size[0] * factor, size[1] * factor)
    mode = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fine = cv2.warpPerspective(image, finer, fine_size, flags=mode, borderMode=cv2.BORDER_REPLICATE)
    return fine if factor == 1 else cv2.resize(fine, size, interpolation=cv2.INTER_AREA)


def _common_grid(
    homography: np.ndarray, overlap: np.ndarray, size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The pixel grid of the aligned pair: (grid -> phone, grid -> DSLR, (width, height))."""
    finer_dslr = np.linalg.det(jacobian(homography, overlap.mean(0))) >= 1
    if not finer_dslr:
        overlap = cv2.perspectiveTransform(overlap[None], homography)[0]
    extent = np.ptp(overlap, axis=0)
    if size is None:
        left, top, width, height = _largest_rectangle(overlap)
        scale = 1.0
    else:
        size = size if extent[0] >= extent[1] else size[::-1]
        left, top, width, height = _largest_of_ratio(overlap, size[0] / size[1])
        scale = max(1.0, width / size[0])
    if size is None or scale == 1.0:  # the pixels of the coarser photo stay as they are
        grid = np.array([[1, 0, np.ceil(left)], [0, 1, np.ceil(top)], [0, 0, 1]])
        size = (
            int(np.floor(left + width) - np.ceil(left)) + 1,
            int(np.floor(top + height) - np.ceil(top)) + 1,
        )
    else:
        grid = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]]) @ _scaling(scale)
    to_phone = grid if finer_dslr else np.linalg.inv(homography) @ grid
    to_dslr = homography @ grid if finer_dslr else grid
    return to_phone, to_dslr, size


def _largest_of_ratio(polygon: np.ndarray, ratio: float) -> tuple[float, float, float, float]:
    """(left, top, width, height) of the largest upright rectangle in a convex polygon.

    A linear program: the centre and the height are free, and each corner is inside each edge.
    """
    following = np.roll(polygon, -1, axis=0)
    edges = following - polygon
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    if np.sum(normals * (polygon.mean(0) - polygon)) > 0:  # point outwards
        normals = -normals
    reach = (ratio * np.abs(normals[:, :1]) + np.abs(normals[:, 1:])) / 2
    solved = scipy.optimize.linprog(
        [0, 0, -1],
        A_ub=np.concatenate([normals, reach], axis=1),
        b_ub=np.sum(normals * polygon, axis=1),
        bounds=[(None, None), (None, None), (0, None)],
    )
    x, y, height = solved.x
    return x - ratio * height / 2, y - height / 2, ratio * height, height


def _largest_rectangle(polygon: np.ndarray) -> tuple[float, float, float, float]:
    """The same of any ratio between 1:4 and 4:1."""

    def negative_area(log_ratio: float) -> float:
        return -np.prod(_largest_of_ratio(polygon, np.exp(log_ratio))[2:])

    found = scipy.optimize.minimize_scalar(
        negative_area, bounds=(-np.log(4), np.log(4)), method="bounded"
    )
    return _largest_of_ratio(polygon, np.exp(found.x))


def _turning(quarters: int, size: tuple[int, int]) -> np.ndarray:
    """(3, 3), from a photo of (height, width) to the same turned clockwise by quarters."""
    height, width = size
    turning = np.eye(3)
    for _ in range(quarters):  # what was at the lower left is at the upper left then
        turning = np.array([[0.0, -1, height - 1], [1, 0, 0], [0, 0, 1]]) @ turning
        height, width = width, height
    return turning


def _scaling(factor: float) -> np.ndarray:
    """Enlarges coordinates by a factor, about the upper left corner of the upper left pixel."""
    shift = 0.5 * factor - 0.5
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])
