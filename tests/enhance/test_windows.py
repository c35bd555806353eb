"""Windows of a network that computes on a coarser grid and needs the whole photograph's means."""

import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dped_jax.enhance import windows
from dped_jax.models.layers import Norm, WholeMean
from dped_jax.models.unet import UNet


class Toy(nn.Module):
    """Contrast around the mean, a strided conv, instance norm, a mean over windows, upsampling."""

    measured: bool = False
    dtype: Any = jnp.float32

    stride = 2
    reach = 2 + 2 * 2  # the first conv, and one on the coarse grid
    statistics = (("brightness", 1, 1), ("norm", 2, 1), ("bottom", 2, 3))

    @nn.compact
    def __call__(self, images):
        height, width = images.shape[1:3]
        x = jnp.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        x = (x - WholeMean(self.measured, name="brightness")(x)) * 1.5
        x = nn.Conv(4, (3, 3), strides=2, padding=((1, 1), (1, 1)))(x)
        x = nn.relu(Norm("instance", measured=self.measured, name="norm")(x, False))
        side = min(3, x.shape[1]), min(3, x.shape[2])
        x = x + WholeMean(self.measured, name="bottom")(jnp.square(nn.avg_pool(x, side)))
        x = nn.Conv(3, (3, 3))(x)
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)[:, :height, :width] + images


@pytest.fixture(scope="module")
def toy():
    variables = Toy().init(jax.random.PRNGKey(0), jnp.zeros((1, 8, 8, 3)))
    return Toy(), {"params": variables["params"]}


def enhanced(network, variables, photo):
    result = np.full(photo.shape, np.nan, np.float32)
    shares = []

    def write(rows, columns, part):
        assert np.isnan(result[rows, columns]).all()  # nothing is computed twice
        result[rows, columns] = part

    windows.enhance(network, variables, photo, write, shares.append)
    assert sum(shares) == pytest.approx(1)
    return result


# Float32 rounds each of the few operations to 6e-8 of values up to about 10; means of the whole and
# merged means differ by as much. A window that is off by a pixel costs 1e-2.
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 3), (16, 16), (31, 33), (45, 28), (101, 64), (64, 101), (29, 130)]
)
def test_windows_equal_the_whole(toy, monkeypatch, size):
    monkeypatch.setitem(windows.SIDES, "cpu", (16, 20))
    network, variables = toy
    photo = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
    whole = network.apply(variables, np.float32(photo[None]) / 255)[0]
    np.testing.assert_allclose(enhanced(network, variables, photo), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_the_rounded_floats(toy, dtype):
    network, variables = toy
    shape, most = (40, 50, 3), np.iinfo(dtype).max
    photo = np.random.default_rng(3).integers(0, most, shape, dtype, endpoint=True)
    photo[:3] = np.array([0, most // 2, most])[:, None, None]
    result = np.zeros(shape, dtype)

    def write(rows, columns, part):
        assert part.dtype == dtype
        result[rows, columns] = part

    windows.enhance(network, variables, photo, write, lambda share: None, dtype=dtype)
    floats = enhanced(network, variables, photo)
    assert floats.min() < -0.01  # highlights and shadows are clipped, not wrapped around
    assert floats.max() > 1.01
    # Two compiled programs may differ by the last bit, about 1e-7 of the range, near a half.
    exact = np.clip(floats.astype(np.float64), 0, 1) * most
    assert np.abs(result - exact).max() <= 0.5 + 1e-6 * most
    np.testing.assert_array_equal(result[floats > 1.01], most)


def test_the_first_sweep_of_the_unet_sees_the_thumbnail_alone(monkeypatch):
    network = UNet(width=4)
    photo = np.random.default_rng(4).integers(0, 256, (203, 310, 3), np.uint8)
    variables = network.init(jax.random.PRNGKey(0), jnp.zeros((1, 8, 8, 3)))
    variables = jax.tree.map(lambda x: x + 0.1, {"params": variables["params"]})
    sizes = []
    measure = windows._measure

    def spy(network, variables, window, region, path):
        sizes.append(window.shape)
        return measure(network, variables, window, region, path)

    monkeypatch.setattr(windows, "_measure", spy)
    _, measured = windows.measure(network, variables, photo, lambda: None)
    assert sizes == [(26, 39, 3)]  # of 203 x 310 pixels by 8 x 8, the last ones extended
    images = np.float32(photo[None]) / 255
    _, sown = network.apply(variables, images, mutable=["entering"])
    (vectors,) = sown["entering"]["vector_mean"]["photo_input"]
    mean = measured["batch_stats"]["vector_mean"]["photo"]["mean"]
    assert vectors.std() > 1e-3
    # Sums of about 300 products in float32 on the way, of values of order one.
    np.testing.assert_allclose(mean, vectors.mean(axis=(0, 1, 2)), rtol=1e-5, atol=1e-5)


def test_a_reach_that_is_too_short_shows(toy, monkeypatch):
    monkeypatch.setitem(windows.SIDES, "cpu", (16, 20))
    monkeypatch.setattr(Toy, "reach", 0)
    network, variables = toy
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = network.apply(variables, np.float32(photo[None]) / 255)[0]
    assert np.abs(enhanced(network, variables, photo) - whole).max() > 1e-3


def test_parts_cover_an_axis_once():
    rng = np.random.default_rng(1)
    for _ in range(500):
        length, side, reach = (int(rng.integers(low, 200)) for low in (1, 1, 0))
        stride = int(rng.choice([1, 2, 8]))
        size, parts = windows.split(length, side, reach, stride)
        extended = -(-length // stride) * stride
        assert [parts[0].begin, parts[-1].end] == [0, extended]
        for part, after in itertools.pairwise(parts):
            assert part.end == after.begin
        for part in parts:
            assert part.begin < part.end
            assert 0 <= part.start <= extended - size
            assert part.start % stride == 0
            assert part.start == 0 or part.begin - part.start >= reach
            assert part.start + size == extended or part.start + size - part.end >= reach
