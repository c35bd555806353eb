"""A photograph that cannot be written fails alone; what can be known before is not computed."""

import threading

import numpy as np

from dped_jax.base import writing
from dped_jax.base.pictures import Picture
from dped_jax.enhance.worker import Settings, Worker, enhance_files


def test_a_photograph_that_cannot_be_written_fails_alone(tmp_path, monkeypatch):
    widths = {"broken.webp": 11, "good.webp": 12, "wide.webp": 9000}
    jobs = []
    for name, width in widths.items():
        writing.write(tmp_path / name, Picture(np.full((8, width, 3), 99, np.uint8)))
        jobs.append((tmp_path / name, tmp_path / "out" / name))
    computed = []

    class Unchanged(Worker):
        def __init__(self):
            self._computing, self._settings = threading.Lock(), Settings(1e9, compare=True)

        def _compute(self, pixels, dtype, on_progress):
            computed.append(pixels.shape[1])
            on_progress(1.0, 1e-6)
            return pixels

    encode = writing.ENCODERS["WebP"]

    def failing(kind, planes, *more):
        if planes.shape[1] == 22:
            raise RuntimeError("encoder\nerror")
        return encode(kind, planes, *more)

    monkeypatch.setitem(writing.ENCODERS, "WebP", failing)
    failures, _ = enhance_files(jobs, [Unchanged()])
    assert sorted(computed) == [11, 12]
    broken, wide = sorted(failures)
    assert "broken.webp" in broken
    assert "cannot be written as WebP: encoder error" in broken
    assert "wide.webp: 18000 x 8 pixels are too many for WebP" in wide
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.webp"]
