"""Whole photographs: the released generator's ground truth; the command on files and folders."""

import pathlib
import subprocess
import sys
import threading

import cv2
import jax
import numpy as np
import pytest
import tiny

from dped_jax.base import pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.convert import generators
from dped_jax.enhance.activations import Storage
from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.enhance.worker import Settings, Worker, crop_photo, enhance_files, parse_crop, plan
from dped_jax.export import onnx_files, run_stages
from dped_jax.models.generator import make_generator
from dped_jax.pixels import to_float, to_integers


@pytest.fixture(scope="module")
def released_model(shared_data):
    pytest.importorskip("tensorflow", reason="reads TensorFlow checkpoints")
    prefix = str(shared_data / "released_models" / "iphone_orig")
    config, params = generators.convert_generator(generators.read_tensorflow_checkpoint(prefix))
    return config, {"params": params}


@pytest.fixture(scope="module")
def released(released_model):
    return PhotoEnhancer(*released_model)


# Values of the golden photographs, float32 themselves, that float64 rounds otherwise.
GOLDEN_ERRORS = {"iphone_1280x720_0": 0.00185, "iphone_2048x1536_2": 0.0085}


@pytest.mark.parametrize("name", GOLDEN_ERRORS)
def test_golden_photographs_are_reproduced(released, released_model, shared_data, tmp_path, name):
    photo = pictures.read(shared_data / "photos" / f"{name}.png").pixels
    golden = pictures.read(shared_data / "golden" / f"{name}_iphone_orig.png").pixels
    found = released(photo)
    exact = to_integers(found)
    compared = [(exact, 1e-4)]
    if photo.size < 3e6:
        compared += [(to_integers(released(photo, Storage(half=True))), 6e-3)]
    for enhanced, share in compared:
        difference = np.abs(enhanced.astype(int) - golden)
        assert difference.max() <= 1
        assert (difference > 0).mean() < GOLDEN_ERRORS[name] + share
    if photo.size < 3e6:
        difference = np.abs(exact.astype(int) - to_integers(released.whole(photo)))
        assert (difference.max(), (difference > 0).mean()) <= (1, 1e-4)
    else:
        stages = in_stages(*released_model, photo, tmp_path)
        np.testing.assert_allclose(stages, found, rtol=0, atol=1e-5)


def in_stages(config, variables, photo, folder) -> np.ndarray:
    """The photograph by exported stages in onnxruntime, window by window."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (requirements-dev.txt)")
    network = make_generator(config)
    told = {"stride": network.stride, "pixels": "float32"}
    for name, content in onnx_files.stages(network, variables, "float32", False, told).items():
        (folder / name).write_bytes(content)
    return run_stages.run(folder, np.asarray(to_float(photo)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A workdir of a narrow network."""
    return tiny.write_model(tmp_path_factory.mktemp("model") / "w", *tiny.random_generator())


def random_pixels(height, width, dtype=np.uint8):
    rng = np.random.default_rng([height, width])
    return rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype)


def run(model, source, target, *flags):
    return tiny.command(
        "dped_jax.enhance", f"--workdir={model}", f"--input={source}", f"--output={target}", *flags
    )


def test_a_folder_keeps_sub_folders_and_names_and_goes_on_past_bad_files(model, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    names = ["a.jpg", "b.png", "deep/c.TIF", "deep/er/a.jpg", "d.webp", "e f.png"]
    for i, name in enumerate(names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        writing.write(source / name, Picture(random_pixels(20 + i, 30)))
    (source / "bad.jpg").write_bytes((source / "a.jpg").read_bytes()[:300])
    (source / "notes.txt").write_text("")
    (source / "._a.jpg").write_text("not a photo but what an archive made")
    result = run(model, source, target)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert "bad.jpg" in errors[0]
    size = sum((20 + i) * 30 for i in range(len(names))) / 1e6
    (told,) = result.stdout.splitlines()
    assert told.startswith(f"photographs enhanced: 6 of 7, {size:.2f} MP in ")
    assert told.endswith(f" MP/s (in {target})")
    assert "\r" not in result.stderr
    written = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert written == set(names)
    enhancer = PhotoEnhancer(*tiny.random_generator())
    for name in ("b.png", "deep/c.TIF"):
        before, after = (pictures.read(folder / name).pixels for folder in (source, target))
        np.testing.assert_array_equal(after, to_integers(enhancer(before)))

    again = run(model, source, target)
    tiny.assert_one_line_error(again, "exists already", "--overwrite")
    (source / "bad.jpg").unlink()
    (target / "b.png").write_bytes(b"old")
    assert run(model, source, target, "--overwrite", "--half", "--disk").returncode == 0
    assert pictures.size(target / "b.png") == (21, 30)


def test_an_interrupted_folder_goes_on(model, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "deep/b.png", "c.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        writing.write(source / name, Picture(random_pixels(20, 30)))
    (target / "deep").mkdir(parents=True)
    (target / "deep/b.png").write_bytes(b"done before")
    (target / "c.jpg.partial").write_bytes(b"cut off")  # what a kill leaves
    result = run(model, source, target, "--skip_existing")
    assert result.returncode == 0, result.stderr
    skipped, enhanced = result.stdout.splitlines()
    assert skipped == f"photographs skipped: 1 of 3, enhanced already (in {target})"
    assert enhanced.startswith("photographs enhanced: 2, ")
    assert (target / "deep/b.png").read_bytes() == b"done before"
    written = sorted(path.name for path in target.rglob("*") if path.is_file())
    assert written == ["a.png", "b.png", "c.jpg"]
    again = run(model, source, target, "--skip_existing")
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"photographs skipped: 3 of 3, enhanced already (in {target})\n"
    both = run(model, source, target, "--skip_existing", "--overwrite")
    tiny.assert_one_line_error(both, "--skip_existing", "--overwrite")


def test_what_is_cropped_is_what_is_counted_and_files_are_opened_once(tmp_path, monkeypatch):
    opened = []
    read_bytes = pathlib.Path.read_bytes

    def count(path):
        opened.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", count)
    writing.write(tmp_path / "a.png", Picture(random_pixels(50, 40)))
    settings = Settings(memory=4e9, crop=parse_crop("20x10"))
    worker = Worker(*tiny.random_generator(), jax.devices()[0], settings)
    failures, megapixels = enhance_files([(tmp_path / "a.png", tmp_path / "b.png")], [worker])
    assert failures == []
    assert megapixels == pytest.approx(20 * 10 / 1e6)
    assert opened == ["a.png"]


def test_compare_crop_and_depth(model, tmp_path):
    deep = random_pixels(50, 40, np.uint16)
    writing.write(tmp_path / "a.png", Picture(deep, deep[..., 0]))
    result = run(model, tmp_path / "a.png", tmp_path / "b.png", "--compare", "--crop=20x10+3+5")
    assert result.returncode == 0, result.stderr
    both = pictures.read(tmp_path / "b.png")
    assert both.pixels.shape == (10, 40, 3)
    np.testing.assert_array_equal(both.pixels[:, :20], deep[5:15, 3:23])
    np.testing.assert_array_equal(both.alpha[:, 20:], deep[5:15, 3:23, 0])
    enhanced = PhotoEnhancer(*tiny.random_generator())(deep[5:15, 3:23])
    expected = to_integers(enhanced, np.uint16)
    np.testing.assert_allclose(both.pixels[:, 20:].astype(int), expected, rtol=0, atol=1)
    whole = run(model, tmp_path / "a.png", tmp_path / "w.jpg", "--whole", "--quality=100")
    assert whole.returncode == 0, whole.stderr
    assert cv2.imread(str(tmp_path / "w.jpg")).shape == (50, 40, 3)


def test_crop_cuts_the_middle_or_what_is_named():
    photo = Picture(random_pixels(30, 40))
    for geometry, expected in [
        ("20x10", photo.pixels[10:20, 10:30]),
        ("99x99", photo.pixels),
        ("20x10+1+2", photo.pixels[2:12, 1:21]),
    ]:
        cut = crop_photo(photo, parse_crop(geometry))
        np.testing.assert_array_equal(cut.pixels, expected)
    for geometry, message in (("20", "write WIDTH"), ("9x9+40+0", "outside"), ("0x5", "WIDTH")):
        with pytest.raises(InputError, match=message):
            crop_photo(photo, parse_crop(geometry))


def test_files_go_to_files_and_folders_to_folders(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.png"):
        writing.write(tmp_path / "in" / name, Picture(random_pixels(8, 8)))
    one = tmp_path / "in" / "a.jpg"
    assert plan(one, tmp_path / "c.png") == [(one, tmp_path / "c.png")]
    (tmp_path / "out").mkdir()
    assert plan(one, tmp_path / "out") == [(one, tmp_path / "out" / "a.jpg")]
    jobs = plan(tmp_path / "in", tmp_path / "new" / "out")
    assert [target for _, target in jobs] == [
        tmp_path / "new/out/a.jpg",
        tmp_path / "new/out/b.png",
    ]
    # What an earlier run has put below the input is not enhanced once more.
    inner = tmp_path / "in" / "enhanced"
    for _ in range(2):
        jobs = plan(tmp_path / "in", inner, overwrite=True)
        assert [target.name for _, target in jobs] == ["a.jpg", "b.png"]
        for _, target in jobs:
            writing.write(target, Picture(random_pixels(8, 8)))


MEASURE = """
import re, sys
sys.path[:0] = ["tests", "."]
import numpy as np, tiny
from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.enhance.activations import Storage
def peak():  # getrusage's begins at the peak of the process that started this one
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
enhancer = PhotoEnhancer(*tiny.random_generator(width=32))
storage = Storage(sys.argv[1], half=sys.argv[2] == "half")
enhancer(np.zeros((300, 600, 3), np.uint8), storage)
small = peak()
enhancer(np.zeros((1500, 2000, 3), np.uint8), storage)
print((peak() - small) / (3e6 - 0.18e6))
"""


@pytest.mark.parametrize(
    ("place", "precision", "planes"),
    [("memory", "half", 128), ("disk", "float32", 0)],
)
def test_memory_a_pixel(place, precision, planes):
    """Bytes a pixel of a network of 32 channels: two planes, and some for photo and output.

    Photo and output are 15; allocators hold some 100 MB more or less in either photograph, which is
    35 a pixel here. Planes that are kept in memory after all would be 256.
    """
    argv = [sys.executable, "-c", MEASURE, place, precision]
    result = subprocess.run(argv, cwd=tiny.ROOT, capture_output=True, text=True, check=True)
    assert float(result.stdout) < planes * 1.7 + 80


def test_devices_share_the_photographs_of_a_folder(tmp_path):
    barrier = threading.Barrier(3, timeout=60)

    def worker_of(device):
        def worker(job, on_progress):
            barrier.wait()  # passes once all three are at work
            used.append(device)
            on_progress(1.0, 2.0)

        return worker

    used, jobs = [], []
    for i in range(6):
        writing.write(tmp_path / f"{i}.png", Picture(random_pixels(8, 8)))
        jobs.append((tmp_path / f"{i}.png", tmp_path / f"{i}.jpg"))
    assert enhance_files(jobs, [worker_of(device) for device in "abc"]) == ([], 12.0)
    assert set(used) == set("abc")
