"""The report's page: every number and picture given is on it, nothing is fetched, text is text."""

import base64
import html.parser
import json
import pathlib
import re
import subprocess
import sys

import browser as chromium
import cv2
import numpy as np
import pytest
from absl import flags

from configs import demo
from dped_jax.base.errors import InputError
from dped_jax.pages import web_page
from dped_jax.report import __main__ as command
from dped_jax.report.page import read_photos, training_curves
from dped_jax.train.metrics_writer import read_metrics

VOID = {"img", "input", "meta", "br"}
SCORES = {
    "protocol": "pirm",
    "images": 24,
    "input": {"psnr": 19.5987, "ms_ssim": 0.91234, "ssim": 0.81239, "identical_pairs": 3},
    "enhanced": {"psnr": 25.1012, "ms_ssim": 0.95678, "ssim": 0.87654, "identical_pairs": 5},
}
METRICS = [
    {"step": 10, "group": "train", "time": 1.5, "mse": 0.1, "total": 0.2},
    {"step": 20, "group": "train", "mse": 0.01, "total": 0.02},
    {"step": 20, "group": "validation", "psnr": 21.5, "ms_ssim": 0.9, "identical_pairs": 0},
    {"step": 40, "group": "train", "mse": 0.001, "total": float("nan")},
    {"step": 40, "group": "validation", "psnr": 24.5, "ms_ssim": 0.9, "identical_pairs": 0},
]


class Page(html.parser.HTMLParser):
    """Checks that tags balance; collects elements and text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def decoded(uri: str) -> np.ndarray:
    kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)", uri).groups()
    encoded = base64.b64decode(data)
    assert encoded.startswith({"png": b"\x89PNG", "jpeg": b"\xff\xd8"}[kind])
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def smooth(seed: int, height: int, width: int) -> np.ndarray:
    """A picture that JPEG keeps well."""
    corners = np.random.default_rng(seed).uniform(0, 255, (3, 3, 3)).astype(np.float32)
    return np.uint8(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))


@pytest.fixture
def run(tmp_path):
    """A finished run: its files, and `run()`, which makes the report and returns the page."""
    workdir = tmp_path / "model"
    write_png(workdir / "samples/00000020.png", smooth(1, 40, 60))
    write_png(workdir / "samples/00000040.png", smooth(2, 40, 60))
    write_png(tmp_path / "before/0.png", smooth(3, 48, 64))
    write_png(tmp_path / "after/0.png", smooth(4, 48, 64))
    (workdir / "config.json").write_text(demo.get_config().to_json(indent=2))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in METRICS))
    (tmp_path / "scores.json").write_text(json.dumps(SCORES))

    def make(note: str = "", target: str | None = None, page: str | None = None) -> Page:
        values = {
            "workdir": workdir,
            "scores": tmp_path / "scores.json",
            "before": tmp_path / "before",
            "after": tmp_path / "after",
            "output": tmp_path / "report.html",
        }
        values = {name: str(value) for name, value in values.items()}
        values |= {"note": note, "target": target and str(tmp_path / target)}
        values |= {"page": page and str(tmp_path / page)}
        own = flags.FlagValues()
        for name, value in values.items():
            flags.DEFINE_string(name, value, "", flag_values=own)
        own.mark_as_parsed()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(command, "FLAGS", own)
            command.main(["report"])
        return Page((tmp_path / "report.html").read_text())

    make.folder = tmp_path
    return make


def test_all_scores_appear_in_their_columns(run, capsys):
    page = run()
    assert capsys.readouterr().out == (
        "PSNR of the test patches: input 19.60 dB, enhanced 25.10 dB "
        f"(report: {run.folder}/report.html)\n"
    )
    for row in (
        "input enhanced",
        "PSNR (dB) 19.60 25.10",
        "MS-SSIM 0.9123 0.9568",
        "SSIM 0.8124 0.8765",
        "(left out of PSNR) 3 5",
        "Means over 24 images, protocol pirm",
    ):
        assert row in page.text


def test_scores_without_an_input(run, capsys):
    scores = {name: value for name, value in SCORES.items() if name != "input"}
    (run.folder / "scores.json").write_text(json.dumps(scores))
    assert "PSNR (dB) 25.10 MS-SSIM 0.9568" in run().text
    assert capsys.readouterr().out.startswith("PSNR of the test patches: enhanced 25.10 dB (")


def test_pictures_are_embedded_and_nothing_is_fetched(run):
    page = run()
    after, before, grid, *curves = page.all("img")
    after, before, grid = (decoded(image["src"]) for image in (after, before, grid))
    assert all(curve["src"].startswith("data:image/svg+xml;base64,") for curve in curves)
    assert len(curves) == 2
    for shown, seed in ((before, 3), (after, 4)):
        assert np.abs(shown.astype(int) - smooth(seed, 48, 64)).mean() < 2
    np.testing.assert_array_equal(grid, smooth(2, 40, 60))  # the best, without loss
    assert all(image["alt"] for image in page.all("img"))
    text = (run.folder / "report.html").read_text()
    assert not re.search(r"https?:|@import|url\(|<link|<iframe", text)
    fetched = {a[name] for _, a in page.elements for name in ("src", "href") if name in a}
    assert all(address.startswith("data:") for address in fetched)


def test_the_page_for_the_browser_is_linked_where_it_was_built(run):
    assert "Your own photographs" not in run(page="pages/web").text
    (run.folder / "pages" / "web").mkdir(parents=True)
    (run.folder / "pages" / "web" / "index.html").touch()
    page = run(page="pages/web")
    assert [link["href"] for link in page.all("a")] == ["pages/web/"]
    assert f"python3 -m http.server --directory {run.folder}" in page.text


def test_patches_are_those_of_the_best_step(run):
    later = {"step": 60, "group": "validation", "psnr": 24.0}
    write_png(run.folder / "model/samples/00000060.png", smooth(9, 40, 60))
    with (run.folder / "model/metrics.jsonl").open("a") as lines:
        lines.write(json.dumps(later) + "\n")
    page = run()
    np.testing.assert_array_equal(decoded(page.all("img")[-3]["src"]), smooth(2, 40, 60))
    assert "Validation patches at step 40, the best" in page.text


def test_photographs_are_beside_their_targets_where_there_are_any(run, browser):
    for name in ("b", "c"):
        write_png(run.folder / f"before/{name}.png", smooth(6, 30, 30))
        write_png(run.folder / f"after/{name}.png", smooth(7, 30, 30))
    flat = np.zeros((900, 1200, 3), np.uint8) + np.uint8([10, 200, 90])  # of another size
    write_png(run.folder / "dslr/0.png", flat)
    write_png(run.folder / "dslr/more.png", flat)
    page = run(target="dslr")
    wide, *_ = page.all("img")
    assert wide["alt"] == "0: before, enhanced, target"
    shown = decoded(wide["src"])
    like_target = (np.abs(shown.astype(int) - [10, 200, 90]).max(-1) < 12).sum()
    assert like_target == pytest.approx(380 * 285, rel=0.03)
    assert "b: before, enhanced" not in page.text
    assert len(page.all("input")) == 3
    assert chromium.page_problems(browser, run.folder / "report.html") == []
    with chromium.opened(browser, (run.folder / "report.html").as_uri()) as opened:
        cut = "part => part.scrollWidth > part.clientWidth"
        assert not opened.locator(".wide:has(img)").first.evaluate(cut)
    (run.folder / "dslr/0.png").unlink()
    with pytest.raises(InputError, match=r"--target=.*dslr: holds none of the photographs"):
        run(target="dslr")
    with pytest.raises(InputError, match=r"--target=.*nowhere: no such file or folder"):
        run(target="nowhere")


def test_large_photographs_are_shown_smaller():
    shown = decoded(web_page.data_uri(smooth(5, 100, 3200), "jpeg"))
    assert shown.shape == (50, 1600, 3)


def test_each_photograph_has_a_slider_with_a_name(run):
    write_png(run.folder / "before/b.png", smooth(6, 30, 30))
    write_png(run.folder / "after/b.png", smooth(7, 30, 30))
    page = run()
    names = [slider["aria-label"].split(":")[0] for slider in page.all("input")]
    assert names == ["0", "b"]
    assert {slider["type"] for slider in page.all("input")} == {"range"}


def test_two_files_may_have_different_names(tmp_path):
    write_png(tmp_path / "in.png", smooth(3, 48, 64))
    write_png(tmp_path / "out.png", smooth(4, 48, 64))
    write_png(tmp_path / "wanted.png", smooth(5, 40, 50))
    paths = (tmp_path / "in.png", tmp_path / "out.png", tmp_path / "wanted.png")
    (photo,) = read_photos(*paths)
    assert photo.name == "in"
    np.testing.assert_array_equal(photo.before, smooth(3, 48, 64))
    np.testing.assert_array_equal(photo.after, smooth(4, 48, 64))
    np.testing.assert_array_equal(photo.target, smooth(5, 40, 50))
    assert read_photos(*paths[:2])[0].target is None


def test_text_is_escaped(run):
    write_png(run.folder / "before/<b>&.png", smooth(6, 30, 30))
    write_png(run.folder / "after/<b>&.png", smooth(7, 30, 30))
    note = '<script>alert(1)</script> & SIMULATED "cameras"'
    page = run(note)
    assert note in page.text
    assert not page.all("script")
    assert "<b>&: drag" in page.text
    assert not page.all("b")


def test_page_is_set_up_for_phones_and_readers(run):
    page = run("said first")
    assert page.all("html") == [{"lang": "en"}]
    (viewport,) = [meta for meta in page.all("meta") if meta.get("name") == "viewport"]
    assert "width=device-width" in viewport["content"]
    assert page.text.index("said first") < page.text.index("Scores")
    assert not [a for a in run().all("p") if a.get("class") == "note"]


def test_configuration_is_on_the_page_folded(run):
    page = run()
    assert demo.get_config().to_json() == json.dumps(json.loads(re.search(r"\{.*\}", page.text)[0]))
    assert page.all("details") == [{}]


def test_page_in_a_browser(run, browser):
    assert run("SIMULATED").all("input")
    assert chromium.page_problems(browser, run.folder / "report.html") == []


def test_curves_run_where_their_values_are(run):
    groups = read_metrics(run.folder / "model/metrics.jsonl")
    assert groups["train"] == {
        "mse": [(10, 0.1), (20, 0.01), (40, 0.001)],
        "total": [(10, 0.2), (20, 0.02)],  # the one that is not finite is left out
    }
    losses, validation = training_curves(groups).values()
    (mse,), (psnr,) = (figure.axes[0].get_lines() for figure in (losses, validation))
    np.testing.assert_array_equal(mse.get_xydata(), groups["train"]["mse"])
    np.testing.assert_array_equal(psnr.get_xydata(), groups["validation"]["psnr"])
    assert losses.axes[0].get_yscale() == "log"
    alts = [image["alt"] for image in run().all("img")[-2:]]
    assert alts == [
        "Training losses: loss (no unit, log scale) against steps of mse",
        "Validation patches: PSNR (dB) against steps of PSNR",
    ]


def test_curves_of_several_terms_and_of_losses_alone():
    others = ("discriminator_accuracy", "learning_rate", "patches_per_second")
    train = {name: [(1, 0.1), (2, 0.2)] for name in ("color", "tv", "total", *others)}
    curves = training_curves({"train": train, "validation": {"psnr": [(2, 20.0)]}})
    lines = curves["Training losses"].axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["color", "tv", "total"]


def remove(path):
    return lambda folder: (folder / path).unlink()


def write(path, text):
    return lambda folder: (folder / path).write_text(text)


def without(*keys):
    scores = json.loads(json.dumps(SCORES))
    inner = scores
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return json.dumps(scores)


BAD = {
    "no scores": (remove("scores.json"), "scores.json: no such file"),
    "scores not JSON": (write("scores.json", "{"), "scores.json: not what"),
    "scores a list": (write("scores.json", "[]"), "scores.json: not what"),
    "no protocol": (write("scores.json", without("protocol")), "scores.json: not what"),
    "no enhanced": (write("scores.json", without("enhanced")), "scores.json: not what"),
    "no SSIM": (write("scores.json", without("input", "ssim")), "scores.json: not what"),
    "PSNR a word": (
        write("scores.json", json.dumps(SCORES | {"enhanced": {"psnr": "high"}})),
        "scores.json: not what",
    ),
    "no config": (remove("model/config.json"), "config.json: no such file"),
    "no metrics": (remove("model/metrics.jsonl"), "metrics.jsonl: no metrics yet"),
    "no validation yet": (
        write("model/metrics.jsonl", json.dumps(METRICS[0]) + "\n"),
        "metrics.jsonl: no metrics yet",
    ),
    "metrics of another form": (
        write("model/metrics.jsonl", json.dumps(METRICS[0]) + '\n{"step": 2}\n'),
        "metrics.jsonl, line 2: not metrics",
    ),
    "metric a word": (
        write("model/metrics.jsonl", '{"step": 2, "group": "train", "mse": "low"}\n'),
        "metrics.jsonl, line 1: not metrics",
    ),
    "no sample": (
        lambda folder: [path.unlink() for path in (folder / "model/samples").iterdir()],
        "samples/00000040.png: no such picture",
    ),
    "sample damaged": (write("model/samples/00000040.png", "no"), "00000040.png: not a picture"),
    "no photograph": (remove("before/0.png"), "before: holds no pictures"),
    "photograph damaged": (write("after/0.png", "no"), "0.png: not a picture"),
    "no counterpart": (
        lambda folder: write_png(folder / "before/1.png", smooth(0, 9, 9)),
        "--after=.* 1 pictures of the other folders are missing here \\(1\\)",
    ),
    "sizes differ": (
        lambda folder: write_png(folder / "after/0.png", smooth(0, 9, 9)),
        r"before/0.png \(48, 64\) and .*after/0.png \(9, 9\) differ in size",
    ),
    "folder missing": (
        lambda folder: (folder / "after").rename(folder / "elsewhere"),
        "--after=.*after: no such file or folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(run, case):
    spoil, message = BAD[case]
    spoil(run.folder)
    with pytest.raises(InputError, match=message) as raised:
        run()
    assert len(str(raised.value).splitlines()) == 1
    assert not list(run.folder.glob("report.html*"))


def test_line_cut_off_by_a_kill_is_skipped(run):
    path = run.folder / "model/metrics.jsonl"
    before = read_metrics(path)
    path.write_text(path.read_text() + '{"step": 50, "gro')
    assert read_metrics(path) == before


def test_command_line(run):
    names = {"workdir": "model", "scores": "no.json", "before": "before", "after": "after"}
    arguments = [f"--{flag}={run.folder / name}" for flag, name in names.items()]
    command = [sys.executable, "-m", "dped_jax.report", *arguments, "--output=report.html"]
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --scores=")
    assert len(done.stderr.splitlines()) == 1
