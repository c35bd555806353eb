"""The widest table that a config makes is read without scrolling on a desktop."""

import browser as chromium

from dped_jax.experiments import table_page

METRICS = ("psnr", "ms_ssim", "ssim", "lpips", "niqe")
PHONES = ("iphone", "blackberry", "sony")
TITLES = ("Color + content + texture", "Content + texture", "MSE + texture", "MSE")


def summary(value):
    scores = {"psnr": value, "niqe": 3.25} | dict.fromkeys(METRICS[1:4], value / 25)
    return scores | {"runs": [{}, {}], "range": dict.fromkeys(METRICS, 0.25), "note": "a <note>"}


def results():
    methods = {title: summary(20.0 + i) for i, title in enumerate(TITLES)}
    found = {"images": 2500, "input": summary(17.0), "methods": methods}
    return {
        "experiment": "Table",
        "split": "test",
        "costs": [],
        "metrics": METRICS,
        "titles": {title: title for title in TITLES},
        "published": {title: dict.fromkeys(PHONES, (20.0, 0.9)) for title in TITLES},
        "phones": dict.fromkeys(PHONES, found),
    }


def test_three_phones_and_five_scores_with_ranges_fit(tmp_path, browser):
    file = tmp_path / "table.html"
    file.write_text(table_page.make_page(results(), {}))
    assert "RANDOM" not in file.read_text()
    assert chromium.page_problems(browser, file) == []
    with chromium.opened(browser, file.as_uri()) as page:
        scores, published = page.locator("table").all()
        heads = scores.locator("th[scope=colgroup]")
        assert heads.all_inner_texts() == list(PHONES)
        assert heads.first.get_attribute("colspan") == "5"
        assert scores.locator("th[scope=col]").all_inner_texts()[:2] == ["PSNR", "MS-SSIM"]
        row = scores.locator("tr:has-text('MSE + texture') td").all_inner_texts()
        assert row[:2] == ["22.00 [0.25] (7)", "0.8800 [0.2500] (7)"]
        assert len(row) == 15
        assert published.locator("th[scope=colgroup]").first.get_attribute("colspan") == "2"


def test_random_features_are_said_above_everything():
    found = results()
    found["phones"]["sony"]["methods"]["MSE"] = summary(20.0) | {"runs": [{"vgg": "random"}]}
    page = table_page.make_page(found, {})
    note = page.index("The content loss of MSE compared features of a VGG-19")
    assert "RANDOM weights" in page[note : page.index("<h2>")]
