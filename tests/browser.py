"""A real headless Chromium for tests of pages; the tests skip where none is installed."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

ARGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 740}


def executable() -> str:
    """Where Chromium is; skips the test where it is not."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("needs Chromium (apt-get install chromium): the page was not opened")
    return path


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """Starts Chromium; yields playwright's browser."""
    path = executable()
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        browser = playwright.chromium.launch(
            executable_path=path,
            chromium_sandbox=False,
            args=ARGS,
            env={"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, url: str, viewport: dict[str, int] = DESKTOP, **options) -> Iterator[Any]:
    """Opens a page in a fresh profile; fails on any script error that it reports."""
    context = browser.new_context(viewport=viewport, **options)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 (a method of a builtin is refused)
    page.goto(url)
    yield page
    context.close()
    assert not errors


def accessibility_findings(page: Any) -> list[str]:
    """What axe-core finds on a page, serious or critical: the rule and where it is broken."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{found['id']}: {node['html'][:200]}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def page_problems(browser: Any, file: pathlib.Path) -> list[str]:
    """What is wrong with a self-contained page, at desktop and phone size; fails on script errors.

    That is: something is fetched, the page is wider than the screen, a table is cut off on a
    desktop, what axe-core finds, and sliders that arrow keys do not move.
    """
    problems = []
    for viewport in (DESKTOP, PHONE):
        context = browser.new_context(viewport=viewport, offline=True)
        page = context.new_page()
        errors, requests = [], []
        page.on("pageerror", lambda error, errors=errors: errors.append(error))
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.goto(file.as_uri())
        assert not errors
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > viewport["width"]:
            problems.append(f"{width} pixels wide on a screen of {viewport['width']}")
        cut = "table => table.offsetWidth > table.parentNode.clientWidth"
        for table in page.locator(".wide table").all() if viewport is DESKTOP else ():
            if table.evaluate(cut):
                problems.append(f"a table is cut off: {table.inner_text()[:80]}")
        problems += accessibility_findings(page)
        for k, slider in enumerate(page.locator("input[type=range]").all()):
            split = "slider => getComputedStyle(slider.parentNode).getPropertyValue('--split')"
            slider.focus()
            page.keyboard.press("ArrowLeft")
            if slider.evaluate(split) != "49%":
                problems.append(f"slider {k} at {slider.evaluate(split)} after an arrow key")
        fetched = [url for url in requests if not url.startswith(("data:", file.as_uri()))]
        problems += [f"fetches {url}" for url in fetched]
        context.close()
    return problems
