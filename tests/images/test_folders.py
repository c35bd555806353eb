"""Pictures that cannot be used are refused by name, before they cost memory."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from dped_jax.base.errors import InputError
from dped_jax.images import folders


@pytest.fixture
def picture(tmp_path) -> pathlib.Path:
    Image.fromarray(np.zeros((60, 50, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_few_bytes_of_many_pixels_are_not_decoded(picture, monkeypatch):
    assert folders.read_image(picture).shape == (60, 50, 3)
    monkeypatch.setattr(folders, "MAX_PIXELS", 60 * 50 - 1)
    with pytest.raises(InputError, match=r"a.png: 50 x 60 pixels, more than 200 megapixels"):
        folders.read_image(picture)
