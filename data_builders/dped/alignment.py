"""Aligns a phone photo and a DSLR photo of the same scene (section 2 of the paper).

Photos are RGB, (H, W, 3) uint8, upright. Pixel centres have integer coordinates, (0, 0) is the
upper left one; a homography is a 3x3 float64 matrix that maps (x, y, 1) of the phone's photo to the
DSLR's, scaled so that its last element is 1. Nothing here reads or writes files.
"""

import dataclasses

import cv2
import numpy as np
import scipy.optimize

SIZE = (1080, 800)  # section 2: width and height of aligned photos
DETECTION_PIXELS = 2.0e6  # keypoints are found on copies of at most so many pixels
MAX_KEYPOINTS = 5000
MATCH_RATIO = 0.9  # a match is that much nearer than the next best one
RANSAC_THRESHOLD = 1.5  # pixels of the copy on which keypoints were found
MIN_INLIERS = 30
MIN_INLIER_SHARE = 0.1
MAX_MAGNIFICATION = 8.0  # of one photo against the other
MAX_ROTATION = 45.0  # degrees
MAX_PERSPECTIVE = 2.0  # how much the magnification may change within the overlap
MIN_OVERLAP = 0.1  # share of the smaller photo


class AlignmentError(ValueError):
    """Two photos cannot be aligned. The message says why, in a few words."""


@dataclasses.dataclass(frozen=True)
class Alignment:
    """An aligned pair and how well it matches.

    Attributes:
      phone: (h, w, 3) uint8, the overlap as the phone saw it.
      dslr: (h, w, 3) uint8, the same as the DSLR camera saw it.
      homography: phone photo -> DSLR photo.
      matches: keypoints matched.
      inliers: those that agree with the homography.
      error: median distance of matched inliers, in pixels of the aligned pair.
    """

    phone: np.ndarray
    dslr: np.ndarray
    homography: np.ndarray
    matches: int
    inliers: int
    error: float


def align_pair(
    phone: np.ndarray, dslr: np.ndarray, size: tuple[int, int] | None = SIZE
) -> Alignment:
    """Aligns two photos by a homography and crops both to what they have in common.

    SIFT keypoints are matched, and a homography is estimated from the matches. The photo with fewer
    pixels in the overlap gives the pixel grid, the other one is resampled onto it with area
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
    phone_points, dslr_points = match_keypoints(phone, dslr)
    matches = len(phone_points)
    homography, inliers = estimate_homography(phone_points, dslr_points, _unit(dslr))
    overlap = check_plausible(homography, phone.shape[:2], dslr.shape[:2])
    to_phone, to_dslr, out_size = _common_grid(homography, overlap, size)
    ends = [
        cv2.perspectiveTransform(points[inliers][None], np.linalg.inv(to_photo))[0]
        for points, to_photo in ((phone_points, to_phone), (dslr_points, to_dslr))
    ]
    return Alignment(
        phone=resample(phone, to_phone, out_size),
        dslr=resample(dslr, to_dslr, out_size),
        homography=homography,
        matches=matches,
        inliers=int(np.count_nonzero(inliers)),
        error=float(np.median(np.linalg.norm(ends[0] - ends[1], axis=1))),
    )


def match_keypoints(phone: np.ndarray, dslr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matches SIFT keypoints of two photos.

    A match is mutual, and nearer than the next best by `MATCH_RATIO` (Lowe 2004). Descriptors are
    compared as RootSIFT, in whole numbers, so that the result does not depend on the order of sums.

    Args:
      phone: (H, W, 3) or (H, W) uint8.
      dslr: the same.

    Returns:
      Two float64 arrays (n, 2) of x, y; row i of one matches row i of the other.
    """
    phone_points, phone_descriptors = _keypoints(phone)
    dslr_points, dslr_descriptors = _keypoints(dslr)
    if min(len(phone_points), len(dslr_points)) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    distances = _squared_distances(phone_descriptors, dslr_descriptors)
    nearest = distances.argmin(1)
    two_least = np.partition(distances, 1, axis=1)[:, :2]
    distinct = two_least[:, 0] < MATCH_RATIO**2 * two_least[:, 1]
    mutual = distances.argmin(0)[nearest] == np.arange(len(nearest))
    chosen = np.flatnonzero(distinct & mutual)
    return phone_points[chosen], dslr_points[nearest[chosen]]


def estimate_homography(
    source: np.ndarray, target: np.ndarray, unit: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates the homography that most matches agree with.

    Args:
      source: (n, 2) points in the first photo.
      target: (n, 2) their matches in the second.
      unit: pixels of the second photo to one of the copy on which keypoints were found.

    Returns:
      (3, 3) float64 source -> target, and (n,) bool, which matches agree.

    Raises:
      AlignmentError: too few matches, or too few that agree.
    """
    if len(source) < MIN_INLIERS:
        raise AlignmentError(f"only {len(source)} matching keypoints: not the same scene, or blank")
    homography, inliers = cv2.findHomography(
        source,
        target,
        cv2.USAC_ACCURATE,
        RANSAC_THRESHOLD * unit,
        maxIters=10_000,
        confidence=0.9999,
    )
    agreeing = 0 if homography is None else int(np.count_nonzero(inliers))
    if agreeing < max(MIN_INLIERS, MIN_INLIER_SHARE * len(source)):
        raise AlignmentError(
            f"only {agreeing} of {len(source)} matching keypoints agree on one homography:"
            " not the same scene"
        )
    return homography, inliers[:, 0].astype(bool)


def check_plausible(
    homography: np.ndarray, phone_size: tuple[int, int], dslr_size: tuple[int, int]
) -> np.ndarray:
    """Refuses a homography that two upright cameras at one place do not make.

    Args:
      homography: phone -> DSLR.
      phone_size: (height, width) of the phone's photo.
      dslr_size: (height, width) of the DSLR camera's.

    Returns:
      (n, 2) float64 corners of what both photos show, a convex polygon in the phone's photo.

    Raises:
      AlignmentError: mirrored, rotated, scaled, or tilted too much, or hardly any overlap.
    """
    phone_corners, dslr_corners = _corners(phone_size), _corners(dslr_size)
    try:
        inverse = np.linalg.inv(homography)
    except np.linalg.LinAlgError as error:
        raise AlignmentError("the homography is degenerate") from error
    # A point at which the third coordinate changes its sign would lie behind a camera.
    for matrix, corners in ((homography, phone_corners), (inverse / inverse[2, 2], dslr_corners)):
        if np.min(corners @ matrix[2, :2] + matrix[2, 2]) <= 0:
            raise AlignmentError("extreme perspective: part of a photo is behind the other camera")
    determinants = [np.linalg.det(_jacobian(homography, point)) for point in phone_corners]
    if min(determinants) <= 0:
        raise AlignmentError("one photo is mirrored")
    overlap = _overlap(phone_corners, cv2.perspectiveTransform(dslr_corners[None], inverse)[0])
    shares = (
        _area(overlap) / _area(phone_corners),
        _area(cv2.perspectiveTransform(overlap[None], homography)[0]) / _area(dslr_corners),
    )
    if max(shares) < MIN_OVERLAP:
        raise AlignmentError(f"the photos share only {max(shares):.0%} of the scene")
    centre = _jacobian(homography, overlap.mean(0))
    magnification = np.sqrt(np.linalg.det(centre))
    if not 1 / MAX_MAGNIFICATION < magnification < MAX_MAGNIFICATION:
        raise AlignmentError(
            f"extreme scale: the DSLR photo shows it {magnification:.2g}x as large"
        )
    rotation = np.degrees(np.arctan2(centre[1, 0] - centre[0, 1], centre[0, 0] + centre[1, 1]))
    if abs(rotation) > MAX_ROTATION:
        raise AlignmentError(
            f"different orientation: rotated by {rotation:.0f} degrees against each other;"
            " turn one, or correct its EXIF orientation"
        )
    scales = [np.sqrt(np.linalg.det(_jacobian(homography, point))) for point in overlap]
    if max(scales) / min(scales) > MAX_PERSPECTIVE:
        raise AlignmentError(
            f"extreme perspective: the scale changes {max(scales) / min(scales):.1f}-fold"
        )
    return overlap


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
    corners = _corners((size[1], size[0]))
    coarsest = max(np.sqrt(abs(np.linalg.det(_jacobian(to_image, point)))) for point in corners)
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
    finer_dslr = np.linalg.det(_jacobian(homography, overlap.mean(0))) >= 1
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
    if scale == 1.0:  # the pixels of the coarser photo stay as they are
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


def _keypoints(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) float64 points in the photo, (n, 128) float32 RootSIFT of whole numbers to 512."""
    unit = _unit(photo)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    if unit > 1:
        size = [round(length / unit) for length in gray.shape[::-1]]
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    sift = cv2.SIFT_create(nfeatures=MAX_KEYPOINTS, enable_precise_upscale=True)
    found, descriptors = sift.detectAndCompute(gray, None)
    if not found:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    points = np.array([keypoint.pt for keypoint in found])
    scale = np.array(photo.shape[1::-1]) / gray.shape[::-1]
    shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1)
    return (points + 0.5) * scale - 0.5, np.rint(512 * np.sqrt(shares))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances of the rows of two arrays of whole numbers; float32 is exact."""
    return np.sum(a * a, 1)[:, None] + np.sum(b * b, 1) - 2 * (a @ b.T)


def _unit(photo: np.ndarray) -> float:
    """Pixels of the photo to one of the copy on which keypoints are found."""
    return max(1.0, float(np.sqrt(photo.shape[0] * photo.shape[1] / DETECTION_PIXELS)))


def _jacobian(homography: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(2, 2) derivative of the mapped point."""
    x, y, w = homography @ (point[0], point[1], 1)
    return (homography[:2, :2] - np.outer((x / w, y / w), homography[2, :2])) / w


def _corners(size: tuple[int, int]) -> np.ndarray:
    """(4, 2) float64 centres of the corner pixels of a photo of (height, width)."""
    bottom, right = size[0] - 1.0, size[1] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 2) corners of the intersection of two convex polygons; n may be 0."""
    _, polygon = cv2.intersectConvexConvex(np.float32(a), np.float32(b))
    return np.empty((0, 2)) if polygon is None else np.float64(polygon[:, 0])


def _area(polygon: np.ndarray) -> float:
    return 0.0 if len(polygon) < 3 else cv2.contourArea(np.float32(polygon))


def _scaling(factor: float) -> np.ndarray:
    """Enlarges coordinates by a factor, about the upper left corner of the upper left pixel."""
    shift = 0.5 * factor - 0.5
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])
