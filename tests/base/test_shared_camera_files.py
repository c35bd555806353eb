"""The real camera files of ../shared, by their own `check.py`; skipped where they are not."""

import pytest
from camera_files import checking
from camera_files.limits import MAY_REFUSE_SHARED

LARGE = ("hif_sony_orientation1.hif", "hif_sony_orientation3.hif", "avif_pq_p3.avif")
FUNCTIONS = {
    "enhance": "camera_files.reading:enhance:pixels",
    "prepare": "camera_files.reading:prepare",
    "evaluate": "camera_files.reading:evaluate",
    "build": "camera_files.reading:build",
}


@pytest.fixture(scope="module")
def names(shared_data):
    if not (shared_data / "camera_files/check.py").is_file():
        pytest.skip("needs ../shared/data/camera_files")
    return list(checking.expected())


@pytest.mark.parametrize("way", FUNCTIONS)
def test_right_or_refused_with_the_limit(way, names):
    """The largest, of 20 to 33 megapixels, are read in one way only."""
    some = [name for name in names if way == "enhance" or name not in LARGE]
    assert checking.verdicts(FUNCTIONS[way], some, MAY_REFUSE_SHARED[way]) == {}


def test_right_where_freed_memory_is_overwritten(names):
    some = [name for name in names if name not in LARGE]
    function, may_refuse = FUNCTIONS["enhance"], MAY_REFUSE_SHARED["enhance"]
    assert checking.verdicts(function, some, may_refuse, MALLOC_PERTURB_="165") == {}
