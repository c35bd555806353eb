"""Sheets hold the pictures that were given, where headings and labels say."""

import numpy as np
import pytest

from dped_jax.pages import sheets


def find(picture: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """Top and left of the only place where a part lies in a picture."""
    height, width = part.shape[:2]
    candidates = np.argwhere((picture == part[0, 0]).all(-1))
    places = [
        (int(y), int(x))
        for y, x in candidates
        if np.array_equal(picture[y : y + height, x : x + width], part)
    ]
    assert len(places) == 1
    return places[0]


def random_patches(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 30, 40, 3), np.uint8)


def test_patches_are_enlarged_in_rows_and_columns():
    columns = {"phone": random_patches(2, 0), "DSLR": random_patches(2, 1)}
    drawn = sheets.sheet(columns, ["a", "b"], scale=3)
    assert drawn.dtype == np.uint8
    places = {
        (name, i): find(drawn, np.kron(patches[i], np.ones((3, 3, 1), np.uint8)))
        for name, patches in columns.items()
        for i in range(2)
    }
    assert places["phone", 0][0] == places["DSLR", 0][0] < places["phone", 1][0] - 90 + 1
    assert places["phone", 0][1] == places["phone", 1][1] < places["DSLR", 0][1] - 120 + 1
    top, left = places["phone", 0]
    for text in (drawn[:top, left:], drawn[top : top + 30, :left]):  # heading and label
        assert text.min() < 60
        assert text.max() == 255


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
def test_unequal_numbers_are_refused(labels):
    with pytest.raises(ValueError, match="label"):
        sheets.sheet({"x": random_patches(2, 0)}, labels)
    with pytest.raises(ValueError, match="shape"):
        sheets.sheet({"x": random_patches(2, 0), "y": random_patches(3, 0)}, ["a", "b"])


def test_pictures_of_any_size_and_gaps():
    small, large = random_patches(1, 0)[0], np.full((50, 200, 3), 77, np.uint8)
    drawn = sheets.grid(["one", "two"], [("r", [small, None]), ("s", [None, large])])
    top, left = find(drawn, small)
    below, right = find(drawn, large)
    gap = drawn[top : top + 30, right : right + 200]
    grey = (gap == sheets.MISSING).all(-1).mean()
    assert 0.8 < grey < 1  # and text in it
    assert below > top + 30
    assert right > left + 40
    with pytest.raises(ValueError, match="cell"):
        sheets.grid(["one", "two"], [("r", [small])])
    with pytest.raises(ValueError, match="picture"):
        sheets.grid(["one"], [("r", [None])])


def test_long_text_is_wrapped_and_nothing_covers_a_picture():
    patches = random_patches(1, 0)
    long = "Ours: colour + content + texture, averylongwordthatdoesnotfitintoacolumn — ж é λ"
    drawn = sheets.sheet({long: patches, "b": patches[:, ::-1]}, [long], scale=2)
    find(drawn, np.kron(patches[0], np.ones((2, 2, 1), np.uint8)))
    top, left = find(drawn, np.kron(patches[0, ::-1], np.ones((2, 2, 1), np.uint8)))
    assert (drawn[:top, -4:] == 255).all()
    assert left == sheets.LABEL_WIDTH + 3 * sheets.GAP + 80


def test_pictures_are_shrunk_into_a_box():
    assert sheets.fit(np.zeros((300, 600, 3), np.uint8), 200, 200).shape == (100, 200, 3)
    assert sheets.fit(np.zeros((600, 300, 3), np.uint8), 200, 200).shape == (200, 100, 3)
    assert sheets.fit(np.zeros((30, 20, 3), np.uint8), 200, 200).shape == (30, 20, 3)


def test_worst_scores_first():
    scores = np.array([3.0, np.inf, 1.0, np.nan, 2.0, 1.0, -np.inf])
    np.testing.assert_array_equal(sheets.worst(scores, 3), [2, 5, 4])
    np.testing.assert_array_equal(sheets.worst(scores, 9), [2, 5, 4, 0])
    assert sheets.worst(np.full(3, np.nan), 2).size == 0
