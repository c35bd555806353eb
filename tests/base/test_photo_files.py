"""Photographs made by other programs, read and written; skipped where these are not installed."""

import io
import json
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import ExifTags, Image, ImageCms

from dped_jax.base import pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture


def imagemagick() -> str | None:
    """The program, if it is ImageMagick's: Windows and test machines have other `convert`s."""
    for folder in [None, "/usr/bin"]:
        for name in ("magick", "convert"):
            program = shutil.which(name, path=folder)
            if program:
                version = subprocess.run(
                    [program, "-version"], capture_output=True, text=True, check=False
                )
                if version.stdout.startswith("Version: ImageMagick"):
                    return program
    return None


@pytest.fixture(scope="session")
def magick():
    program = imagemagick()
    if not program:
        pytest.skip("needs ImageMagick: apt-get install imagemagick")
    return lambda *args: subprocess.run([program, *map(str, args)], check=True, timeout=60)


@pytest.fixture(scope="session")
def exiftool():
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool: apt-get install libimage-exiftool-perl")

    def run(*args):
        argv = ["exiftool", *map(str, args)]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def tags(exiftool, path: pathlib.Path) -> dict[str, object]:
    return json.loads(exiftool("-j", "-G", "-n", path))[0]


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> pathlib.Path:
    """90 x 60, no symmetry."""
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    cv2.imwrite(str(path), cv2.resize(skimage.data.coffee()[..., ::-1], (90, 60)))
    return path


def p3_profile() -> bytes:
    """A Display P3 profile, version 4, made of its published primaries by libvips's own."""
    image = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    converted = image.icc_transform("p3", input_profile="srgb")
    return converted.get("icc-profile-data")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(orientation, picture, magick, exiftool, tmp_path):
    upright = cv2.imread(str(picture))[..., ::-1]
    magick(picture, "-quality", 100, "-sampling-factor", "4:4:4", tmp_path / "in.jpg")
    exiftool(f"-Orientation#={orientation}", "-Model=Phone", tmp_path / "in.jpg")
    magick(tmp_path / "in.jpg", "-auto-orient", tmp_path / "expected.png")
    expected = cv2.imread(str(tmp_path / "expected.png"))[..., ::-1]
    photo = pictures.read(tmp_path / "in.jpg")
    assert photo.pixels.shape == ((90, 60, 3) if orientation > 4 else upright.shape)
    np.testing.assert_allclose(photo.pixels.astype(int), expected, rtol=0, atol=2)
    for name in ("out.jpg", "out.png", "out.webp"):
        writing.write(tmp_path / name, photo)
        written = tags(exiftool, tmp_path / name)
        assert written.get("EXIF:Orientation", 1) == 1
        assert written["EXIF:Model"] == "Phone"
        again = pictures.read(tmp_path / name)
        assert again.pixels.shape == photo.pixels.shape


def test_metadata_is_kept(picture, magick, exiftool, tmp_path):
    magick(picture, "-density", 300, "-units", "PixelsPerInch", tmp_path / "in.jpg")
    set_tags = ["-Make=Maker", "-Copyright=Somebody", "-DateTimeOriginal=2020:01:02 03:04:05"]
    set_tags += ["-ISO=400", "-FNumber=2.8", "-GPSLatitude=45.5", "-GPSLatitudeRef=N"]
    set_tags += ["-XMP:Rating=4", "-IPTC:City=Town"]
    exiftool(*set_tags, tmp_path / "in.jpg")
    before = tags(exiftool, tmp_path / "in.jpg")
    photo = pictures.read(tmp_path / "in.jpg")
    names = ["Make", "Copyright", "DateTimeOriginal", "ISO", "FNumber", "GPSLatitude"]
    for suffix in (".jpg", ".png", ".webp"):
        writing.write(tmp_path / f"out{suffix}", photo)
        after = tags(exiftool, tmp_path / f"out{suffix}")
        for name in names:
            assert after[f"EXIF:{name}"] == pytest.approx(before[f"EXIF:{name}"]), (suffix, name)
        assert after["XMP:Rating"] == 4
    after = tags(exiftool, tmp_path / "out.jpg")
    assert after["IPTC:City"] == "Town"
    assert after["EXIF:XResolution"] == pytest.approx(300, abs=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_wide_gamut_is_converted_and_the_profile_kept(depth, picture, magick, exiftool, tmp_path):
    (tmp_path / "p3.icc").write_bytes(p3_profile())
    magick(
        picture, "-depth", depth, "-resize", "60x40", "-profile", tmp_path / "p3.icc",
        tmp_path / "in.png",
    )  # fmt: skip
    plain = cv2.imread(str(tmp_path / "in.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    photo = pictures.read(tmp_path / "in.png")
    assert photo.pixels.dtype == (np.uint16 if depth == 16 else np.uint8)
    levels = np.iinfo(photo.pixels.dtype).max
    # Pillow's littlecms as the other opinion, on 8 bits.
    eight = Image.fromarray(np.uint8(np.round(plain / levels * 255)))
    source = ImageCms.ImageCmsProfile(io.BytesIO(p3_profile()))
    srgb = ImageCms.createProfile("sRGB")
    expected = np.asarray(ImageCms.profileToProfile(eight, source, srgb, renderingIntent=1))
    difference = np.abs(photo.pixels / levels * 255 - expected)
    # Eight bits of a saturated colour's dark channel are worth several levels of sRGB.
    assert np.percentile(difference, 95) <= 2
    assert difference.max() <= (2 if depth == 8 else 12)
    assert np.abs(photo.pixels / levels * 255 - np.asarray(eight)).max() > 10
    writing.write(tmp_path / "out.png", photo)
    assert tags(exiftool, tmp_path / "out.png")["ICC_Profile:ProfileDescription"].startswith(
        tags(exiftool, tmp_path / "in.png")["ICC_Profile:ProfileDescription"]
    )
    back = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    # Colours that sRGB lacks were clipped; all others come back.
    inside = ((photo.pixels > 0) & (photo.pixels < levels)).all(axis=-1)
    difference = np.abs(back.astype(int) - plain)[inside]
    assert inside.mean() > 0.5
    assert difference.max() <= (2 if depth == 8 else 400)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bits_stay_16_bits(suffix, alpha, picture, magick, tmp_path):
    options = ["-alpha", "set", "-channel", "A", "-evaluate", "set", "40%", "+channel"]
    magick(
        picture, "-depth", 16, "-blur", "0x2", *(options if alpha else []), tmp_path / f"in{suffix}"
    )
    stored = cv2.imread(str(tmp_path / f"in{suffix}"), cv2.IMREAD_UNCHANGED)
    photo = pictures.read(tmp_path / f"in{suffix}")
    assert photo.pixels.dtype == np.uint16
    assert len(np.unique(photo.pixels)) > 1000
    np.testing.assert_array_equal(photo.pixels, stored[..., 2::-1])
    for name in ("out.png", "out.tif", "out.tiff"):
        writing.write(tmp_path / name, photo)
        written = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, stored)
    writing.write(tmp_path / "out.jpg", photo, quality=100)
    eight = cv2.imread(str(tmp_path / "out.jpg"))[..., ::-1]
    np.testing.assert_allclose(eight, photo.pixels / 257, rtol=0, atol=8)


def test_grayscale_palette_and_one_bit(picture, magick, tmp_path):
    magick(picture, "-colorspace", "Gray", tmp_path / "gray.png")
    magick(picture, "-colorspace", "Gray", "-depth", 16, tmp_path / "gray16.png")
    magick(picture, "-colors", 16, f"PNG8:{tmp_path / 'palette.png'}")
    magick(picture, "-monochrome", tmp_path / "bits.png")
    magick(picture, "-colorspace", "Gray", tmp_path / "gray.jpg")
    for name in ("gray.png", "gray16.png", "palette.png", "bits.png", "gray.jpg"):
        expected = cv2.imread(str(tmp_path / name), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        photo = pictures.read(tmp_path / name)
        np.testing.assert_array_equal(photo.pixels, expected[..., ::-1], err_msg=name)
        writing.write(tmp_path / "out.png", photo)


def test_progressive_jpeg_equals_baseline(picture, magick, tmp_path):
    magick(picture, "-quality", 90, tmp_path / "baseline.jpg")
    magick(picture, "-quality", 90, "-interlace", "Plane", tmp_path / "progressive.jpg")
    pixels = [pictures.read(tmp_path / f"{n}.jpg").pixels for n in ("baseline", "progressive")]
    np.testing.assert_array_equal(*pixels)
    np.testing.assert_array_equal(pixels[0], cv2.imread(str(tmp_path / "baseline.jpg"))[..., ::-1])


def test_cmyk_is_converted_with_a_profile_and_refused_without(picture, magick, tmp_path):
    magick(picture, "-colorspace", "CMYK", tmp_path / "plain.jpg")
    with pytest.raises(InputError, match="CMYK without a colour profile"):
        pictures.read(tmp_path / "plain.jpg")
    image = pyvips.Image.new_from_file(str(picture))
    cmyk = image.icc_transform("cmyk", input_profile="srgb")
    cmyk.write_to_file(str(tmp_path / "profile.jpg"), Q=95)
    photo = pictures.read(tmp_path / "profile.jpg")
    difference = np.abs(photo.pixels.astype(int) - image.numpy())
    assert np.median(difference) < 12  # print has fewer colours
    writing.write(tmp_path / "out.jpg", photo)
    written = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
    assert written.bands == 3
    assert "icc-profile-data" not in written.get_fields()


def test_alpha_is_passed_through(tmp_path):
    rng = np.random.default_rng(0)
    photo = Picture(
        rng.integers(0, 256, (20, 30, 3), np.uint8), rng.integers(0, 256, (20, 30), "u1")
    )
    for name in ("a.png", "a.tif"):
        writing.write(tmp_path / name, photo)
        again = pictures.read(tmp_path / name)
        np.testing.assert_array_equal(again.pixels, photo.pixels)
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    writing.write(tmp_path / "a.jpg", photo)
    assert pictures.read(tmp_path / "a.jpg").alpha is None


def test_heic_is_read_and_written_where_its_library_is(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif", reason="optional: pip install pillow-heif")
    picture = cv2.resize(skimage.data.coffee(), (128, 96))
    writing.write(tmp_path / "a.heic", Picture(picture), quality=95)
    photo = pictures.read(tmp_path / "a.heic")
    assert np.abs(photo.pixels.astype(int) - picture).mean() < 4
    assert pictures.size(tmp_path / "a.heic") == (96, 128)

    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Model] = 6, "Phone"
    Image.fromarray(picture).save(tmp_path / "b.jpg", exif=exif, quality=95)
    upright = pictures.read(tmp_path / "b.jpg")
    for name in ("b.heic", "c.heic", "c.jpg"):
        writing.write(tmp_path / name, upright)
        upright = pictures.read(tmp_path / name)
        assert np.abs(upright.pixels.astype(int) - np.rot90(picture, -1)).mean() < 8, name
    with Image.open(tmp_path / "c.jpg") as written:
        assert written.getexif()[ExifTags.Base.Model] == "Phone"


def test_heic_without_its_library_is_one_clear_line(tmp_path, monkeypatch):
    writing.write(tmp_path / "a.heic", Picture(np.zeros((64, 64, 3), np.uint8)))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match="pip install pillow-heif"):
        pictures.read(tmp_path / "a.heic")
    with pytest.raises(InputError, match="pip install pillow-heif"):
        writing.write(tmp_path / "b.heic", Picture(np.zeros((8, 8, 3), np.uint8)))
    assert not (tmp_path / "b.heic").exists()


def test_damaged_colour_profile_counts_as_srgb(picture, tmp_path):
    image = pyvips.Image.new_from_file(str(picture)).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", b"not a profile" * 20)
    image.write_to_file(str(tmp_path / "a.jpg"))
    photo = pictures.read(tmp_path / "a.jpg")
    writing.write(tmp_path / "b.jpg", photo)
    np.testing.assert_array_equal(photo.pixels, cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1])


def test_what_is_no_photograph_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    pyvips.Image.black(20, 20).cast("float").write_to_file(str(tmp_path / "d.tif"))
    for name in ("a.jpg", "b.png", "c.png", "d.tif"):
        with pytest.raises(InputError, match=name):
            pictures.read(tmp_path / name)
    with pytest.raises(InputError, match=r"cannot write \.gif"):
        writing.write(tmp_path / "c.gif", Picture(np.zeros((8, 8, 3), np.uint8)))


def test_large_photographs_are_refused_before_they_are_decoded(tmp_path):
    pyvips.Image.black(30_000, 20_000, bands=3).write_to_file(str(tmp_path / "bomb.png"))
    with pytest.raises(InputError, match=r"30000 x 20000 pixels, more than 200 megapixels"):
        pictures.read(tmp_path / "bomb.png")
    assert pictures.size(tmp_path / "bomb.png") == (20_000, 30_000)


def test_names_with_brackets_are_names(picture, tmp_path):
    path = tmp_path / "a[page=1].png"
    shutil.copy(picture, path)
    writing.write(tmp_path / "b[Q=1].png", pictures.read(path))
    assert (tmp_path / "b[Q=1].png").exists()
