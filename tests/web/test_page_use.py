"""Many photographs, cancelling, comparing and zooming; by mouse, keyboard and touch."""

import re
import shutil

import browser as chromium
import cv2
import enhancer_page
import pytest
import skimage.data

AT = "#stage"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A photograph of many windows: its computing takes seconds in windows of 64x96 pixels."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    cv2.imwrite(str(path), cv2.resize(skimage.data.coffee()[..., ::-1], (3000, 2000)))
    return path


def test_cancelling_in_the_middle(browser, server, photo, large):
    with enhancer_page.opened(browser, server) as page:
        enhancer_page.open_photos(page, large)
        page.wait_for_selector("#progress[value]")
        first = float(page.get_attribute("#progress", "value"))
        page.locator("#busy-text", has_text=re.compile(r"Enhancing: \d+ %")).wait_for()
        page.click("#cancel")
        page.locator("#trouble-text", has_text="large.jpg: cancelled").wait_for(timeout=2000)
        assert first < 1
        assert page.locator("#save").is_disabled()
        for _ in range(100):  # Chromium gives a worker two seconds to end by itself
            page.wait_for_timeout(100)
            if not [worker for worker in page.workers if worker.url.startswith("blob:")]:
                break
        else:
            pytest.fail("the worker goes on")
        enhancer_page.open_photos(page, photo)  # goes on with others
        enhancer_page.wait_until_enhanced(page)
        page.click("#list li:first-child button")
        page.click("#remedy")  # and with the same one
        page.wait_for_selector("#progress[value]")
        page.click("#cancel")
        page.click("#dismiss")
        assert page.locator("#list li").count() == 1
        page.wait_for_selector("#save:enabled")


def test_many_one_after_another(browser, server, photo, large, tmp_path):
    copies = [tmp_path / f"copy{i}.png" for i in range(3)]
    for path in copies:
        shutil.copy(photo, path)
    with enhancer_page.opened(browser, server) as page:
        enhancer_page.open_photos(page, *copies)
        enhancer_page.wait_until_enhanced(page)
        states = page.locator("#list small").all_text_contents()
        assert len(states) == 3
        assert all(state.startswith("enhanced") for state in states)
        names = set()
        page.on("download", lambda download: names.add(download.suggested_filename))
        page.click("#save-all")
        page.locator("#status", has_text="copy2").wait_for(state="attached")
        assert names == {f"copy{i}_enhanced.jpg" for i in range(3)}
        page.select_option("#format", "image/png")  # of an earlier one: it is enhanced again
        page.click("#list li:first-child button")
        saved = enhancer_page.save(page, tmp_path)
        assert cv2.imread(str(saved)).shape == (150, 205, 3)

        enhancer_page.open_photos(page, large, *copies)
        page.wait_for_selector("#progress[value]")
        page.click("#stop")
        page.wait_for_selector("#stop", state="hidden")
        states = page.locator("#list small").all_text_contents()
        assert states[3:] == ["cancelled"] * 4


def border(page) -> float:
    """Where the border between before and after is, as a share of the picture's width."""
    divider, picture = (page.locator(at).bounding_box() for at in ("#divider", "#after"))
    return (divider["x"] + divider["width"] / 2 - picture["x"]) / picture["width"]


def test_comparing_and_zooming_by_mouse_and_keyboard(browser, server, photo):
    with enhancer_page.opened(browser, server) as page:
        enhancer_page.open_photos(page, photo)
        enhancer_page.wait_until_enhanced(page)
        assert border(page) == pytest.approx(0.5, abs=0.01)
        page.focus("#split")
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        assert border(page) == pytest.approx(0.7, abs=0.01)
        text = page.evaluate("() => document.getElementById('split').ariaValueText")
        assert text == "70 percent before, 30 percent after"
        box = page.locator("#after").bounding_box()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20, steps=3)
        page.mouse.up()
        assert border(page) == pytest.approx(0.25, abs=0.01)

        page.click("#zoom-full")
        assert page.get_attribute(AT, "data-zoom") == "100"
        assert page.locator("#after").bounding_box()["width"] == pytest.approx(205)
        page.focus(AT)
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert page.get_attribute(AT, "data-zoom") == "225"
        page.mouse.move(400, 300)
        for _ in range(12):
            page.mouse.wheel(0, -100)
        assert page.get_attribute(AT, "data-zoom") == "800"
        before, after = (page.locator(at).bounding_box() for at in ("#before", "#after"))
        assert before == after
        page.focus(AT)
        page.keyboard.press("ArrowRight")
        assert page.locator("#after").bounding_box()["x"] == pytest.approx(after["x"] - 80, abs=1)
        page.mouse.move(700, 500)
        page.mouse.down()
        page.mouse.move(760, 500)
        page.mouse.up()
        assert page.locator("#after").bounding_box()["x"] == pytest.approx(after["x"] - 20, abs=1)
        page.keyboard.press("0")
        assert page.locator("#zoom-fit").get_attribute("aria-pressed") == "true"


def problems(page, viewport) -> list[str]:
    found = chromium.accessibility_findings(page)
    size = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    if size[0] > size[1]:
        found.append(f"{size[0]} pixels wide on a screen of {size[1]}")
    for button in page.locator("button:visible:not(.link)").all():
        box = button.bounding_box()
        if min(box["width"], box["height"]) < 40:  # a finger's
            found.append(f"small: {button.inner_text()}")
        if box["x"] < 0 or box["x"] + box["width"] > viewport["width"]:
            found.append(f"off the screen: {button.inner_text()}")
    return found


@pytest.mark.parametrize("viewport", [chromium.DESKTOP, chromium.PHONE], ids=["desktop", "phone"])
def test_both_screens_are_accessible(browser, server, photo, tmp_path, viewport):
    touch = {"has_touch": True, "is_mobile": True} if viewport is chromium.PHONE else {}
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with enhancer_page.opened(browser, server, viewport, **touch) as page:
        assert problems(page, viewport) == []
        page.click("#about-button")
        assert problems(page, viewport) == []
        assert "forbids" in page.inner_text("#about")
        page.keyboard.press("Escape")
        enhancer_page.open_photos(page, photo, photo)
        enhancer_page.wait_until_enhanced(page)
        assert problems(page, viewport) == []
        assert "enhanced" in page.text_content("#status")
        enhancer_page.open_photos(page, broken)
        page.locator("#trouble-text", has_text="broken.jpg cannot be opened").wait_for()
        assert problems(page, viewport) == []
        if touch:  # nothing to scroll to: picture and buttons are on the screen
            assert page.locator("#save").bounding_box()["y"] < viewport["height"] - 40
