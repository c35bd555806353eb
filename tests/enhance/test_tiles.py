"""Tiles against the network on the whole photograph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from dped_jax.base.errors import InputError
from dped_jax.enhance import activations, photo_enhancer, windows
from dped_jax.enhance.activations import Storage
from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.models.generator import make_generator
from dped_jax.pixels import to_integers

FAMILY = [
    {"norm": "instance", "num_blocks": 0},
    {"norm": "instance", "num_blocks": 1},
    {"norm": "instance", "num_blocks": 3, "width": 6},
    {"norm": "batch", "num_blocks": 2},
    {"norm": "batch", "num_blocks": 0},
    {"norm": "none", "num_blocks": 1, "width": 8},
    {"architecture": "srcnn"},
    {"architecture": "ppcn_teacher"},
    {"architecture": "ppcn_student"},
    {"architecture": "unet", "num_levels": 1},
    {"architecture": "unet", "num_levels": 3},
]
# Odd, of one pixel, a row more than a tile has, landscape of several tiles.
SIZES = [(101, 37), (1, 1), (17, 32), (33, 97)]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(photo_enhancer, "TILE", (16, 32))
    monkeypatch.setitem(windows.SIDES, "cpu", (16, 32))


def random_photo(height, width, dtype=np.uint8, seed=0):
    rng = np.random.default_rng([seed, height, width])
    return rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def enhancer_of(**fields):
    return PhotoEnhancer(*tiny.random_generator(**fields))


def rounding(variables):
    """How far float32 takes a pixel from the exact result; a seam or a lost row costs 1e-2.

    Each of the N products that are added up on the way to a pixel is rounded by half an epsilon of
    values of order one (which norms and He's initial weights keep so), up or down at random: errors
    grow with the root of N. Six standard deviations hold for all pixels together.
    """
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4]
    num_products = sum(np.prod(kernel.shape[:-1]) for kernel in kernels)
    return 6 * np.sqrt(num_products) * np.finfo(np.float32).eps / 2


def assert_equal_but_for_rounding(found, expected, variables):
    """Of two results in float32."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * rounding(variables))


@pytest.mark.parametrize("fields", FAMILY, ids=lambda fields: "-".join(map(str, fields.values())))
def test_tiles_equal_the_whole(fields):
    config, variables = tiny.random_generator(**fields)
    enhancer = PhotoEnhancer(config, variables)
    for size in SIZES:
        photo = random_photo(*size)
        whole = enhancer.whole(photo)
        assert size == (1, 1) or whole.std() > 1e-3
        assert_equal_but_for_rounding(enhancer(photo), whole, variables)


def test_random_sizes_equal_the_whole():
    config, variables = tiny.random_generator(num_blocks=2)
    enhancer = PhotoEnhancer(config, variables)
    rng = np.random.default_rng(7)
    for _ in range(12):
        photo = random_photo(*rng.integers(1, 130, 2))
        assert_equal_but_for_rounding(enhancer(photo), enhancer.whole(photo), variables)


SHAPES = {  # of all families, as they are trained or published, the residual ones narrower
    "paper": {"norm": "batch", "num_blocks": 4, "width": 8},
    "small": {"norm": "instance", "num_blocks": 2, "width": 8},
    "srcnn": {"architecture": "srcnn"},
    "ppcn_teacher": {"architecture": "ppcn_teacher"},
    "ppcn_student": {"architecture": "ppcn_student"},
    "mobile": {"architecture": "unet", "width": 16, "num_levels": 2},
    "unet of three levels": {"architecture": "unet", "width": 8, "num_levels": 3},
}


@pytest.mark.parametrize("name", SHAPES)
def test_but_for_float32_tiles_are_the_whole(name):
    """With convs in float64, 1e-6 of the range of the result holds for every size.

    What is still kept in float32, five statistics at most and the result, is off by 6e-8 of values
    of the order of that range each; a factor of three is left for what layers make of it.
    """
    config, variables = tiny.random_generator(**SHAPES[name])
    config.compute_dtype = "float64"
    rng = np.random.default_rng(len(name))
    height, width = 2 * rng.integers(50, 80, 2) + 1
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        enhancer = PhotoEnhancer(config, double)
        # One pixel more than tiles and strides divide, portrait and landscape; odd; narrow.
        for size in [(129, 97), (97, 129), (height, width), (9, 100 + height)]:
            photo = random_photo(*size)
            whole = enhancer.whole(photo)
            bound = 1e-6 * max(1, np.ptp(whole))
            np.testing.assert_allclose(enhancer(photo), whole, rtol=0, atol=bound)


def test_whole_is_what_evaluate_computes():
    config, variables = tiny.random_generator()
    photo = random_photo(40, 50)
    expected = make_generator(config).apply(variables, jnp.float32(photo[None]) / 255)[0]
    actual = PhotoEnhancer(config, variables).whole(photo)
    assert_equal_but_for_rounding(actual, expected, variables)


def test_float32_is_within_rounding_of_float64():
    config, variables = tiny.random_generator(num_blocks=3, width=16)
    photo = random_photo(150, 140)
    actual = PhotoEnhancer(config, variables)(photo)
    with jax.enable_x64(True):
        network = make_generator(config).clone(dtype=jnp.float64)
        double = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        expected = network.apply(double, np.float64(photo[None]) / 255)[0]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rounding(variables))


@pytest.mark.parametrize("place", ["host", "disk"])
def test_where_activations_are_kept_changes_nothing(place, tmp_path):
    enhancer, photo = enhancer_of(num_blocks=2), random_photo(100, 70)
    for half in (False, True):
        kept = enhancer(photo, Storage(place, half, str(tmp_path)))
        np.testing.assert_array_equal(kept, enhancer(photo, Storage(half=half)))
    assert not list(tmp_path.iterdir())


def test_half_precision_costs_less_than_a_level():
    enhancer, photo = enhancer_of(num_blocks=3, width=16), random_photo(100, 70)
    difference = np.abs(enhancer(photo, Storage(half=True)) - enhancer.whole(photo))
    assert 1e-6 < difference.max() < 0.03
    assert difference.mean() < 0.5 / 255


def test_what_float16_cannot_hold_is_refused():
    config, variables = tiny.random_generator()
    variables["params"]["block0_conv0"]["kernel"] *= 1e6
    enhancer, photo = PhotoEnhancer(config, variables), random_photo(20, 20)
    assert_equal_but_for_rounding(enhancer(photo), enhancer.whole(photo), variables)
    with pytest.raises(OverflowError, match="half precision"):
        enhancer(photo, Storage(half=True))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_compute_dtype_is_honoured(norm):
    config, variables = tiny.random_generator(num_blocks=2, norm=norm)
    photo = random_photo(50, 70)
    exact = PhotoEnhancer(config, variables)(photo)
    config.compute_dtype = "bfloat16"
    enhancer = PhotoEnhancer(config, variables)
    rough = enhancer(photo)
    assert np.abs(rough - exact).max() > 1e-4
    np.testing.assert_allclose(rough, enhancer.whole(photo), rtol=0, atol=0.2)
    assert np.abs(rough - exact).mean() < 0.02
    if norm == "instance":
        assert enhancer.plane_bytes(16, 32) == 2 * 16 * 32 * 4 * 2


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_depths(dtype):
    """A quotient is rounded to the nearest float32, so that equal ones give the same bits."""
    enhancer = enhancer_of()
    if dtype == np.uint16:  # 257 k / 65535 = k / 255
        photo = random_photo(40, 50)
        same = photo.astype(dtype) * dtype(257)
    else:
        photo = random_photo(40, 50, np.uint16)
        same = photo.astype(dtype) / dtype(65535)
    np.testing.assert_array_equal(enhancer(same), enhancer(photo))


def test_values_are_clipped_then_rounded():
    values = np.array([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.08])
    assert to_integers(values).tolist() == [0, 0, 0, 1, 255, 255]
    deep = to_integers(np.array([-0.1, 0.6 / 65535, 1.2]), np.uint16)
    assert (deep.tolist(), deep.dtype) == ([0, 1, 65535], np.uint16)


def test_photos_of_many_sizes_share_the_compiled_programs():
    compiled = []

    def count(event, duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    enhancer = enhancer_of(num_blocks=3, width=5)
    jax.monitoring.register_event_duration_secs_listener(count)
    sizes = np.random.default_rng(3).integers(1, 150, (20, 2))
    counts = []
    for i, size in enumerate(sizes):
        enhancer(random_photo(*size))
        if i in (1, 19):
            counts.append(len(compiled))
    # Four kinds of sections, and the cutting of rows for halos of 1 and of 6 pixels.
    assert counts[0] == counts[1] <= 12


def test_progress_sums_to_one():
    shares = []
    enhancer_of(num_blocks=2)(random_photo(40, 70), on_progress=shares.append)
    assert sum(shares) == pytest.approx(1)
    assert len(shares) > 5


def test_the_fastest_storage_that_fits_is_chosen(tmp_path, monkeypatch):
    def choose(memory, **options):
        need = {False: 1000, True: 500}
        return activations.choose_storage(need.get, memory, folder=str(tmp_path), **options)

    assert choose(1000) == Storage("memory")
    assert choose(999) == Storage("disk", folder=str(tmp_path))
    assert choose(500, half=True) == Storage("memory", half=True)
    assert choose(1000, disk=True) == Storage("disk", folder=str(tmp_path))
    usage = type("usage", (), {"free": 600})
    monkeypatch.setattr(activations.shutil, "disk_usage", lambda folder: usage)
    assert choose(999) == Storage("memory", half=True)
    assert choose(499) == Storage("disk", half=True, folder=str(tmp_path))
    usage.free = 100
    with pytest.raises(InputError, match="--memory_gb"):
        choose(499)


def test_a_device_with_its_own_memory_is_filled_first(tmp_path):
    class Accelerator:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 2000, "bytes_in_use": 500}

    def choose(need, memory):
        return activations.choose_storage(
            lambda half: need, memory, folder=str(tmp_path), device=Accelerator()
        )

    assert choose(1100, 0).place == "memory"
    assert choose(1300, 1300).place == "host"
    assert choose(1300, 1200).place == "disk"


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(activations.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        enhancer_of()(random_photo(20, 20), Storage("disk", folder=str(tmp_path)))
    assert not list(tmp_path.iterdir())
