"""Multiply-adds against the numbers that were published, and sums by hand."""

import pytest
import tiny

from dped_jax.experiments.multiply_adds import macs_per_pixel
from dped_jax.models.generator import make_generator


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # two 9x9 convs between 3 and 64 channels, ten of 3x3 between 64
        ({"num_blocks": 4, "width": 64}, 2 * 81 * 3 * 64 + 10 * 9 * 64 * 64),
        ({"num_blocks": 2, "width": 32}, 2 * 81 * 3 * 32 + 6 * 9 * 32 * 32),
        ({"architecture": "srcnn"}, 81 * 3 * 64 + 25 * 64 * 32 + 25 * 32 * 3),
        # 7·(3·16 + 16·16), 9·(16·32 + 32·16) twice, 32·16 and 9·16·3
        ({"architecture": "ppcn_teacher"}, 7 * 304 + 2 * 9 * 1024 + 512 + 432),
        # 7·(3·8 + 8·8 + 8·16 + 16·8) and 9·8·3
        ({"architecture": "ppcn_student"}, 7 * 344 + 216),
        ({"architecture": "identity"}, 0),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_macs_per_pixel(fields, expected):
    """SPEC's 400K, 71K, 69K, 21.5K and 2.6K are these."""
    config, _ = tiny.random_generator(**fields)
    assert macs_per_pixel(make_generator(config)) == expected
