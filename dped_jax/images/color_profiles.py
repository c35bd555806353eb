"""Colours of photographs between sRGB and what their files hold, with libvips and littlecms.

Images are libvips', 8 or 16 bits, without alpha. A profile is the content of an ICC file.
"""

import pathlib

import numpy as np
import pyvips
from absl import logging

from dped_jax.base.errors import InputError

ICC = "icc-profile-data"  # libvips' name of the field


def _is_srgb(image: pyvips.Image) -> bool:
    """Whether the image's profile is sRGB up to rounding: tried on a cube of colours."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 256, 3)
    colors = pyvips.Image.new_from_array(cube).copy(interpretation="srgb")
    colors.set_type(pyvips.GValue.blob_type, ICC, image.get(ICC))
    converted = colors.icc_transform("srgb", embedded=True, intent="relative").numpy()
    return int(np.abs(converted.astype(int) - cube).max()) <= 1


def to_srgb(image: pyvips.Image, path: pathlib.Path) -> tuple[pyvips.Image, bool]:
    """Converts to sRGB.

    Args:
      image: grayscale, RGB, or CMYK with a profile.
      path: for messages.

    Returns:
      The RGB image, and whether it had an RGB profile, to which writing is to convert it back.

    Raises:
      InputError: the colours are of another kind.
    """
    deep = image.format == "ushort"
    interpretation, target = image.interpretation, "rgb16" if deep else "srgb"
    has_profile = ICC in image.get_fields()
    if image.bands == 1:
        interpretation = "grey16" if deep else "b-w"
    elif image.bands == 4:
        interpretation = "cmyk"
        if not has_profile:
            raise InputError(f"{path}: CMYK without a colour profile; convert it to RGB")
    elif image.bands == 3 and interpretation in ("srgb", "rgb16", "rgb", "multiband"):
        interpretation = target
    else:
        raise InputError(f"{path}: {interpretation} colours are not supported; convert it to RGB")
    image = image.copy(interpretation=interpretation)
    if has_profile:
        own = image.bands == 3
        try:
            if not own or not _is_srgb(image):
                # In two steps: in one, littlecms interpolates in a table, at 5 % error in the dark.
                image = image.icc_import(embedded=True, intent="relative")
                options = {"intent": "relative", "depth": 16 if deep else 8}
                image = image.icc_export(output_profile="srgb", **options).copy_memory()
                return image.copy(interpretation=target), own
            return image, own
        except pyvips.Error as error:
            if image.bands == 4:
                raise InputError(f"{path}: its colour profile is damaged") from error
            logging.warning("%s: its colour profile is damaged; taken as sRGB", path)
    if image.bands == 1:
        image = image.bandjoin([image, image]).copy(interpretation=target)
    return image, False


def from_srgb(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """Converts sRGB to a profile, unless it is sRGB itself."""
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, ICC, profile)
    if _is_srgb(image):
        return image
    depth, interpretation = (16 if image.format == "ushort" else 8), image.interpretation
    connection = image.icc_import(input_profile="srgb", embedded=False, intent="relative")
    connection = connection.copy()
    connection.set_type(pyvips.GValue.blob_type, ICC, profile)
    return connection.icc_export(depth=depth, intent="relative").copy(interpretation=interpretation)
