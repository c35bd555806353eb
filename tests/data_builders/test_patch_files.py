"""Reading and checking patch files."""

import io
import itertools

import cv2
import numpy as np
import pytest
from generated_patches import encode_patch
from PIL import Image

from data_builders.dped import patch_files, patch_pairs


def _photo() -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encode_patch(0), np.uint8), cv2.IMREAD_COLOR)


def _progressive() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_photo()).save(buffer, "JPEG", progressive=True, quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [encode_patch(1), encode_patch(1, suffix=".png"), _progressive()])
def test_every_truncation_is_found(data):
    assert patch_files.patch_problem(data) is None
    assert patch_files.patch_problem(data + b"\0" * 10) is None
    lengths = [int(len(data) * share) for share in np.linspace(0.02, 0.99, 40)]
    for length in lengths:
        assert patch_files.patch_problem(data[:length]) == "damaged or cut short", length
    # Of a JPEG nothing but the end marker is missing.
    lacks_end = "damaged or cut short" if data.startswith(b"\x89PNG") else None
    assert patch_files.patch_problem(data[:-2]) == lacks_end
    assert patch_files.patch_problem(data[:-40] + bytes(40)) == "damaged or cut short"


def test_a_png_with_one_bad_byte_is_found():
    data = bytearray(encode_patch(1, suffix=".png"))
    data[len(data) // 2] ^= 1
    assert patch_files.patch_problem(bytes(data)) == "damaged or cut short"


def _encoded(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not a picture that can be read"),
        (_encoded(".bmp", _photo()), "not a JPEG or PNG image"),
        (_encoded(".png", np.uint16(_photo()) * 257), "16-bit image, not 8-bit"),
        (_encoded(".jpg", _photo()[..., 0]), "grayscale image, not RGB"),
        (_encoded(".png", _photo()[..., 0]), "grayscale image, not RGB"),
        (_encoded(".png", np.dstack([_photo(), _photo()[..., 0]])), "image with an alpha channel"),
        (_encoded(".jpg", _photo()[:90]), "100x90 pixels, not 100x100"),
    ],
)
def test_what_is_wrong_is_said(data, problem):
    assert (patch_files.patch_problem(data) or "").startswith(problem)


def test_reading_keeps_the_order_and_stays_few_pairs_ahead(tmp_path, make_folder, monkeypatch):
    phone, dslr = (
        make_folder(tmp_path / "phone", range(4)),
        make_folder(tmp_path / "dslr", range(4)),
    )
    pairs = list(patch_pairs.find_pairs(phone, dslr)) * 250
    read = []
    check = patch_files._check_chunk
    monkeypatch.setattr(
        patch_files, "_check_chunk", lambda chunk: read.extend(chunk) or check(chunk)
    )
    stream = patch_files.read_checked(pairs)
    head = list(itertools.islice(stream, 10))
    assert len(read) <= 300
    checked = head + list(stream)
    assert [item.pair for item in checked] == pairs
    assert all(item.phone == item.pair.phone.read_bytes() for item in checked)
