"""Finds the homography between two photos of one scene, and refuses an implausible one.

Photos are RGB, (H, W, 3) uint8, or gray, (H, W). Pixel centres have integer coordinates, (0, 0) is
the upper left one; a homography is a 3x3 float64 matrix that maps (x, y, 1) of one photo to
another, scaled so that its last element is 1.
"""

import cv2
import numpy as np

DETECTION_PIXELS = 2.0e6  # keypoints are found on copies of at most so many pixels
MAX_KEYPOINTS = 5000
ENOUGH_KEYPOINTS = 1500  # with fewer, as at night, fainter ones are looked for
CONTRASTS = (0.04, 0.02, 0.01)  # SIFT's threshold, its default first
MATCH_RATIO = 0.9  # a match is that much nearer than the next best one
RANSAC_THRESHOLD = 1.25  # pixels of the copy on which keypoints were found
MIN_INLIERS = 30
MIN_INLIER_SHARE = 0.1
MAX_MAGNIFICATION = 8.0  # of one photo against the other
MAX_PERSPECTIVE = 2.0  # how much the magnification may change within the overlap
MIN_OVERLAP = 0.1  # share of the smaller photo


class AlignmentError(ValueError):
    """Two photos cannot be aligned. The message says why, in a few words."""


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
    return match_descriptors(find_keypoints(phone), find_keypoints(dslr))


def match_descriptors(
    phone: tuple[np.ndarray, np.ndarray], dslr: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Matches keypoints that `find_keypoints` has found; see `match_keypoints`."""
    (phone_points, phone_descriptors), (dslr_points, dslr_descriptors) = phone, dslr
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
    """Refuses a homography that two cameras at one place do not make, however they are turned.

    Args:
      homography: phone -> DSLR.
      phone_size: (height, width) of the phone's photo.
      dslr_size: (height, width) of the DSLR camera's.

    Returns:
      (n, 2) float64 corners of what both photos show, a convex polygon in the phone's photo.

    Raises:
      AlignmentError: mirrored, scaled, or tilted too much, or hardly any overlap.
    """
    phone_corners, dslr_corners = corner_points(phone_size), corner_points(dslr_size)
    try:
        inverse = np.linalg.inv(homography)
    except np.linalg.LinAlgError as error:
        raise AlignmentError("the homography is degenerate") from error
    # A point at which the third coordinate changes its sign would lie behind a camera.
    for matrix, corners in ((homography, phone_corners), (inverse / inverse[2, 2], dslr_corners)):
        if np.min(corners @ matrix[2, :2] + matrix[2, 2]) <= 0:
            raise AlignmentError("extreme perspective: part of a photo is behind the other camera")
    determinants = [np.linalg.det(jacobian(homography, point)) for point in phone_corners]
    if min(determinants) <= 0:
        raise AlignmentError("one photo is mirrored")
    overlap = _overlap(phone_corners, cv2.perspectiveTransform(dslr_corners[None], inverse)[0])
    if len(overlap) < 3:
        raise AlignmentError("the photos share nothing of the scene")
    shares = (
        _area(overlap) / _area(phone_corners),
        _area(cv2.perspectiveTransform(overlap[None], homography)[0]) / _area(dslr_corners),
    )
    if max(shares) < MIN_OVERLAP:
        raise AlignmentError(f"the photos share only {max(shares):.0%} of the scene")
    magnification = np.sqrt(np.linalg.det(jacobian(homography, overlap.mean(0))))
    if not 1 / MAX_MAGNIFICATION < magnification < MAX_MAGNIFICATION:
        raise AlignmentError(
            f"extreme scale: the DSLR photo shows it {magnification:.2g}x as large"
        )
    scales = [np.sqrt(np.linalg.det(jacobian(homography, point))) for point in overlap]
    if max(scales) / min(scales) > MAX_PERSPECTIVE:
        raise AlignmentError(
            f"extreme perspective: the scale changes {max(scales) / min(scales):.1f}-fold"
        )
    return overlap


def quarter_turns(homography: np.ndarray, point: np.ndarray) -> int:
    """By how many quarters the first photo is to be turned to be upright as the second is.

    Args:
      homography: first photo -> second.
      point: (2,) in the first photo, where to look.

    Returns:
      0…3, clockwise as seen.
    """
    matrix = jacobian(homography, point)
    turn = np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])
    return round(turn / (np.pi / 2)) % 4


def find_keypoints(photo: np.ndarray, most: int = MAX_KEYPOINTS) -> tuple[np.ndarray, np.ndarray]:
    """Finds SIFT keypoints, fainter ones too where there are few.

    Args:
      photo: (H, W, 3) or (H, W) uint8.
      most: of them.

    Returns:
      (n, 2) float64 points in the photo, (n, 128) float32 RootSIFT in whole numbers to 512.
    """
    unit = detection_unit(photo)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    if unit > 1:
        size = [round(length / unit) for length in gray.shape[::-1]]
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    for contrast in CONTRASTS:
        sift = cv2.SIFT_create(most, contrastThreshold=contrast, enable_precise_upscale=True)
        found, descriptors = sift.detectAndCompute(gray, None)
        if len(found) >= min(most, ENOUGH_KEYPOINTS):
            break
    if not found:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    points = np.array([keypoint.pt for keypoint in found])
    scale = np.array(photo.shape[1::-1]) / gray.shape[::-1]
    shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1)
    return (points + 0.5) * scale - 0.5, np.rint(512 * np.sqrt(shares))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances of the rows of two arrays of whole numbers; float32 is exact."""
    return np.sum(a * a, 1)[:, None] + np.sum(b * b, 1) - 2 * (a @ b.T)


def detection_unit(photo: np.ndarray) -> float:
    """Pixels of the photo to one of the copy on which keypoints are found."""
    return max(1.0, float(np.sqrt(photo.shape[0] * photo.shape[1] / DETECTION_PIXELS)))


def jacobian(homography: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(2, 2) derivative of the mapped point."""
    x, y, w = homography @ (point[0], point[1], 1)
    return (homography[:2, :2] - np.outer((x / w, y / w), homography[2, :2])) / w


def corner_points(size: tuple[int, int]) -> np.ndarray:
    """(4, 2) float64 centres of the corner pixels of a photo of (height, width)."""
    bottom, right = size[0] - 1.0, size[1] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 2) corners of the intersection of two convex polygons; n may be 0."""
    _, polygon = cv2.intersectConvexConvex(np.float32(a), np.float32(b))
    return np.empty((0, 2)) if polygon is None else np.float64(polygon[:, 0])


def _area(polygon: np.ndarray) -> float:
    return 0.0 if len(polygon) < 3 else cv2.contourArea(np.float32(polygon))
