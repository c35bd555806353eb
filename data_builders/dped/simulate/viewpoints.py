"""Takes photos of a photograph from drawn viewpoints, with a known geometry. Pure functions.

Images are RGB, (H, W, 3) uint8. Points are (x, y) in pixels; the centre of the upper left pixel is
(0, 0). Homographies are (3, 3) float64.
"""

import dataclasses

import cv2
import numpy as np

_OVERSAMPLING = 3  # points a pixel and direction, over which a pixel collects its light
_MARGIN = 2.0  # pixels of the photograph that no shot uses: interpolation reaches so far


@dataclasses.dataclass(frozen=True)
class Stance:
    """How far the viewpoints of a camera are from head-on.

    Attributes:
      rotation: up to how many degrees the camera is turned, either way.
      perspective: up to what share things at a picture's edges are magnified by the camera's tilt.
      step: range of the distance between neighbouring pixels, in pixels of the photograph.
    """

    rotation: float
    perspective: float
    step: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Shot:
    """The geometry of one photo of a photograph.

    Attributes:
      size: width and height in pixels.
      to_photograph: (3, 3) homography from the shot's pixels, were its lens perfect, to the
        photograph's.
      distortion: of the lens, see `undistort`.
    """

    size: tuple[int, int]
    to_photograph: np.ndarray
    distortion: float = 0.0


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points, (..., 2), by a (3, 3) homography."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def undistort(points: np.ndarray, size: tuple[float, float], distortion: float) -> np.ndarray:
    """Says where a perfect lens would have shown what is seen at some points of a photo.

    A point at distance r from the centre, in half diagonals of the photo, moves away from the
    centre to the distance r (1 + distortion r²).

    Args:
      points: (..., 2), in the photo.
      size: width and height of the photo in pixels.
      distortion: share by which a corner moves; positive of a barrel, negative of a pincushion.

    Returns:
      (..., 2) float64.
    """
    centre = (np.array(size) - 1) / 2
    offsets = points - centre
    radius = np.linalg.norm(offsets, axis=-1, keepdims=True) / np.hypot(*(np.array(size) / 2))
    return centre + offsets * (1 + distortion * radius**2)


def frame_shot(
    photograph_size: tuple[int, int], stance: Stance, distortion: float, rng: np.random.Generator
) -> Shot:
    """Draws a viewpoint, and frames nearly as much as possible without leaving the photograph.

    Args:
      photograph_size: its width and height in pixels.
      stance: what is drawn.
      distortion: of the lens, see `undistort`.
      rng: of the draws.

    Returns:
      A shot of the photograph's proportions, which needs no pixel from beyond its edges.
    """
    whole = np.array(photograph_size)
    room = whole - 1 - 2 * _MARGIN
    angle = np.radians(rng.uniform(-stance.rotation, stance.rotation))
    tilt = rng.uniform(-stance.perspective, stance.perspective, 2) / (whole / 2)
    step, share = rng.uniform(*stance.step), rng.uniform(0.98, 1.0)
    view = np.eye(3)  # about the centres of both; the shot's place is found below
    view[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    view = view @ [[1, 0, 0], [0, 1, 0], [*tilt, 1]] @ np.diag([step, step, 1])

    def outline(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and greatest x and y of the shot's pixels, seen from the centre."""
        along, ends = np.linspace(-0.5, 0.5, 65), np.repeat([-0.5, 0.5], 65)
        sides = np.stack([np.tile(along, 2), ends], -1)
        edge = (size - 1) / 2 + size * np.concatenate([sides, sides[:, ::-1]])
        edge = project(view, undistort(edge, size, distortion) - (size - 1) / 2)
        return edge.min(0), edge.max(0)

    least, most = 0.0, 1.0  # the size that just fits, as a share of the photograph's
    for _ in range(30):
        middle = (least + most) / 2
        low, high = outline(middle * whole)
        least, most = (middle, most) if np.all(high - low <= room) else (least, middle)
    size = np.int64(share * least * whole)
    low, high = outline(size)
    place = np.eye(3)
    place[:2, 2] = _MARGIN - low + rng.uniform(0, room - (high - low))
    centred = np.eye(3)
    centred[:2, 2] = -(size - 1) / 2
    return Shot((int(size[0]), int(size[1])), place @ view @ centred, distortion)


def take_shot(photograph: np.ndarray, shot: Shot) -> np.ndarray:
    """Photographs a photograph: every pixel is the mean over its area, so that nothing aliases.

    Args:
      photograph: (H, W, 3) uint8.
      shot: the viewpoint and the lens.

    Returns:
      (height, width, 3) uint8, of the shot's size; black beyond the edges of the photograph.
    """
    x, y = ((np.arange(n * _OVERSAMPLING) + 0.5) / _OVERSAMPLING - 0.5 for n in shot.size)
    points = undistort(np.stack(np.meshgrid(x, y), -1), shot.size, shot.distortion)
    where = np.float32(project(shot.to_photograph, points))
    fine = cv2.remap(np.float32(photograph), where, None, cv2.INTER_CUBIC)
    pixels = cv2.resize(fine, shot.size, interpolation=cv2.INTER_AREA)
    return np.uint8(np.rint(np.clip(pixels, 0, 255)))


def phone_to_dslr(phone: Shot, dslr: Shot) -> np.ndarray:
    """The (3, 3) homography from `undistort`ed pixels of the phone to the DSLR camera's."""
    homography = np.linalg.inv(dslr.to_photograph) @ phone.to_photograph
    return homography / homography[2, 2]
