"""The page of several experiments holds what theirs hold."""

import browser as chromium
import numpy as np
import pytest
import tiny

from dped_jax.base.errors import InputError
from dped_jax.experiments import report
from dped_jax.pages import web_page


@pytest.fixture
def runs(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        means = {"row": {"brightness": 0.5}}
        page = web_page.render(
            "photo_statistics", f"Title <{name}>", "said & done", means=means,
            columns={"row": "<row>"}, scores={}, num_photos=1, window=1, brighter=name * 3,
            sheet=np.zeros((1, 1, 3), np.uint8),
        )  # fmt: skip
        (tmp_path / name / "report.html").write_text(page)
    return [tmp_path / name for name in ("a", "b")]


def test_all_pages_are_on_it(runs, browser, tmp_path):
    done = tiny.command(
        "dped_jax.experiments.report",
        f"--runs={runs[0]},{runs[1]}",
        f"--output={tmp_path}/all.html",
    )
    assert done.returncode == 0, done.stderr
    with chromium.opened(browser, (tmp_path / "all.html").as_uri(), chromium.PHONE) as page:
        headings = page.locator("h1, h2, h3").all_inner_texts()
        contents = page.locator("ol a").all_inner_texts()
        cells = page.locator("td").all_inner_texts()
        texts = page.locator("p").all_inner_texts()
        notes = page.locator(".note").all_inner_texts()
        page.get_by_role("link", name="Title <b>").press("Enter")
        assert page.url.endswith("#run1")
        assert chromium.accessibility_findings(page) == []
    titles = ["Title <a>", "Title <b>"]
    own = ["Scores", "Photographs"]
    assert headings == [report.TITLE, "Contents", titles[0], *own, titles[1], *own]
    assert contents == titles
    assert [cell for cell in cells if cell] == ["0.5000", "0.5000"]
    assert {"aaa", "bbb"} <= set(texts)
    assert notes == ["said & done"] * 2


def test_runs_without_a_page(runs, tmp_path):
    with pytest.raises(InputError, match=r"c/report.html: no such file"):
        report.combine([*runs, tmp_path / "c"])
    (runs[0] / "report.html").write_text("<main>no title</main>")
    with pytest.raises(InputError, match="not the page of an experiment"):
        report.combine(runs)
