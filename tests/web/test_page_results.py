"""The page gives what `dped_jax.enhance` gives, for every form in which a network is exported."""

import cv2
import enhancer_page
import numpy as np
import pytest
import tiny

from dped_jax.enhance.photo_enhancer import load_enhancer

UNET = {"architecture": "unet", "num_levels": 2}


def read(path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def assert_equal_but_for_rounding(found: np.ndarray, expected: np.ndarray) -> None:
    """Two float32 computations of one value can round it to different levels, never further."""
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001
    assert np.ptp(expected) > 100  # a picture


def test_windows_of_a_unet(browser, server, workdir, photo, tmp_path):
    expected = load_enhancer(workdir)(read(photo))
    assert np.abs(expected.astype(int) - read(photo)).mean() > 3  # the network does something
    with enhancer_page.opened(browser, server) as page:
        assert page.text_content("#place").startswith("The model runs on the processor")
        page.select_option("#format", "image/png", force=True)
        enhancer_page.open_photos(page, photo)
        enhancer_page.wait_until_enhanced(page)
        saved = enhancer_page.save(page, tmp_path)
    assert saved.name == "coffee_enhanced.png"
    assert_equal_but_for_rounding(read(saved), expected)


@pytest.mark.parametrize(
    ("fields", "exported"),
    [
        # activations between sweeps
        ({"norm": "instance"}, {"stages": True, "pixels": "uint8"}),
        # local: the plain file, window by window, in floats
        ({"norm": "none"}, {"stages": False, "pixels": "float32"}),
        # in one piece
        (UNET, {"stages": False, "pixels": "uint8", "half": True}),
    ],
    ids=["sections", "plain local", "plain whole"],
)
def test_other_forms(browser, photo, tmp_path, fields, exported):
    workdir = tiny.write_model(tmp_path / "model", *tiny.random_generator(**fields))
    model = enhancer_page.export(workdir, tmp_path / "exported.onnx", **exported)
    result = enhancer_page.build(model, tmp_path / "page")
    assert result.returncode == 0, result.stderr
    enhancer_page.small_cells(tmp_path / "page")
    with (
        enhancer_page.served(tmp_path / "page") as server,
        enhancer_page.opened(browser, server) as page,
    ):
        page.select_option("#format", "image/png", force=True)
        enhancer_page.open_photos(page, photo)
        enhancer_page.wait_until_enhanced(page)
        saved = enhancer_page.save(page, tmp_path)
    found, expected = read(saved), load_enhancer(workdir)(read(photo))
    if exported.get(
        "half"
    ):  # weights are off by 2**-12 of themselves, and so are results, in levels
        assert np.abs(found.astype(int) - expected).mean() < 0.5
    else:
        assert_equal_but_for_rounding(found, expected)
