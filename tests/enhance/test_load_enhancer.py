"""`load_enhancer`: an array gets what the command writes for a file of it."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from dped_jax.base import pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.enhance.photo_enhancer import load_enhancer
from dped_jax.pixels import to_float, to_integers


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "w", *tiny.random_generator())


@pytest.fixture(scope="module")
def enhancer(workdir):
    return load_enhancer(workdir)


def random_pixels(dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (70, 90, 3), dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_give_what_the_command_writes(workdir, enhancer, tmp_path, dtype):
    pixels = random_pixels(dtype)
    writing.write(tmp_path / "a.png", Picture(pixels))
    flags = f"--workdir={workdir} --input={tmp_path}/a.png --output={tmp_path}/b.png".split()
    assert tiny.command("dped_jax.enhance", *flags).returncode == 0
    enhanced = enhancer(pixels)
    assert enhanced.dtype == dtype
    # The same program on the same machine; the command's process may see another number of
    # devices, and a value half-way between two integers may then fall to either side.
    written = pictures.read(tmp_path / "b.png").pixels
    np.testing.assert_allclose(enhanced.astype(int), written, rtol=0, atol=1)
    assert np.ptp(enhanced) > 50


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_give_unclipped_float32(workdir, enhancer, dtype):
    pixels = random_pixels(np.uint8)
    enhanced = enhancer(to_float(pixels).astype(dtype))
    assert enhanced.dtype == np.float32
    if dtype == np.float32:
        np.testing.assert_array_equal(to_integers(enhanced), enhancer(pixels))
    else:
        expected = enhancer(to_float(pixels).astype(dtype).astype(np.float32))
        np.testing.assert_array_equal(enhanced, expected)


def test_values_beyond_the_range_are_kept(tmp_path):
    config, variables = tiny.random_generator()
    variables["params"]["conv_last"]["bias"] = np.float32([9.0, -9.0, 0.0])
    enhanced = load_enhancer(tiny.write_model(tmp_path / "w", config, variables))(
        np.full((20, 30, 3), 0.5)
    )
    assert enhanced[..., 0].min() > 1
    assert enhanced[..., 1].max() < 0


def test_jax_arrays_and_views_are_arrays(enhancer):
    pixels = random_pixels(np.uint8)
    np.testing.assert_array_equal(enhancer(jnp.asarray(pixels)), enhancer(pixels))
    np.testing.assert_array_equal(
        enhancer(pixels[::-1, ::2]), enhancer(np.ascontiguousarray(pixels[::-1, ::2]))
    )


def test_other_arrays_are_a_value_error_that_says_what_came(enhancer):
    pixels = random_pixels(np.uint8)
    for wrong, message in [
        (pixels[..., 0], r"shape \(70, 90\); expected \(height, width, 3\)"),
        (pixels[..., [0, 1, 2, 0]], r"shape \(70, 90, 4\)"),
        (pixels[None], r"shape \(1, 70, 90, 3\)"),
        (pixels.astype(np.float32), r"values from 0 to 25\d; expected \[0, 1\]"),
        (pixels.astype(int), "int64; expected uint8, uint16 or floats"),
        (np.full((5, 5, 3), np.nan), "values from nan to nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            enhancer(wrong)


def test_a_step_may_be_a_number_and_what_is_no_workdir_is_said(workdir, tmp_path):
    assert load_enhancer(str(workdir), step=0)(random_pixels(np.uint8)).shape == (70, 90, 3)
    with pytest.raises(InputError, match="7"):
        load_enhancer(workdir, step=7)
    with pytest.raises(InputError, match="not a workdir"):
        load_enhancer(tmp_path)
