"""Pictures of folders that belong together by name. Pictures are (H, W, 3) uint8 RGB."""

import pathlib
from collections.abc import Iterable

import cv2
import numpy as np
from PIL import Image

from dped_jax.cli import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
MAX_PIXELS = 200e6  # few bytes can hold more pixels than the memory
SHOWN_NAMES = 20  # in a message about many


def read_image(path: pathlib.Path) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB, its EXIF orientation applied.

    Raises:
      InputError: it is missing, cannot be decoded, or has more than 200 megapixels.
    """
    Image.MAX_IMAGE_PIXELS = None  # only the header is read
    try:
        with Image.open(path) as header:
            width, height = header.size
    except (Image.UnidentifiedImageError, ValueError, SyntaxError):
        width, height = 0, 0
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels, more than 200 megapixels; reduce it")
    encoded = np.fromfile(path, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None
    if image is None:
        raise InputError(f"{path}: not a picture that can be decoded; replace or remove it")
    return image


def is_utf8(path: pathlib.Path) -> bool:
    """Whether libraries can open a file, and files in UTF-8 can hold its name."""
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def list_images(folder: pathlib.Path, flag: str) -> dict[str, pathlib.Path]:
    """The pictures of a folder by file stem.

    Raises:
      InputError: the folder is missing or empty, two pictures share a stem, or a name is not UTF-8.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"--{flag}={folder}: no such folder")
    images = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if not is_utf8(path):
                raise InputError(f"--{flag}: {str(path)!r}: its name is not UTF-8; rename it")
            if path.stem in images:
                raise InputError(f"--{flag}: {images[path.stem]} and {path} share a name")
            images[path.stem] = path
    if not images:
        raise InputError(f"--{flag}={folder}: holds no pictures ({' '.join(SUFFIXES)})")
    return images


class MissingPicturesError(InputError):
    """Pictures of the same names are not in all of the places that are compared.

    Attributes:
      missing: all names that lack a partner, or that a split has and the folder lacks.
    """

    def __init__(self, problems: list[str], missing: Iterable[str]):
        super().__init__("; ".join(problems))
        self.missing = sorted(missing, key=by_number)


def by_number(stem: str) -> tuple[int, str]:
    """Orders 2 before 10."""
    return len(stem), stem


def some(names: Iterable[str], most: int = SHOWN_NAMES) -> str:
    """The first names in natural order, at most so many, for a message."""
    names = sorted(names, key=by_number)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def matching_images(folders: dict[str, pathlib.Path]) -> list[dict[str, pathlib.Path]]:
    """Pictures that folders hold under the same stem.

    Args:
      folders: by flag name.

    Returns:
      For each stem, in natural order, the path by flag name.

    Raises:
      MissingPicturesError: a folder lacks pictures that another one has.
      InputError: a folder is missing or empty.
    """
    listings = {flag: list_images(folder, flag) for flag, folder in folders.items()}
    stems = set().union(*listings.values())
    lacking = {flag: stems - images.keys() for flag, images in listings.items()}
    if any(lacking.values()):
        problems = [
            f"--{flag}={folders[flag]}: {len(missing)} pictures of the other folders are missing "
            f"here ({some(missing)})"
            for flag, missing in lacking.items()
            if missing
        ]
        raise MissingPicturesError(problems, set().union(*lacking.values()))
    ordered = sorted(stems, key=by_number)
    return [{flag: images[stem] for flag, images in listings.items()} for stem in ordered]
