"""Cuts an aligned pair of photos into pairs of patches that match (section 3.2.1 of the paper).

Photos and patches are RGB, (H, W, 3) uint8. Correlation is the normalised cross-correlation of
gray levels (Rec. 601), in [-1, 1]. Nothing here reads or writes files.
"""

import dataclasses

import cv2
import numpy as np

from ..layout import PATCH_SIZE

MIN_CORRELATION = 0.9  # section 3.2.1
MAX_SHIFT = 8.0  # pixels by which a window may be moved, in x and in y
MAX_ANGLE = 5.0  # degrees by which it may be turned
BLANK_DEVIATION = 1.0  # gray levels; a patch that varies less is blank

_MARGIN = 12  # pixels around a window in which its partner is searched
_START_ANGLES = (0.0, -2.0, 2.0)  # degrees at which the search starts
_ECC_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-5)


@dataclasses.dataclass(frozen=True)
class PatchPair:
    """One window of an aligned pair, with the phone's patch adjusted to the DSLR's.

    Attributes:
      x: left edge of the window in the DSLR photo, pixels.
      y: its upper edge.
      phone: (100, 100, 3) uint8.
      dslr: (100, 100, 3) uint8.
      correlation: of the two patches; NaN if one of them is blank.
      shift: (x, y) by which the centre of the phone's window was moved, pixels.
      angle: by which it was turned, degrees, clockwise as seen.
    """

    x: int
    y: int
    phone: np.ndarray
    dslr: np.ndarray
    correlation: float
    shift: tuple[float, float]
    angle: float

    @property
    def blank(self) -> bool:
        """Whether correlation is undefined, since one of the patches is blank."""
        return bool(np.isnan(self.correlation))


def extract_patches(phone: np.ndarray, dslr: np.ndarray, *, refine: bool = True) -> list[PatchPair]:
    """Moves a window over both photos at once, in steps of its own size, row by row.

    On the phone's photo the window is shifted and turned to where the correlation is highest, if
    that is within `MAX_SHIFT` and `MAX_ANGLE`, inside the photo, and better than where it was. What
    a row or column of windows leaves over is at both ends alike. Section 3.2.1; which windows to
    keep is up to the caller (the paper: correlation above `MIN_CORRELATION`).

    Args:
      phone: (H, W, 3) uint8.
      dslr: (H, W, 3) uint8, aligned with it.
      refine: False leaves the windows where they are.

    Returns:
      A pair for every whole window; none where the photos are smaller than a patch.

    Raises:
      ValueError: the photos differ in size.
    """
    if phone.shape != dslr.shape:
        raise ValueError(f"an aligned pair has one size, not {phone.shape} and {dslr.shape}")
    height, width = dslr.shape[:2]
    tops, lefts = (
        range(length % PATCH_SIZE // 2, length - PATCH_SIZE + 1, PATCH_SIZE)
        for length in (height, width)
    )
    return [_pair_at(phone, dslr, x, y, refine) for y in tops for x in lefts]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Normalised cross-correlation of two patches.

    Args:
      a: (H, W, 3) uint8.
      b: the same.

    Returns:
      In [-1, 1]; NaN if one of the patches is blank: there correlation would be one of noise.
    """
    a, b = (np.float64(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)) for patch in (a, b))
    deviations = a.std(), b.std()
    if min(deviations) < BLANK_DEVIATION:
        return float("nan")
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (deviations[0] * deviations[1]))


def find_window(phone: np.ndarray, dslr: np.ndarray, x: int, y: int) -> np.ndarray | None:
    """Finds where the phone's photo shows what a window of the DSLR's does.

    Starts from the best whole-pixel shift at a few angles and goes on to a fraction of a pixel and
    of a degree by the enhanced correlation coefficient (Evangelidis and Psarakis 2008).

    Args:
      phone: (H, W) uint8, gray.
      dslr: (H, W) uint8, gray, aligned with it.
      x: left edge of the window.
      y: its upper edge.

    Returns:
      (2, 3) float64, from pixels of the window to those of the phone's photo: a shift and a
      rotation; None if the search does not converge.
    """
    window = dslr[y : y + PATCH_SIZE, x : x + PATCH_SIZE]
    top, left = max(0, y - _MARGIN), max(0, x - _MARGIN)
    region = phone[top : y + PATCH_SIZE + _MARGIN, left : x + PATCH_SIZE + _MARGIN]
    middle = (x - left + (PATCH_SIZE - 1) / 2, y - top + (PATCH_SIZE - 1) / 2)
    best = (-np.inf, None)
    for angle in _START_ANGLES:
        turn = _rotation(angle, middle)
        turned = _warp(region, turn, region.shape[::-1], cv2.INTER_LINEAR)
        _, score, _, place = cv2.minMaxLoc(cv2.matchTemplate(turned, window, cv2.TM_CCOEFF_NORMED))
        if score > best[0]:
            best = (score, turn @ [[1, 0, place[0]], [0, 1, place[1]], [0, 0, 1]])
    if best[1] is None:
        return None
    try:
        _, found = cv2.findTransformECC(
            window,
            region,
            np.float32(best[1][:2]),
            cv2.MOTION_EUCLIDEAN,
            _ECC_STOP,
            None,
            1,  # no smoothing: it cost accuracy on every pair tried
        )
    except cv2.error:  # no convergence
        return None
    return np.float64(found) + np.array([[0, 0, left], [0, 0, top]])


def _pair_at(phone: np.ndarray, dslr: np.ndarray, x: int, y: int, refine: bool) -> PatchPair:
    rows, columns = slice(y, y + PATCH_SIZE), slice(x, x + PATCH_SIZE)
    phone_patch, dslr_patch = phone[rows, columns], dslr[rows, columns]
    unrefined = PatchPair(
        x, y, phone_patch, dslr_patch, correlation(phone_patch, dslr_patch), (0.0, 0.0), 0.0
    )
    if unrefined.blank or not refine:
        return unrefined
    phone_gray, dslr_gray = (cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in (phone, dslr))
    to_phone = find_window(phone_gray, dslr_gray, x, y)
    if to_phone is None:
        return unrefined
    to_phone = _moved_inside(to_phone, phone.shape[:2])
    middle = np.full(2, (PATCH_SIZE - 1) / 2)
    shift = to_phone[:, :2] @ middle + to_phone[:, 2] - middle - (x, y)
    angle = np.degrees(np.arctan2(to_phone[1, 0], to_phone[0, 0]))
    if max(abs(shift)) > MAX_SHIFT or abs(angle) > MAX_ANGLE:
        return unrefined
    moved = _warp(phone, to_phone, (PATCH_SIZE, PATCH_SIZE), cv2.INTER_LANCZOS4)
    refined = PatchPair(
        x,
        y,
        moved,
        dslr_patch,
        correlation(moved, dslr_patch),
        (float(shift[0]), float(shift[1])),
        float(angle),
    )
    return refined if refined.correlation > unrefined.correlation else unrefined


def _moved_inside(to_phone: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Moves a window that reaches beyond a photo of (height, width) back inside."""
    end = PATCH_SIZE - 1
    corners = to_phone @ np.array([[0, end, end, 0], [0, 0, end, end], [1, 1, 1, 1]])
    last = np.array([size[1] - 1, size[0] - 1])
    move = np.maximum(0, -corners.min(1)) - np.maximum(0, corners.max(1) - last)
    return to_phone + np.concatenate([np.zeros((2, 2)), move[:, None]], axis=1)


def _rotation(angle: float, middle: tuple[float, float]) -> np.ndarray:
    """(3, 3) rotation about a point, degrees; y points down, so clockwise as seen."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, -sin], [sin, cos]])
    moved = np.eye(3)
    moved[:2, :2], moved[:2, 2] = turn, middle - turn @ middle
    return moved


def _warp(image: np.ndarray, to_image: np.ndarray, size: tuple[int, int], mode: int) -> np.ndarray:
    """Samples `image` where the pixels of a result of (width, height) map to."""
    return cv2.warpAffine(
        image,
        to_image[:2],
        size,
        flags=mode | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
