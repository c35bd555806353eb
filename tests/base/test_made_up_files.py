"""The made-up camera files tell right readers from wrong ones."""

import numpy as np
import pytest
from camera_files import EITHER, READ, REFUSE, judge, scene
from camera_files.kinds import difference


def test_all_that_must_be_read_has_a_truth(made_up_files):
    _, kinds = made_up_files
    assert len(kinds) > 150
    for kind in kinds:
        assert (kind.truth is not None) == (kind.right == READ or kind.limit > 0), kind.name
        assert kind.right in (READ, REFUSE, EITHER)
        if kind.truth is not None:
            assert judge(kind, kind.truth / 255) == "", kind.name


def test_what_overlooks_the_special_is_wrong(made_up_files):
    """Numbers that are not turned or not converted are further from the truth than the limit."""
    _, kinds = made_up_files
    told = [kind for kind in kinds if kind.stored is not None]
    assert len(told) > 50
    for kind in told:
        assert judge(kind, np.clip(kind.stored / 255, 0, 1)), kind.name


def test_wrong_pixels_and_refusals_are_wrong(made_up_files):
    _, kinds = made_up_files
    by_name = {kind.name: kind for kind in kinds}
    kind = by_name["jpeg_plain.jpg"]
    truth = kind.truth / 255
    half = truth.copy()
    half[len(half) // 2 :] = 0.5
    for wrong in (truth[:, ::-1], truth[::-1], truth[..., ::-1], truth[:-1], half, 0 * truth):
        assert judge(kind, wrong)
    assert "should be read" in judge(kind, "a.jpg: an alpha channel")
    assert judge(by_name["png_alpha.png"], "a.png: an alpha channel", frozenset({"alpha"})) == ""
    assert "several lines" in judge(by_name["text.jpg"], "Traceback\nin a library")
    assert "should be refused" in judge(by_name["jpeg_cut50.jpg"], truth)
    assert "without saying" in judge(by_name["jpeg_cmyk.jpg"], "a.jpg: damaged")
    deep = by_name["tiff_16.tif"]
    assert judge(deep, scene.quantized(deep.truth / 255, 16)) == ""
    assert judge(deep, scene.quantized(deep.truth / 255))  # cut to 8 bits on the way


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_undo_each_other(orientation):
    image = scene.scene(20, 30)
    np.testing.assert_array_equal(scene.turned(scene.laid(image, orientation), orientation), image)
    others = [scene.laid(image, other) for other in range(1, 9) if other != orientation]
    assert min(difference(scene.laid(image, orientation), other) for other in others) > 0.02
