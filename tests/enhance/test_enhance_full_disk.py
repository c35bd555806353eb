"""A folder of photographs whose results find no room."""

import re
import sys

import numpy as np
import small_disk
import tiny

from dped_jax.base import pictures, writing
from dped_jax.base.pictures import Picture


def test_enhance_on_a_full_disk_keeps_what_is_finished(tmp_path):
    model = tiny.write_model(tmp_path / "model", *tiny.random_generator())
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    for name in ("a", "b", "c"):  # noise: each result takes above 200 kB
        writing.write(tmp_path / f"in/{name}.png", Picture(noise))
    flags = [f"--workdir={model}", f"--input={tmp_path}/in", f"--output={tmp_path}/disk/out"]
    command = [sys.executable, "-m", "dped_jax.enhance", *flags]
    result = small_disk.run_on_small_disk("600k", tmp_path, *command)
    tiny.assert_one_line_error(result, "No space left on device")
    (failed,) = re.findall(r"/disk/out/(.\.png)'$", result.stderr.strip())
    files = list((tmp_path / "kept/out").iterdir())
    assert {file.name for file in files} == {"a.png", "b.png", "c.png"} - {failed}
    assert {pictures.size(file) for file in files} == {(300, 400)}
