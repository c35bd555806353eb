"""What is saved: formats, orientation, and metadata only where it is wanted."""

import enhancer_page
import numpy as np
import pytest
import skimage.data
from PIL import ExifTags, Image

from dped_jax.enhance.photo_enhancer import load_enhancer

DATE, LATITUDE = "2017:10:22 09:41:00", (45.0, 26.0, 13.5)
ROTATED = 6  # EXIF: to be turned by 90 degrees clockwise


def write_rotated(path, pixels: np.ndarray, **options) -> None:
    """A photograph as a phone writes it that is held upright: lying, with date and place."""
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = ROTATED
    exif[ExifTags.Base.Make] = "Maker"
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = DATE
    inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = image.size
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = LATITUDE
    image.save(path, exif=exif, **options)


@pytest.fixture
def pixels() -> np.ndarray:
    return skimage.data.coffee()[100:200, 150:310]


@pytest.fixture(params=["jpg", "png"])
def rotated(request, pixels, tmp_path):
    path = tmp_path / f"phone.{request.param}"
    write_rotated(path, pixels, **({} if request.param == "png" else {"quality": 95}))
    return path


def test_orientation_is_applied_and_metadata_kept_only_where_wanted(
    browser, server, rotated, tmp_path, workdir
):
    with Image.open(rotated) as image:
        upright = np.asarray(image.convert("RGB").transpose(Image.Transpose.ROTATE_270))
    expected = load_enhancer(workdir)(upright)
    with enhancer_page.opened(browser, server) as page:
        enhancer_page.open_photos(page, rotated)
        enhancer_page.wait_until_enhanced(page)
        for kind, name in (
            ("image/jpeg", "phone_enhanced.jpg"),
            ("image/png", "phone_enhanced.png"),
        ):
            page.uncheck("#keep")
            bare = enhancer_page.save(page, tmp_path, kind)
            assert bare.name == name
            with Image.open(bare) as image:
                assert dict(image.getexif()) == {}
                assert "exif" not in image.info
                assert DATE.encode() not in bare.read_bytes()
                found = np.asarray(image.convert("RGB"))
            page.check("#keep")
            full = enhancer_page.save(page, tmp_path, kind)
            with Image.open(full) as image:
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")), found)
                exif = image.getexif()
                inner = exif.get_ifd(ExifTags.IFD.Exif)
                assert image.size == (100, 160)
            assert exif[ExifTags.Base.Orientation] == 1
            assert exif[ExifTags.Base.Make] == "Maker"
            assert inner[ExifTags.Base.DateTimeOriginal] == DATE
            assert inner[ExifTags.Base.ExifImageWidth] == 100
            assert inner[ExifTags.Base.ExifImageHeight] == 160
            assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == LATITUDE
            assert found.shape == expected.shape
            error = np.abs(found.astype(int) - expected)
            if kind == "image/png" and rotated.suffix == ".png":
                assert error.max() <= 1  # rounding
            else:  # JPEG, in or out; pictures that are turned otherwise differ by far more
                assert error.mean() < 0.2 * np.abs(expected[::-1].astype(int) - expected).mean()
