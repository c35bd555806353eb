"""Photos that are turned against each other: found, undone, and recorded."""

import cv2
import numpy as np
import pytest
from generated_patches import files_below
from photo_folders import manifest, prepare_here, simulated_pair, write_folders, write_photo
from PIL import Image

from data_builders.dped.prepare import alignment, patches, photo_pairs, records
from data_builders.dped.simulate import viewpoints

ORIENTATIONS = {90: 6, 180: 3, 270: 8}  # EXIF: by how much a viewer turns the pixels clockwise


def turned(photo: np.ndarray, degrees: int) -> np.ndarray:
    """Turns counter-clockwise: turning by `degrees` clockwise undoes it."""
    return np.ascontiguousarray(np.rot90(photo, degrees // 90))


@pytest.mark.parametrize(("scene", "degrees"), [(0, 90), (8, 270)])
def test_a_turned_phone_photo_gives_the_same_pair(city100, aligned_city100, scene, degrees):
    phone, dslr = city100[scene]
    expected = aligned_city100[scene]
    found = alignment.align_pair(turned(phone, degrees), dslr)
    assert (expected.turned, found.turned) == (0, degrees)
    np.testing.assert_array_equal(found.phone, expected.phone)
    np.testing.assert_array_equal(found.dslr, expected.dslr)
    # The homography is of the photo as it came: the pixel turned along is the same place.
    place = np.zeros(phone.shape[:2], np.uint8)
    place[100, 300] = 1
    y, x = np.argwhere(turned(place, degrees))[0]
    points = np.array([[300.0, 100.0], [x, y]])
    ends = [
        viewpoints.project(matrix, point)
        for matrix, point in zip((expected.homography, found.homography), points, strict=True)
    ]
    np.testing.assert_allclose(*ends, atol=1e-6)


def test_a_turned_dslr_photo_stays_as_it_is():
    phone, dslr = simulated_pair(0)
    found = alignment.align_pair(phone, turned(dslr, 90))
    assert found.turned == 270
    assert patches.correlation(found.phone, found.dslr) > 0.9


@pytest.mark.parametrize("angle", [35.0, 130.0])
def test_angles_between_quarters_are_aligned(angle):
    phone, dslr = simulated_pair(0)
    height, width = phone.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    found = alignment.align_pair(cv2.warpAffine(phone, turn, (width, height)), dslr)
    assert found.turned == round(angle / 90) * 90
    assert patches.correlation(found.phone, found.dslr) > 0.9


def test_a_real_photo_that_is_upside_down(shared_data):
    phone, dslr = (
        cv2.imread(str(shared_data / f"city100_more/{camera}/065.png"), cv2.IMREAD_COLOR_RGB)
        for camera in ("phone", "dslr")
    )
    found = alignment.align_pair(phone, dslr)
    assert found.turned == 180
    pairs = patches.extract_patches(found.phone, found.dslr, refine=False)
    assert np.mean([pair.correlation > 0.9 for pair in pairs]) > 0.5


def write_tagged(file, photo: np.ndarray, degrees: int) -> None:
    """Writes pixels as they are, with an EXIF tag by which a viewer turns them."""
    image = Image.fromarray(photo)
    exif = image.getexif()
    exif[0x0112] = ORIENTATIONS[degrees]
    image.save(file, exif=exif)


def test_turned_pixels_and_wrong_exif_tags_give_the_same_patches(tmp_path):
    """One photo right, one turned by pixels, three by a tag: same patches, and a column of it."""
    tmp_path = tmp_path / "photos"
    write_folders(tmp_path, dict.fromkeys(("ok", "p180", "t90", "t180", "t270"), 0))
    phone = simulated_pair(0)[0]
    write_photo(tmp_path / "phone/p180.png", turned(phone, 180))
    for degrees in ORIENTATIONS:
        write_tagged(tmp_path / f"phone/t{degrees}.png", phone, degrees)
    expected = None
    for name, wanted in {"ok": 0, "p180": 180, "t90": 270, "t180": 180, "t270": 90}.items():
        folders = [f"{tmp_path}/{camera}/{name}.png" for camera in ("phone", "dslr")]
        pair = photo_pairs.PhotoPair(name, *folders)
        photo_pairs.process_pair(pair, photo_pairs.Settings(), str(tmp_path))
        record = records.read(f"{tmp_path}/{name}")
        assert (record["problem"], record["turned"]) == (None, wanted)
        found = files_below(tmp_path / f"{name}.patches")
        expected = expected or found
        assert found == expected


def test_the_manifest_says_by_how_much(tmp_path):
    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    write_photo(tmp_path / "phone/s1.png", turned(simulated_pair(1)[0], 90))
    prepare_here(tmp_path, tmp_path / "out")
    turns = {row["photo"]: row["turned"] for row in manifest(tmp_path / "out")}
    assert turns == {"s0": "0", "s1": "90", "s2": "0"}
