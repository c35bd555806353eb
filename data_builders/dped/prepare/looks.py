"""Photos at a glance: when they were taken, and the keypoints of a small copy, kept in files."""

import dataclasses
import functools
import json

import cv2
import numpy as np
from etils import epath

from dped_jax.base.capture_time import capture_time
from dped_jax.base.files import write_atomically

from . import homography
from .photo_pairs import PhotoError, decode_photo, describe

_PIXELS = 4e5  # of the copies that are compared
_KEYPOINTS = 1000


@dataclasses.dataclass(frozen=True)
class Look:
    """What is known of a photo without a partner.

    Attributes:
      time: capture time and zone, see `capture_time`; None where unknown.
      problem: why it cannot be compared; None if it can.
      size: (height, width) of the copy that was looked at.
      points: (n, 2) float64, its keypoints.
      descriptors: (n, 128) float32.
    """

    time: tuple[float, float] | None
    problem: str | None
    size: tuple[int, int]
    points: np.ndarray
    descriptors: np.ndarray


def look(task: tuple[str, str, str]) -> None:
    """Writes a photo's time and keypoints.

    Args:
      task: path of the photo, "phone" or "dslr", path of the file to write.
    """
    path, camera, target = task
    time, problem, points, descriptors = None, None, np.empty((0, 2)), np.empty((0, 128), np.uint8)
    size = (0, 0)
    try:
        data = epath.Path(path).read_bytes()
        time = capture_time(data)
        photo = decode_photo(data, camera)
        scale = min(1.0, np.sqrt(_PIXELS / (photo.shape[0] * photo.shape[1])))
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points, found = homography.find_keypoints(photo, _KEYPOINTS)
        descriptors, size = np.uint8(np.minimum(found, 255)), photo.shape[:2]
    except PhotoError as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except Exception as error:  # one odd photo does not end a run
        problem = f"cannot be looked at: {describe(error)}: replace it"
    head = json.dumps({"time": time, "problem": problem, "size": size}).encode()
    body = np.float32(points).tobytes() + descriptors.tobytes()
    count = np.array([len(head), len(points)], np.int64).tobytes()
    write_atomically(epath.Path(target), count + head + body)


@functools.lru_cache(maxsize=512)
def read_look(file: str) -> Look:
    """Reads what `look` has written."""
    data = epath.Path(file).read_bytes()
    length, count = np.frombuffer(data, np.int64, 2)
    head = json.loads(data[16 : 16 + length])
    middle = 16 + length + 8 * count
    points = np.frombuffer(data[16 + length : middle], np.float32).reshape(count, 2)
    descriptors = np.frombuffer(data[middle:], np.uint8).reshape(count, 128)
    time = tuple(head["time"]) if head["time"] else None
    return Look(
        time, head["problem"], tuple(head["size"]), np.float64(points), np.float32(descriptors)
    )


def count_inliers(phone: Look, dslr: Look) -> int:
    """Keypoints that agree on a plausible homography; 0 if the photos do not show the same."""
    matched = homography.match_descriptors(
        (phone.points, phone.descriptors), (dslr.points, dslr.descriptors)
    )
    try:
        found, inliers = homography.estimate_homography(*matched)
        homography.check_plausible(found, phone.size, dslr.size)
    except homography.AlignmentError:
        return 0
    return int(np.count_nonzero(inliers))
