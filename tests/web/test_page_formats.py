"""What the page reads as it is meant, and what it refuses in a line, by what is in the files."""

import base64
import json
import re
import shutil

import enhancer_page
import numpy as np
import onnx
import page_photos
import pytest
from onnx import TensorProto, helper
from PIL import ExifTags, Image

NOISE = """
let calls = 0;
const contexts = OffscreenCanvasRenderingContext2D.prototype, exact = contexts.getImageData;
contexts.getImageData = function (...args) {
    const image = exact.apply(this, args);
    image.data[0] ^= calls++ & 1;
    return image;
};
"""
PIXELS_SHOWN = """async () => {
    const image = document.getElementById('before');
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return btoa(String.fromCharCode(...data));
}"""


def write_identity(path) -> None:
    """A model, as if it were exported, that changes nothing."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, "height", "width", 3])
        for name in ("photo", "enhanced")
    ]
    node = helper.make_node("Identity", ["photo"], ["enhanced"])
    graph = helper.make_graph([node], "identity", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    fields = {"format": "dped_jax", "architecture": "none", "margin": "0", "stride": "1"}
    helper.set_model_props(model, fields | {"statistics": "0", "pixels": "uint8"})
    onnx.save(model, path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page with a network that changes nothing."""
    folder = tmp_path_factory.mktemp("unchanging")
    write_identity(folder / "identity.onnx")
    result = enhancer_page.build(folder / "identity.onnx", folder / "page")
    assert result.returncode == 0, result.stderr
    return folder / "page"


@pytest.fixture(scope="module")
def unchanging(browser, built):
    """That page, opened."""
    with (
        enhancer_page.served(built) as server,
        enhancer_page.opened(browser, server) as page,
    ):
        page.select_option("#format", "image/png", force=True)
        yield page


def outcome(page, path) -> str:
    """Opens a file instead of the last; returns why it is refused, or "" where it is enhanced."""
    while page.locator("#list li").count():
        page.evaluate("document.getElementById('dismiss').click()")
    enhancer_page.open_photos(page, path)
    page.locator("#list small:not(.pending)").wait_for(timeout=enhancer_page.SECONDS)
    if page.locator("#trouble").is_hidden():
        enhancer_page.wait_until_enhanced(page)
        return ""
    return page.inner_text("#trouble-text")


def saved_pixels(page, folder) -> np.ndarray:
    with Image.open(enhancer_page.save(page, folder)) as image:
        return np.asarray(image)


def shown_before(page, shape) -> np.ndarray:
    rgba = base64.b64decode(page.evaluate(PIXELS_SHOWN))
    return np.frombuffer(rgba, np.uint8).reshape(*shape[:2], 4)[..., :3]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    return page_photos.decoded(page_photos.encoded(pixels, subsampling=2))


def test_what_is_read_is_upright_and_in_srgb(unchanging, tmp_path):
    for name, (data, expected, limit, note) in page_photos.readable().items():
        (tmp_path / name).write_bytes(data)
        assert outcome(unchanging, tmp_path / name) == "", name
        shown = shown_before(unchanging, expected.shape)
        pixels, alpha = np.split(saved_pixels(unchanging, tmp_path), [3], axis=-1)
        assert alpha.min() == 255
        assert pixels.shape == expected.shape, name
        assert np.abs(pixels.astype(int) - expected).max() <= limit, name
        # Before and after differ by the network alone, and a JPEG where the file shows otherwise.
        assert difference(shown, pixels) < 1.5 * difference(as_jpeg(pixels), pixels), name
        facts = unchanging.inner_text("#facts")
        assert note in facts, name
        assert bool(note) == (";" in facts), name


def test_what_is_not_read_is_refused_in_a_line(unchanging, tmp_path):
    for name, (data, word) in page_photos.refused().items():
        (tmp_path / name).write_bytes(data)
        why = outcome(unchanging, tmp_path / name)
        assert why.startswith(f"{name} cannot be opened: "), name
        assert word in why, name
        assert "\n" not in why
        assert unchanging.locator("#remedy").is_hidden()


def test_a_text_is_left_out_whatever_else_is_opened(unchanging, tmp_path):
    (tmp_path / "note.txt").write_text("no photo")
    enhancer_page.open_photos(unchanging, tmp_path / "note.txt")
    unchanging.locator("#notice", has_text="One file is no photo").wait_for()


def test_transparency_is_kept_in_png_and_white_in_jpeg(unchanging, tmp_path):
    rgba = np.dstack([page_photos.pixels(), np.full((100, 160), 255, np.uint8)])
    rgba[:50, :80, 3] = 0
    rgba[50:, :80, 3] = 200
    (tmp_path / "glass.png").write_bytes(page_photos.encoded(rgba, "PNG"))
    assert outcome(unchanging, tmp_path / "glass.png") == ""
    pixels = saved_pixels(unchanging, tmp_path)
    np.testing.assert_array_equal(pixels[..., 3], rgba[..., 3])
    off = np.abs(pixels[..., :3].astype(int) - rgba[..., :3])
    assert off[:, 80:].max() == 0
    assert off[50:, :80].max() <= 2  # canvases multiply by alpha, in 8 bits
    with Image.open(enhancer_page.save(unchanging, tmp_path, "image/jpeg")) as image:
        assert np.asarray(image)[:40, :70].min() > 250
    assert "what was transparent became white" in unchanging.inner_text("#facts")
    unchanging.select_option("#format", "image/png")


def test_metadata_that_are_kept_say_srgb(unchanging, tmp_path):
    tags = page_photos.exif(6, "R03")
    path = tmp_path / "adobe.jpg"
    path.write_bytes(page_photos.encoded(page_photos.pixels(), exif=tags))
    assert outcome(unchanging, path) == ""
    unchanging.check("#keep")
    with Image.open(enhancer_page.save(unchanging, tmp_path)) as image:
        tags = image.getexif()
    unchanging.uncheck("#keep")
    inner = tags.get_ifd(ExifTags.IFD.Exif)
    assert tags.get_ifd(ExifTags.IFD.Interop)[1] == "R98"
    assert inner[ExifTags.Base.ColorSpace] == 1
    assert inner[ExifTags.Base.ExifImageWidth] == 100
    assert tags[ExifTags.Base.Orientation] == 1
    assert ExifTags.Base.WhitePoint not in tags


def test_noise_against_fingerprinting_is_not_taken_for_damage(browser, built, tmp_path):
    """Where a canvas gives other pixels each time, whether data are missing is not known."""
    shutil.copytree(built, tmp_path / "page")
    worker = tmp_path / "page" / "worker.js"
    worker.write_text(NOISE + worker.read_text())
    path = tmp_path / "photo.jpg"
    path.write_bytes(page_photos.encoded(page_photos.pixels()))
    with (
        enhancer_page.served(tmp_path / "page") as server,
        enhancer_page.opened(browser, server) as page,
    ):
        assert outcome(page, path) == ""


UNREAD = re.compile("hei[cf]_|hif_|tiff_|raw_|jpeg_xl")  # Chromium does not decode them


def test_files_of_real_cameras(unchanging, shared_data, tmp_path):
    folder = shared_data / "camera_files"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/camera_files")
    for name, truth in json.loads((folder / "expected.json").read_text())["files"].items():
        why = outcome(unchanging, folder / name)
        if UNREAD.match(name) or "refuse" in truth["right"]:
            assert why.startswith(f"{name} cannot be opened: "), name
            continue
        assert why == "", name
        pixels = saved_pixels(unchanging, tmp_path)[..., :3]
        assert [*pixels.shape[1::-1]] == truth["size"], name
        off = np.abs(pixels.mean((0, 1)) - truth["mean"]).max()
        assert off < truth["tolerance"] + 0.1, name  # by a table one is 1.51 off
        if "grid" in truth:  # what is turned or mirrored has other parts
            rows, columns = (np.linspace(0, n, 5).astype(int)[1:-1] for n in pixels.shape[:2])
            parts = [np.split(part, columns, axis=1) for part in np.split(pixels, rows)]
            means = [[part.mean((0, 1)) for part in row] for row in parts]
            assert np.abs(means - np.array(truth["grid"])).max() < truth["grid_tolerance"] + 1, name
