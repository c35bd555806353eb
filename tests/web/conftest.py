"""A page with a small U-Net, built and served once, and photographs to open in it."""

import pathlib

import cv2
import enhancer_page
import numpy as np
import pytest
import skimage.data
import tiny


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> pathlib.Path:
    """A U-Net, random, whose results still look like the photograph."""
    config, variables = tiny.random_generator(architecture="unet", num_levels=2)
    variables["params"]["last"]["kernel"] *= 0.1
    variables["params"]["last"]["bias"] *= 0.1
    return tiny.write_model(tmp_path_factory.mktemp("unet"), config, variables)


@pytest.fixture(scope="session")
def built_page(workdir, tmp_path_factory) -> pathlib.Path:
    """The page with that model, in stages."""
    folder = tmp_path_factory.mktemp("built")
    exported = enhancer_page.export(workdir, folder / "stages", stages=True, pixels="uint8")
    result = enhancer_page.build(exported, folder / "page")
    assert result.returncode == 0, result.stderr
    enhancer_page.small_cells(folder / "page")
    return folder / "page"


@pytest.fixture
def server(built_page):
    with enhancer_page.served(built_page) as started:
        yield started


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> pathlib.Path:
    """205 x 150 pixels: no multiple of the network's grid, and several windows each way."""
    path = tmp_path_factory.mktemp("photo") / "coffee.png"
    cropped = skimage.data.coffee()[100:250, 150:355, ::-1]
    assert cv2.imwrite(str(path), np.ascontiguousarray(cropped))
    return path
