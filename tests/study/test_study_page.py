"""Whole studies in a real browser: what is recorded is exactly what was clicked."""

import contextlib
import random
import tempfile

import browser as chromium
import pytest
import sqlalchemy as sa
from served_study import (
    CLASSES,
    connected,
    invite,
    meaning,
    recorded,
    serving,
    start,
    write_study,
)

SEEN = '"group", picture, "left", "right", chosen'
KEYS = ("ArrowLeft", "ArrowRight")
PIXELS = """images => images.map(image => {
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").drawImage(image, 0, 0);
  return [...canvas.getContext("2d").getImageData(5, 5, 1, 1).data.slice(0, 3)];
})"""


def wait_for_question(page, position: int) -> None:
    page.wait_for_selector(f'#questions:has(#progress[value="{position}"]) #pair:not(.waiting)')


def shown(page) -> list[tuple[str, str, str]]:
    """Group, picture and class of the left and right picture on the screen."""
    return [meaning(rgb) for rgb in page.locator("#pair img").evaluate_all(PIXELS)]


def answer(page, position: int, side: int, how=None) -> tuple:
    """Answers a question; returns the row that must be recorded."""
    wait_for_question(page, position)
    left, right = shown(page)
    assert left[:2] == right[:2]
    if how:
        how(side)
    else:
        page.keyboard.press(KEYS[side])
    return (*left, right[2], (left, right)[side][2])


def begin(page) -> None:
    page.wait_for_selector("#start")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


@contextlib.contextmanager
def opened(browser, study, database, viewport=chromium.DESKTOP, **options):
    """The page of a running study."""
    with (
        serving(study, database) as server,
        chromium.opened(browser, server.url, viewport, **options) as page,
    ):
        yield page


@pytest.fixture(scope="module")
def paper_study(tmp_path_factory):
    """The size of the paper's: 4 groups of 3 classes and 9 pictures."""
    return write_study(tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def small_study(tmp_path_factory):
    """9 questions on pictures larger than half the screen."""
    return write_study(tmp_path_factory.mktemp("small"), 1, 3, (900, 1200))


def test_a_whole_study_by_keyboard_only(browser, paper_study, tmp_path):
    rng, expected = random.Random(0), []
    with (
        serving(paper_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as page,
    ):
        begin(page)
        for position in range(108):
            expected.append(answer(page, position, rng.randrange(2)))
            if position in (0, 50, 107):  # takes it back, and answers the other way
                if position < 107:
                    wait_for_question(page, position + 1)
                else:
                    page.wait_for_selector("#end:not([hidden])")
                before = expected.pop()
                page.keyboard.press("Backspace" if position else "u")
                side = 1 - before[2:4].index(before[4])
                expected.append(answer(page, position, side))
                assert before[:4] == expected[-1][:4]
                assert before[4] != expected[-1][4]
        page.wait_for_selector("#end:not([hidden])")
        assert "Thank you" in page.inner_text("main:visible")
        page.reload()
        page.wait_for_selector("#end:not([hidden])")
    assert recorded(tmp_path / "v", SEEN) == expected
    pairs = {(group, picture, frozenset((a, b))) for group, picture, a, b, _ in expected}
    assert len(pairs) == 108  # all pairs of all pictures, each once
    assert 30 < sum(CLASSES.index(a) < CLASSES.index(b) for _, _, a, b, _ in expected) < 78
    (times,) = zip(*recorded(tmp_path / "v", "milliseconds"), strict=True)
    assert all(0 <= time < 10_000 for time in times)


def test_closed_browser_resumes(browser, paper_study, tmp_path):
    with serving(paper_study, tmp_path / "v") as server, tempfile.TemporaryDirectory() as profile:
        expected = []
        for first in (0, 7):
            context = browser.browser_type.launch_persistent_context(
                profile, executable_path=chromium.executable(), args=chromium.ARGS
            )
            page = context.pages[0]
            page.goto(server.url)
            begin(page)
            expected += [
                answer(page, position, position % 2) for position in range(first, first + 7)
            ]
            wait_for_question(page, first + 7)
            context.close()
        assert recorded(tmp_path / "v", SEEN) == expected


def test_invitation_resumes_in_another_browser(browser, small_study, tmp_path):
    token = invite(small_study, tmp_path / "v", 1)[0]
    with serving(small_study, tmp_path / "v") as server:
        expected = []
        for position in range(3):
            with chromium.opened(browser, f"{server.url}/invitation/{token}") as page:
                assert page.url == f"{server.url}/"  # the token is out of sight
                page.wait_for_selector("#start")
                assert ("Go on with question" in page.inner_text("#start")) == (position > 0)
                begin(page)
                expected.append(answer(page, position, 0))
                wait_for_question(page, position + 1)
    assert recorded(tmp_path / "v", SEEN) == expected


def test_two_participants_at_once(browser, paper_study, tmp_path):
    expected = [], []
    with (
        serving(paper_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as one,
        chromium.opened(browser, server.url) as two,
    ):
        for page in (one, two):
            begin(page)
            wait_for_question(page, 0)
        for position in range(12):
            for i, page in enumerate((one, two)):
                expected[i].append(answer(page, position, (position + i) % 2))
        for page in (one, two):
            wait_for_question(page, 12)
    rows = recorded(tmp_path / "v", f"participant, {SEEN}")
    assert [row[1:] for row in rows if row[0] == 1] == expected[0]
    assert [row[1:] for row in rows if row[0] == 2] == expected[1]
    assert [row[:2] for row in expected[0]] != [row[:2] for row in expected[1]]


def test_mouse_double_clicks_and_held_keys_count_once(browser, small_study, tmp_path):
    with (
        serving(small_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as page,
    ):
        page.click("#start")
        sides = ("#left", "#right")
        expected = [answer(page, 0, 1, lambda side: page.click(sides[side]))]
        wait_for_question(page, 1)
        # Both clicks of a double click, before the server can have answered.
        left, right = shown(page)
        page.evaluate("() => { left.click(); left.click(); right.click(); }")
        expected.append((*left, right[2], left[2]))
        wait_for_question(page, 2)
        assert not page.inner_text("#trouble")  # the other clicks were not even sent
        left, right = shown(page)
        for _ in range(30):  # held down: the browser repeats it
            page.keyboard.down("ArrowRight")
        page.keyboard.up("ArrowRight")
        expected.append((*left, right[2], right[2]))
        wait_for_question(page, 3)
        page.click("#undo")
        wait_for_question(page, 2)
        assert recorded(tmp_path / "v", SEEN) == expected[:2]
        page.click("#left")
        wait_for_question(page, 3)
    assert recorded(tmp_path / "v", SEEN) == [*expected[:2], (*expected[2][:4], expected[2][2])]


def test_phone(browser, small_study, tmp_path):
    touch = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    with opened(browser, small_study, tmp_path / "v", chromium.PHONE, **touch) as page:
        page.tap("#start")
        sides = ("#left", "#right")
        expected = [answer(page, i, i % 2, lambda side: page.tap(sides[side])) for i in range(4)]
        wait_for_question(page, 4)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
        assert page.evaluate("() => document.documentElement.scrollHeight") <= 740
        left, right = (page.locator(side).bounding_box() for side in sides)
        assert left["y"] + left["height"] <= right["y"]  # one above the other
        sizes = [(box["width"], box["height"]) for box in (left, right)]
        assert sizes[0] == pytest.approx(sizes[1], abs=0.1)  # grids divide to 1/64 of a pixel
        assert left["width"] > 350
        assert page.get_attribute("#left", "aria-label") == "Choose the upper picture"
        assert chromium.accessibility_findings(page) == []
    assert recorded(tmp_path / "v", SEEN) == expected


def test_zoom_shows_the_same_part_of_both(browser, small_study, tmp_path):
    transform = "images => images.map(i => getComputedStyle(i).transform)"
    origin = "images => images.map(i => getComputedStyle(i).transformOrigin)"
    with (
        serving(small_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as page,
    ):
        begin(page)
        wait_for_question(page, 0)
        images = page.locator("#pair img")
        assert set(images.evaluate_all(transform)) == {"matrix(1, 0, 0, 1, 0, 0)"}
        page.keyboard.press("z")
        scale = float(images.evaluate_all(transform)[0][7:].split(",")[0])
        width = images.first.bounding_box()["width"]
        fit = min(width / scale / 1200, page.locator("#left").bounding_box()["height"] / 900)
        assert scale == pytest.approx(max(2, 1 / fit), rel=1e-3)
        box = page.locator("#right").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
        where = images.evaluate_all(origin)
        assert where[0] == where[1]
        x, y = (float(value.removesuffix("px")) for value in where[0].split())
        assert (x, y) == pytest.approx((box["width"] * 0.75, box["height"] * 0.25), abs=1)
        page.keyboard.press("Shift+ArrowLeft")
        moved = images.evaluate_all(origin)
        assert moved[0] == moved[1] != where[0]
        page.mouse.down()  # dragging looks around and chooses nothing
        page.mouse.move(box["x"] + 50, box["y"] + 50, steps=4)
        page.mouse.up()
        page.click("#zoom")
        assert set(images.evaluate_all(transform)) == {"matrix(1, 0, 0, 1, 0, 0)"}
        assert page.get_attribute("#progress", "value") == "0"
        page.click("#left")
        wait_for_question(page, 1)
    assert len(recorded(tmp_path / "v")) == 1


def test_server_that_dies_loses_nothing(browser, small_study, tmp_path):
    server = start(small_study, tmp_path / "v")
    with chromium.opened(browser, server.url) as page:
        begin(page)
        expected = [answer(page, 0, 1)]
        wait_for_question(page, 1)
        server.kill()
        expected.append(answer(page, 1, 0))
        page.wait_for_selector("#trouble:has-text('Trying again')")
        server = start(small_study, tmp_path / "v", server.port)
        wait_for_question(page, 2)
        assert not page.inner_text("#trouble")
    server.kill()
    assert recorded(tmp_path / "v", SEEN) == expected


def test_pictures_that_fail_to_load_are_loaded_again(browser, small_study, tmp_path):
    with opened(browser, small_study, tmp_path / "v") as page:
        page.route("**/api/pictures/*", lambda route: route.abort())
        begin(page)
        page.wait_for_selector("#trouble:has-text('cannot be loaded')")
        page.keyboard.press("ArrowLeft")  # nothing is to be chosen from
        page.unroute_all()
        expected = [answer(page, 0, 1)]
        assert not page.inner_text("#trouble")
        wait_for_question(page, 1)
    assert recorded(tmp_path / "v", SEEN) == expected


def test_starting_twice_takes_one_place(browser, small_study, tmp_path):
    with opened(browser, small_study, tmp_path / "v") as page:
        page.wait_for_selector("#start")
        page.evaluate("() => { start.click(); start.click(); }")
        wait_for_question(page, 0)
        with connected(tmp_path / "v") as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM participants")).scalar() == 1


def test_a_tab_left_behind_catches_up(browser, small_study, tmp_path):
    with (
        serving(small_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as page,
    ):
        begin(page)
        wait_for_question(page, 0)
        other = page.context.new_page()
        other.goto(page.url)
        begin(other)
        expected = [answer(other, position, 0) for position in range(3)]
        wait_for_question(other, 3)
        page.keyboard.press("ArrowRight")  # of question 1, as this tab believes
        wait_for_question(page, 3)
        assert "out of step" in page.inner_text("#trouble")
    assert recorded(tmp_path / "v", SEEN) == expected


def test_texts_are_shown_as_they_are(browser, tmp_path):
    text = '<img src=x onerror="document.title=1"> & <script>document.title = 2</script>'
    study = write_study(tmp_path, 1, 1, title=text, instructions=text)
    with opened(browser, study, tmp_path / "v") as page:
        page.wait_for_selector("#start")
        assert page.inner_text("#title") == page.inner_text("#instructions") == text
        assert page.title() == " ".join(text.split())
        assert page.locator("#intro img, #intro script").count() == 0


def test_accessibility(browser, small_study, tmp_path):
    with (
        serving(small_study, tmp_path / "v") as server,
        chromium.opened(browser, server.url) as page,
    ):
        page.wait_for_selector("#start")
        assert chromium.accessibility_findings(page) == []
        begin(page)
        wait_for_question(page, 0)
        assert chromium.accessibility_findings(page) == []
        assert page.get_attribute("#left", "aria-label") == "Choose the left picture"
        # The focus is on the page's heading; the status tells what is there.
        assert page.evaluate("() => document.activeElement.id") == "question"
        assert page.inner_text("#status") == "Question 1 of 9"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # chooses the focused picture, and keeps the focus there
        wait_for_question(page, 1)
        assert page.evaluate("() => document.activeElement.id") == "left"
        for position in range(1, 9):
            answer(page, position, 0)
        page.wait_for_selector("#end:not([hidden])")
        assert chromium.accessibility_findings(page) == []


def test_without_a_place(browser, tmp_path):
    study = write_study(tmp_path, 1, 1, open_places=0)
    with opened(browser, study, tmp_path / "v") as page:
        page.wait_for_selector("#trouble:has-text('invitation')")
        assert not page.is_visible("#start")
