"""What the page, and `make web`, say to bad input: one message, and what to do."""

import re
import shutil
import struct
import subprocess
import zlib

import browser as chromium
import enhancer_page
import onnx
import pytest
from onnx import TensorProto, helper

DEVICES = (
    *[arg for arg in chromium.ARGS if arg != "--disable-gpu"],
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
)


def message(page, at: str, text: str) -> str:
    """Waits for a text; returns all that is there."""
    page.locator(at, has_text=text).wait_for(timeout=enhancer_page.SECONDS)
    return page.inner_text(at)


def test_types_are_right():
    enhancer_page.install()
    argv = ["npm", "run", "--silent", "check"]
    folder = enhancer_page.WEB
    result = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def foreign_model(path) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", info[:1], info[1:])
    onnx.save(helper.make_model(graph), path)


def test_building_with_no_model(workdir, tmp_path):
    good = enhancer_page.export(workdir, tmp_path / "m.onnx", stages=False, pixels="uint8")
    bad = {
        name: tmp_path / name for name in ("absent", "text", "cut", "foreign", "folder", "holes")
    }
    bad["text"].write_text("no model")
    bad["cut"].write_bytes(good.read_bytes()[:-3000])
    foreign_model(bad["foreign"])
    bad["folder"].mkdir()
    enhancer_page.export(workdir, bad["holes"], stages=True, pixels="uint8")
    (bad["holes"] / "stage1.onnx").unlink()
    output = tmp_path / "page"
    output.mkdir()
    (output / "index.html").write_text("the last one")
    for name, path in bad.items():
        result = enhancer_page.build(path, output)
        assert result.returncode == 1, name
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"error: {path}")
    assert (output / "index.html").read_text() == "the last one"
    assert sorted(path.name for path in tmp_path.iterdir() if "page" in path.name) == ["page"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [("replaced", "damaged or no model"), ("removed", "could not be loaded")],
)
def test_a_model_that_is_damaged_on_the_server(browser, built_page, tmp_path, damage, words):
    shutil.copytree(built_page, tmp_path / "page")
    model = tmp_path / "page" / "model" / "stage1.onnx"
    model.write_text("no model") if damage == "replaced" else model.unlink()
    with (
        enhancer_page.served(tmp_path / "page") as server,
        chromium.opened(browser, server.url) as page,
    ):
        assert words in message(page, "#notice", "model")


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is of a size, and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in (header, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_photographs_that_cannot_be_opened(browser, server, photo, tmp_path):
    files = {
        "text.jpg": b"no photo",
        "empty.png": b"",
        "cut.png": photo.read_bytes()[:60],
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "huge.png": png_header(30_000, 30_000),
        "note.txt": b"no photo either",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with enhancer_page.opened(browser, server) as page:
        for name in files:
            enhancer_page.open_photos(page, tmp_path / name)
            if name == "note.txt":
                assert message(page, "#notice", "is no photo")
                continue
            text = message(page, "#trouble-text", name)
            if name == "huge.png":
                assert text.endswith(
                    "with 900 megapixels is too large for this device. It can be enhanced at a "
                    "smaller size."
                )
                assert re.fullmatch(r"Enhance at \d+ megapixels", page.inner_text("#remedy"))
            else:
                assert "cannot be opened" in text
                assert ("Safari" in text) == name.endswith("heic")
                assert page.locator("#remedy").is_hidden()
            page.click("#dismiss")
        enhancer_page.open_photos(page, photo)  # still fine
        enhancer_page.wait_until_enhanced(page)


def test_too_large_for_the_device_offers_a_smaller_size(browser, server, tmp_path):
    import cv2
    import skimage.data

    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), cv2.resize(skimage.data.coffee(), (1200, 800)))  # 0.96 megapixels
    context = browser.new_context()
    context.add_init_script(  # 1/16 GB: 0.75 megapixels
        "Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 0.0625 })"
    )
    page = context.new_page()
    page.goto(server.url)
    enhancer_page.wait_until_ready(page)
    enhancer_page.open_photos(page, path)
    assert "photo.jpg with 1 megapixel is too large" in message(page, "#trouble-text", "large")
    assert page.inner_text("#remedy") == "Enhance at 0.5 megapixels"
    page.click("#remedy")
    enhancer_page.wait_until_enhanced(page)
    shape = cv2.imread(str(enhancer_page.save(page, tmp_path))).shape
    assert shape == (577, 866, 3)
    context.close()


@pytest.fixture(scope="module")
def with_devices(browser):
    """A browser with a fake camera, and a graphics chip that is computed by the processor."""
    path, kind = chromium.executable(), browser.browser_type
    started = kind.launch(executable_path=path, chromium_sandbox=False, args=DEVICES)
    yield started
    started.close()


def test_camera(with_devices, server):
    with enhancer_page.opened(with_devices, server) as page:
        page.click("#start .camera")
        page.wait_for_selector("#camera[open]")
        assert chromium.accessibility_findings(page) == []
        page.wait_for_timeout(500)
        page.click("#camera-take")
        page.wait_for_selector("#progress[value]", timeout=enhancer_page.SECONDS)
        assert page.inner_text("#list b").startswith("camera_")
        page.click("#cancel")  # the picture is a large one


def test_no_camera(browser, server):
    with enhancer_page.opened(browser, server) as page:
        page.click("#start .camera")
        assert "Open a photo instead" in message(page, "#notice", "No camera can be used")


def test_graphics_chip_that_is_lost_on_the_way(with_devices, server, photo):
    """The graphics process is ended; the photograph is finished on the processor."""
    context = with_devices.new_context()
    page = context.new_page()
    page.goto(server.url)
    if not page.evaluate("async () => !!await navigator.gpu?.requestAdapter()"):
        context.close()
        pytest.skip("this Chromium has no WebGPU")
    enhancer_page.wait_until_ready(page)
    assert "processor" in page.text_content("#place")  # no chip is imitated by the processor
    page.evaluate("() => localStorage.setItem('processor', 'webgpu')")
    page.reload()
    enhancer_page.wait_until_ready(page)
    assert "graphics chip (WebGPU)" in page.text_content("#place")
    enhancer_page.open_photos(page, photo)
    page.wait_for_selector("#progress[value]", timeout=enhancer_page.SECONDS)
    with_devices.new_browser_cdp_session().send("Browser.crashGpuProcess")
    assert "going on with the processor" in message(page, "#notice", "graphics chip failed")
    enhancer_page.wait_until_enhanced(page)
    assert "processor" in page.text_content("#place")
    context.close()
