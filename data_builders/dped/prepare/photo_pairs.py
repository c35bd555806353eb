"""From the two files of a photo pair to a record of its patches: what runs once for every pair.

The record (see records.py) holds the encoded patches, a small picture of the aligned pair, and a
description. Paths may be of any file system that `etils.epath` knows.
"""

import dataclasses
import hashlib
from typing import Any

import cv2
import numpy as np
import pyvips
from etils import epath

from dped_jax.base import pictures, raw
from dped_jax.base.errors import InputError

from ..layout import PATCH_SIZE
from ..patch_files import encode
from . import alignment, patches, records
from .homography import AlignmentError

OVERVIEW_FILE = "overview.jpg"  # in the record: phone, DSLR, and both as a checkerboard
ALIGNED_FILES = {camera: f"aligned/{camera}.png" for camera in ("phone", "dslr")}  # likewise
_OVERVIEW_QUALITY = 75  # of JPEG: as PNG it would be half as large as the patches
_OVERVIEW_WIDTH = 240  # pixels of each of the three
_OVERVIEW_TILES = 6  # squares of the checkerboard side by side
_NAMES = {"phone": "phone photo", "dslr": "DSLR photo"}  # in messages


class PhotoError(ValueError):
    """A photo that gives no patches. The message says why, and what to do where one can."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides how the patches of a pair come out.

    Attributes:
      width: of aligned landscape photos, pixels.
      height: likewise.
      min_correlation: patches are kept above it.
      keep_blank: keep pairs with a blank patch too, whose correlation is undefined.
      patch_format: "jpg" or "png".
      jpeg_quality: 1…100.
      keep_aligned: keep the whole aligned photos, too.
    """

    width: int = alignment.SIZE[0]
    height: int = alignment.SIZE[1]
    min_correlation: float = patches.MIN_CORRELATION
    keep_blank: bool = False
    patch_format: str = "jpg"
    jpeg_quality: int = 100
    keep_aligned: bool = False

    def keeps(self, pair: patches.PatchPair) -> bool:
        """Whether a pair of patches goes into the data set."""
        return self.keep_blank if pair.blank else pair.correlation > self.min_correlation


@dataclasses.dataclass(frozen=True)
class PhotoPair:
    """Name of a pair and paths of its two photos."""

    name: str
    phone: str
    dslr: str


def process_pair(pair: PhotoPair, settings: Settings, work_dir: str) -> None:
    """Aligns one pair, cuts it into patches and writes its record.

    The record is a function of the two files and the settings alone: any machine writes the same.

    Args:
      pair: which photos.
      settings: how.
      work_dir: an existing folder for the record.

    Raises:
      OSError: the record cannot be written. What is wrong with the photos is in the record.
    """
    if finished_record(pair, work_dir):  # a cluster may call twice, as when a worker was lost
        return
    record: dict[str, Any] = {"name": pair.name, "problem": None, "retry": False, "windows": []}
    sources = {"phone": pair.phone, "dslr": pair.dslr}
    record["files"] = [epath.Path(path).name for path in sources.values()]
    encoded: dict[str, bytes] = {}
    try:
        data = {camera: _read_bytes(camera, path) for camera, path in sources.items()}
        record["bytes"] = [len(data["phone"]), len(data["dslr"])]
        record["sha256"] = [hashlib.sha256(content).hexdigest() for content in data.values()]
        if data["phone"] == data["dslr"]:
            raise PhotoError("the phone's and the DSLR's file are the same: replace one")
        _align_and_cut(data, settings, record, encoded)
    except (PhotoError, AlignmentError) as error:
        # Next time a library may be installed, or the file be readable.
        retry = isinstance(error.__cause__, OSError | ImportError)
        record |= {"problem": str(error), "retry": retry}
    except Exception as error:  # one odd photo does not end a run
        problem = f"cannot be aligned: {describe(error)}: replace a photo"
        record |= {"problem": problem, "retry": isinstance(error, MemoryError)}
    if record["problem"]:
        record["windows"], encoded = [], {}
    records.write(f"{work_dir}/{pair.name}", record, encoded)


def describe(error: Exception) -> str:
    """An exception that nobody expected, in one line."""
    return " ".join(f"{type(error).__name__} {error}".split())


def decode_photo(data: bytes, camera: str) -> np.ndarray:
    """Decodes a photo of which patches can be made; see `pictures.read_rgb8`.

    Args:
      data: the file.
      camera: "phone" or "dslr", for the message.

    Returns:
      (H, W, 3) uint8, RGB.

    Raises:
      PhotoError: not an 8-bit RGB photo, damaged, or smaller than a patch.
    """
    try:
        photo = pictures.read_rgb8(data, name=_NAMES[camera])
    except InputError as error:
        raise PhotoError(str(error)) from error.__cause__
    height, width = photo.shape[:2]
    if min(height, width) < PATCH_SIZE:
        raise PhotoError(
            f"{_NAMES[camera]}: {width}x{height} pixels: smaller than a patch of"
            f" {PATCH_SIZE}x{PATCH_SIZE}"
        )
    return photo


def _align_and_cut(
    data: dict[str, bytes], settings: Settings, record: dict[str, Any], encoded: dict[str, bytes]
) -> None:
    """Adds to the record what is known of a pair, and to `encoded` its patches and pictures."""
    photos = {camera: decode_photo(content, camera) for camera, content in data.items()}
    vips = ".".join(str(pyvips.version(i)) for i in range(3))
    record["libraries"] = f"OpenCV {cv2.__version__}, libvips {vips}"
    if any(map(raw.is_raw, data.values())):
        record["developed"] = raw.development()
        record["libraries"] += ", " + record["developed"].partition(":")[0]
    aligned = alignment.align_pair(**photos, size=(settings.width, settings.height))
    record |= {
        "homography": aligned.homography.tolist(),
        "turned": aligned.turned,
        "matches": aligned.matches,
        "inliers": aligned.inliers,
        "error": aligned.error,
    }
    encoded[OVERVIEW_FILE] = encode(
        _overview(aligned.phone, aligned.dslr), ".jpg", _OVERVIEW_QUALITY
    )
    record["windows"] = _cut(aligned, settings, encoded)
    if settings.keep_aligned:
        for camera, file in ALIGNED_FILES.items():
            encoded[file] = encode(getattr(aligned, camera), ".png")


def finished_record(pair: PhotoPair, work_dir: str) -> dict[str, Any] | None:
    """The record of a pair, if it is there and of these files."""
    record = records.read(f"{work_dir}/{pair.name}")
    if record is None or record["retry"]:
        return None
    if not record["problem"] and not records.has_files(f"{work_dir}/{pair.name}"):
        return None
    paths = [epath.Path(path) for path in (pair.phone, pair.dslr)]
    if record["files"] != [path.name for path in paths]:
        return None
    try:
        return record if record["bytes"] == [path.stat().length for path in paths] else None
    except OSError:  # said when it is read
        return None


def _read_bytes(camera: str, path: str) -> bytes:
    try:
        return epath.Path(path).read_bytes()
    except OSError as error:
        raise PhotoError(f"{_NAMES[camera]}: cannot be read: {error.strerror}") from error


def _cut(
    aligned: alignment.Alignment, settings: Settings, encoded: dict[str, bytes]
) -> list[dict[str, Any]]:
    """Describes all windows of a pair, and adds the patches kept to `encoded`, by name."""
    windows: list[dict[str, Any]] = []
    pairs = patches.extract_patches(aligned.phone, aligned.dslr)
    suffix = f".{settings.patch_format}"
    for pair in pairs:
        windows.append(
            {
                "x": pair.x,
                "y": pair.y,
                "correlation": None if pair.blank else pair.correlation,
                "shift": pair.shift,
                "angle": pair.angle,
                "patch": None,
            }
        )
        if settings.keeps(pair):
            windows[-1]["patch"] = f"{len(windows) - 1:04d}{suffix}"
            for camera, patch in (("phone", pair.phone), ("dslr", pair.dslr)):
                file = f"{camera}/{windows[-1]['patch']}"
                encoded[file] = encode(patch, suffix, settings.jpeg_quality)
    height, width = aligned.phone.shape[:2]
    if not pairs:
        raise PhotoError(f"the overlap, {width}x{height} pixels, is smaller than a patch")
    if not any(window["patch"] for window in windows):
        blank = sum(pair.blank for pair in pairs)
        raise PhotoError(
            f"none of {len(pairs)} windows correlates above {settings.min_correlation:g}"
            f" ({blank} blank)"
        )
    return windows


def _overview(phone: np.ndarray, dslr: np.ndarray) -> np.ndarray:
    """Phone, DSLR, and both in turns as a checkerboard, side by side; (h, w, 3) uint8."""
    height = round(_OVERVIEW_WIDTH * phone.shape[0] / phone.shape[1])
    small = [
        cv2.resize(photo, (_OVERVIEW_WIDTH, height), interpolation=cv2.INTER_AREA)
        for photo in (phone, dslr)
    ]
    tile = _OVERVIEW_WIDTH // _OVERVIEW_TILES
    rows, columns = np.arange(height) // tile, np.arange(_OVERVIEW_WIDTH) // tile
    odd = (rows[:, None] + columns) % 2 == 1
    return np.concatenate([*small, np.where(odd[..., None], *small)], axis=1)
