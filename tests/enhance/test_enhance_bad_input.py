"""The command on bad input: one clear line, nothing half-written, other photographs unharmed."""

import itertools
import pathlib
import shutil

import numpy as np
import pytest
import pyvips
import skimage.data
import tiny

from configs import release
from dped_jax import checkpoint
from dped_jax.base import pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.enhance.worker import plan

NUM_CORRUPTED = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "w", *tiny.random_generator())


def run(model, source, target, *flags):
    return tiny.command(
        "dped_jax.enhance", f"--workdir={model}", f"--input={source}", f"--output={target}", *flags,
        timeout=400,
    )  # fmt: skip


def picture(folder, name="a.png", height=20, width=30):
    writing.write(folder / name, Picture(np.full((height, width, 3), 99, np.uint8)))
    return folder / name


def test_a_folder_of_all_sorts(model, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    photo = Picture(skimage.data.coffee()[:60, :90])
    writing.write(source / "good.jpg", photo)
    encoded = (source / "good.jpg").read_bytes()
    shutil.copy(source / "good.jpg", source / "is_jpeg.png")  # recognised by its content
    picture(source, "one_pixel.png", 1, 1)
    (source / "truncated.jpg").write_bytes(encoded[: len(encoded) // 2])
    (source / "text.jpg").write_text("text")
    (source / "empty.png").write_bytes(b"")
    pyvips.Image.black(20_000, 20_000).write_to_file(str(source / "bomb.png"))
    result = run(model, source, target)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    bad = ["bomb.png", "empty.png", "text.jpg", "truncated.jpg"]
    assert sorted(line.split(":")[1].rsplit("/", 1)[1] for line in errors) == bad
    assert {path.name for path in target.iterdir()} == {"good.jpg", "is_jpeg.png", "one_pixel.png"}
    assert pictures.size(target / "one_pixel.png") == (1, 1)


def test_paths_that_cannot_be_used(tmp_path):
    one = picture(tmp_path)
    (tmp_path / "empty").mkdir()
    for source, target, message in [
        (tmp_path / "nowhere", tmp_path / "b.png", r"--input=.*nowhere: no such file or folder"),
        (tmp_path / "empty", tmp_path / "out", "holds no pictures"),
        (one, tmp_path / "missing" / "b.png", "no folder .*missing"),
        (one, tmp_path / "b.gif", r"cannot write \.gif"),
        (one, one, "is the input"),
        (one, tmp_path, "is the input"),
        (tmp_path, tmp_path, "is the input"),
        (tmp_path, one, "is a file"),
    ]:
        for overwrite in (False, True):
            with pytest.raises(InputError, match=message):
                plan(source, target, overwrite)
    with pytest.raises(OSError, match="/proc"):
        plan(one, pathlib.Path("/proc/b.png"))
    assert not (tmp_path / "out").exists()


def test_a_workdir_without_generator_is_one_line(tmp_path):
    one = picture(tmp_path)
    result = run(tmp_path / "nowhere", one, tmp_path / "b.png")
    tiny.assert_one_line_error(result, "is not a workdir")
    checkpoint.write_config(tmp_path / "w", release.get_config())
    result = run(tmp_path / "w", one, tmp_path / "b.png")
    tiny.assert_one_line_error(result, "holds no checkpoint")


def test_flags_that_cannot_be_used(model, tmp_path):
    one = picture(tmp_path)
    for flag, words in [
        ("--crop=big", "WIDTHxHEIGHT"),
        ("--scratch_dir=/nowhere", "--scratch_dir=/nowhere"),
        ("--input=", "--input"),
    ]:
        result = run(model, one, tmp_path / "b.png", flag)
        tiny.assert_one_line_error(result, words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


@pytest.fixture
def originals(request, tmp_path):
    """Encoded photographs by suffix: real ones where they are, else one that scikit-image ships."""
    try:
        folder = request.getfixturevalue("shared_data") / "dped_iphone" / "iphone"
        encoded = {".jpg": [(folder / f"{n}.jpg").read_bytes() for n in range(5)]}
        photo = pictures.read(folder / "5.jpg")
    except pytest.skip.Exception:
        photo = Picture(skimage.data.coffee()[100:200, 100:200])
        writing.write(tmp_path / "a.jpg", photo)
        encoded = {".jpg": [(tmp_path / "a.jpg").read_bytes()]}
    deep = Picture(np.uint16(photo.pixels) * 257)
    for name, version in [("a.png", photo), ("a.webp", photo), ("a.tif", photo), ("b.png", deep),
                          ("b.tif", deep)]:  # fmt: skip
        writing.write(tmp_path / name, version)
        encoded.setdefault(name[1:], []).append((tmp_path / name).read_bytes())
    return encoded


def corrupted(data, rng, how):
    data = bytearray(data)
    if how == "cut":
        return data[: rng.integers(0, len(data))]
    if how == "zeros":
        start, length = rng.integers(0, len(data)), rng.integers(1, 2000)
        data[start : start + length] = bytes(len(data[start : start + length]))
    elif how == "flips":
        for at in rng.integers(0, len(data), rng.integers(1, 30)):
            data[at] ^= 1 << rng.integers(8)
    elif how == "header":
        for at in rng.integers(0, min(len(data), 60), rng.integers(1, 5)):
            data[at] = rng.integers(256)
    else:
        at = rng.integers(0, len(data))
        data[at:at] = rng.bytes(rng.integers(1, 500))
    return data


def test_two_hundred_corrupted_photographs(model, originals, tmp_path):
    rng = np.random.default_rng(0)
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    kinds = itertools.product(("cut", "zeros", "flips", "header", "insert"), sorted(originals))
    for i, (how, suffix) in zip(range(NUM_CORRUPTED), itertools.cycle(kinds), strict=False):
        data = originals[suffix][rng.integers(len(originals[suffix]))]
        (source / f"{i}_{how}{suffix}").write_bytes(corrupted(data, rng, how))
    result = run(model, source, target, "--max_megapixels=1")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    failed = {line.split(":")[1].rsplit("/", 1)[1] for line in errors}
    written = {path.name for path in target.iterdir()}
    assert len(errors) == len(failed)
    assert not failed & written
    assert failed | written == {path.name for path in source.iterdir()}
    assert 50 < len(failed) < NUM_CORRUPTED
    for path in target.iterdir():
        pictures.read(path)
