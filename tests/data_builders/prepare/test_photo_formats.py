"""Photos as cameras give them: HEIC, camera raw, wide gamuts; written by other programs."""

import io
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import pyvips
from camera_raw import XYZ_TO_RGB, write_dng
from photo_folders import manifest, prepare_here, simulated_pair, write_folders
from PIL import Image, ImageCms
from tiny import assert_one_line_error

from data_builders.dped.prepare.photo_pairs import PhotoError, decode_photo


@pytest.fixture(scope="module")
def photo(shared_data) -> np.ndarray:
    """A real photo, (H, W, 3) uint8."""
    file = min((shared_data / "city100/phone").iterdir())
    return cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(np.float64(a) - b).mean())


def test_heic_of_another_program(photo, tmp_path):
    pytest.importorskip("pillow_heif", reason="needs pillow-heif (requirements-dev.txt)")
    if not shutil.which("convert"):
        pytest.skip("needs ImageMagick's convert")
    cv2.imwrite(str(tmp_path / "a.png"), photo[..., ::-1])
    command = ["convert", "a.png", "-quality", "95", "a.heic"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this ImageMagick writes no HEIC")
    decoded = decode_photo((tmp_path / "a.heic").read_bytes(), "phone")
    assert difference(decoded, photo) < 3


def test_heic_and_raw_give_patches(tmp_path):
    """Four pairs, of which two phone photos are HEIC and one DSLR photo is raw."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif")
    pytest.importorskip("rawpy", reason="needs rawpy (requirements-dev.txt)")
    write_folders(tmp_path, {f"s{i}": i for i in range(4)})
    for i in (0, 1):
        (tmp_path / f"phone/s{i}.png").unlink()
        heif = pillow_heif.from_pillow(Image.fromarray(simulated_pair(i)[0]))
        heif.save(tmp_path / f"phone/s{i}.HEIC", quality=95)
    (tmp_path / "dslr/s2.png").unlink()
    write_dng(tmp_path / "dslr/s2.dng", simulated_pair(2)[1])
    result = prepare_here(tmp_path, tmp_path / "out")
    rows = manifest(tmp_path / "out")
    assert (result.pairs, {row["status"] for row in rows}) == (4, {"kept"})
    assert {row["photo"] for row in rows} == {"s0", "s1", "s2", "s3"}
    settings = (tmp_path / "out/custom/raw_development.txt").read_text()
    assert "use_camera_wb=True, no_auto_bright=True" in settings
    assert "1 pair(s) with raw photos: rawpy" in settings


def display_p3() -> bytes:
    """A profile that libvips makes of the published primaries."""
    image = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    return image.icc_transform("p3", input_profile="srgb").get("icc-profile-data")


def test_wide_gamuts_are_converted():
    """Against the definition of Display P3: SMPTE EG 432-1's primaries, the curve of sRGB."""
    p3_to_xyz = np.array([
        [0.4865709, 0.2656677, 0.1982173],
        [0.2289746, 0.6917385, 0.0792869],
        [0.0, 0.0451134, 1.0439444],
    ])  # fmt: skip
    small = np.random.default_rng(0).integers(0, 256, (120, 120, 3))
    linear = np.where(small <= 10, small / 255 / 12.92, ((small / 255 + 0.055) / 1.055) ** 2.4)
    in_p3 = linear @ np.linalg.inv(XYZ_TO_RGB).T @ np.linalg.inv(p3_to_xyz).T
    encoded = np.where(
        in_p3 <= 0.0031308, 12.92 * in_p3, 1.055 * np.maximum(in_p3, 0) ** (1 / 2.4) - 0.055
    )
    image = Image.fromarray(np.uint8(np.round(255 * np.clip(encoded, 0, 1))))
    file = io.BytesIO()
    image.save(file, "png", icc_profile=display_p3())
    decoded = decode_photo(file.getvalue(), "phone")
    assert difference(np.asarray(image), small) > 5
    assert difference(decoded, small) < 1
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", None):
        file = io.BytesIO()
        image.save(file, "png", icc_profile=profile)
        np.testing.assert_array_equal(decode_photo(file.getvalue(), "phone"), np.asarray(image))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"no photo", "DSLR photo: not a picture that can be read"),
        (b"FUJIFILMCCD-RAW", r"DSLR photo: raw file that LibRaw cannot read \(.*\); develop it"),
        (b"\0\0\0\x18ftypheic", "DSLR photo: HEIF without a still picture"),
        (b"II*\0", "DSLR photo: damaged or cut short"),
        (b"", "DSLR photo: empty file"),
    ],
)
def test_files_that_libraries_cannot_read(start, words):
    with pytest.raises(PhotoError, match=words):
        decode_photo(start + bytes(500 if start else 0), "dslr")


def test_raw_and_jpeg_of_one_name(tmp_path, run_command):
    """The camera's own JPEG is taken, or with the flag its raw file; which is said in one line."""
    pytest.importorskip("rawpy", reason="needs rawpy (requirements-dev.txt)")
    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    write_dng(tmp_path / "dslr/s1.dng", simulated_pair(1)[1])
    flags = [f"--phone_dir={tmp_path}/phone", f"--dslr_dir={tmp_path}/dslr", "--processes=1"]
    libraries = {}
    for taken, flag in (("jpeg", []), ("raw", ["--raw_and_jpeg=raw"])):
        output = tmp_path / taken
        done = run_command("prepare", *flags, *flag, f"--output_dir={output}")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("1 with camera raw and JPEG") == 1
        libraries[taken] = {row["photo"]: row["libraries"] for row in manifest(output)}
        assert libraries[taken].keys() == {"s0", "s1", "s2"}
    assert re.fullmatch(r"OpenCV \S+, libvips \S+", libraries["jpeg"]["s1"])
    assert re.fullmatch(r"OpenCV .*, rawpy \S+, LibRaw \S+", libraries["raw"]["s1"])
    assert libraries["raw"]["s0"] == libraries["jpeg"]["s0"]


@pytest.mark.parametrize(
    ("suffix", "module", "words"),
    [
        (
            ".heic",
            "pillow_heif",
            "phone/a.heic: HEIC needs another library: pip install pillow-heif",
        ),
        (".CR2", "rawpy", "phone/a.CR2: camera raw needs another library: pip install rawpy"),
    ],
)
def test_a_missing_library_is_one_line_before_anything_is_written(tmp_path, suffix, module, words):
    write_folders(tmp_path, {"a": 0, "b": 1, "c": 2})
    (tmp_path / "phone/a.png").rename(tmp_path / f"phone/a{suffix}")
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'prepare'; import runpy;"
        " runpy.run_module('data_builders.dped.prepare', run_name='__main__')"
    )
    flags = [f"--phone_dir={tmp_path}/phone", f"--dslr_dir={tmp_path}/dslr"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags, f"--output_dir={tmp_path}/out"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert_one_line_error(done, words)
    assert not (tmp_path / "out").exists()
