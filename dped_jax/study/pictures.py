"""A study's pictures, checked, and made into what participants get: the same for every class.

They get lossless WebP in sRGB without metadata, all pictures of a scene padded to the same length:
neither camera nor program nor the size of a file tells one class from another.
"""

import concurrent.futures
import os
from collections.abc import Iterator

import numpy as np
import pyvips

from dped_jax.base import pictures
from dped_jax.base.errors import InputError
from dped_jax.base.progress import progress_bar
from dped_jax.study.definition import Group, Study

Picture = tuple[str, str, str]  # group, picture, class
MEDIA_TYPE = "image/webp"
MAX_MEGAPIXELS = 100.0


def names_problem(group: Group) -> str | None:
    """What is wrong with the names of a group's files, if anything is."""
    first = next(iter(group.folders))
    names = group.files(first)
    if not names:
        return f"{group.folders[first]}: no pictures; give a folder that has some"
    for name, folder in group.folders.items():
        files = group.files(name)
        for paths in files.values():
            if len(paths) > 1:
                return f"{paths[0]}, {paths[1].name}: one name, two pictures; remove one"
        for lacking, missing in (
            (folder, names.keys() - files.keys()),
            (group.folders[first], files.keys() - names.keys()),
        ):
            if missing:
                return f"{lacking}: has no picture {min(missing)!r}, another class has; add it"
    return None


def read_scene(group: Group, picture: str) -> dict[str, np.ndarray]:
    """Reads a scene's pictures.

    Returns:
      By class: (H, W, 3) uint8 sRGB, all of one size and no two the same.

    Raises:
      InputError: a picture cannot be shown, or not beside the others.
    """
    scene: dict[str, np.ndarray] = {}
    paths = {name: group.files(name)[picture][0] for name in group.folders}
    for name, path in paths.items():
        photo = pictures.read(path, max_megapixels=MAX_MEGAPIXELS)
        if photo.alpha is not None and photo.alpha.min() < np.iinfo(photo.alpha.dtype).max:
            raise InputError(f"{path}: is transparent in part; put it on a background")
        scene[name] = pictures.to_8_bits(photo.pixels)
        for other, pixels in list(scene.items())[:-1]:
            if pixels.shape != scene[name].shape:
                (h, w), (h2, w2) = pixels.shape[:2], scene[name].shape[:2]
                raise InputError(
                    f"{path}: {w2} x {h2} pixels, but {paths[other]} has {w} x {h}; bring all"
                    " pictures of a scene to one size"
                )
            if np.array_equal(pixels, scene[name]):
                raise InputError(
                    f"{path}: the same picture as {paths[other]}; nobody can choose between them"
                )
    return scene


def blind(scene: dict[str, np.ndarray], max_side: int) -> dict[str, bytes]:
    """Encodes a scene's pictures so that nothing but their pixels differs."""
    encoded = {}
    for name, pixels in scene.items():
        image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
        if max(pixels.shape) > max_side:
            image = image.resize(max_side / max(pixels.shape)).copy_memory()
        encoded[name] = image.webpsave_buffer(lossless=True, effort=0, keep="none")
    length = max(map(len, encoded.values()))
    return {name: data.ljust(length, b"\0") for name, data in encoded.items()}


def encode_scenes(study: Study) -> Iterator[dict[Picture, bytes] | Exception]:
    """Checks and encodes a study's pictures, with a progress bar.

    Yields:
      For each scene its pictures, or the InputError or OSError that says what is wrong; for a group
      whose file names do not match, that error only.
    """
    scenes = []
    for group in study.groups:
        if problem := names_problem(group):
            yield InputError(f"{group.name}: {problem}")
        else:
            scenes += [(group, picture) for picture in group.files(next(iter(group.folders)))]

    def encode(scene: tuple[Group, str]) -> dict[Picture, bytes] | Exception:
        group, picture = scene
        try:
            encoded = blind(read_scene(group, picture), study.max_side)
        except (InputError, OSError) as error:
            return error
        return {(group.name, picture, name): data for name, data in encoded.items()}

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # libvips frees the lock
        results = pool.map(encode, scenes)
        yield from progress_bar(results, "pictures", len(scenes), unit="scene", leave=False)


def prepare(study: Study) -> dict[Picture, bytes]:
    """Checks and encodes all pictures of a study.

    Raises:
      InputError: the first thing that is wrong.
    """
    prepared = {}
    for result in encode_scenes(study):
        if isinstance(result, Exception):
            raise InputError(f"{result} (`study check` lists all problems)")
        prepared |= result
    return prepared
