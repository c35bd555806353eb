"""Photographs beside what methods make of them: gaps are said, sizes may differ."""

import json
import pathlib

import browser as chromium
import cv2
import numpy as np
import pytest
import tiny

from dped_jax.base import pictures, writing
from dped_jax.base.errors import InputError
from dped_jax.base.pictures import Picture
from dped_jax.enhance.photo_enhancer import PhotoEnhancer
from dped_jax.enhance.worker import parse_crop
from dped_jax.experiments import photographs
from dped_jax.pixels import to_integers


def smooth(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    corners = np.random.default_rng(seed).uniform(0, 255, (3, 3, 3)).astype(np.float32)
    return np.uint8(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))


def write(path: pathlib.Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.write(path, Picture(pixels))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A model; photographs 1, 2, 10; another program's 1 and 10; the DSLR's 1, and 10 larger."""
    folder = tmp_path_factory.mktemp("inputs")
    tiny.write_model(folder / "model", *tiny.random_generator())
    write(folder / "photos" / "1.png", smooth(1))
    write(folder / "photos" / "2.png", np.uint16(smooth(2, 60, 40)) * 257)
    write(folder / "photos" / "10.jpg", smooth(3))
    write(folder / "other" / "1.png", smooth(4))
    write(folder / "other" / "10.png", smooth(5, 24, 32))
    write(folder / "other" / "z.png", smooth(6))
    write(folder / "dslr" / "1.png", smooth(7))
    write(folder / "dslr" / "10.png", smooth(8, 200, 300))
    return folder


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory):
    """The output folder of the command."""
    out = tmp_path_factory.mktemp("out") / "figures"
    result = tiny.command(
        "dped_jax.experiments.photographs",
        f"--photos_dir={inputs}/photos",
        f"--methods=Ours={inputs}/model,Some <other> program={inputs}/other",
        f"--dslr_dir={inputs}/dslr",
        f"--output_dir={out}",
    )
    assert result.returncode == 0, result.stderr
    assert "Some <other> program: no picture of 2" in result.stdout
    return out


def test_a_workdir_enhances_every_photograph(run, inputs):
    enhancer = PhotoEnhancer(*tiny.random_generator())
    for name, suffix in (("1", ".png"), ("2", ".png"), ("10", ".jpg")):
        before = pictures.read(inputs / "photos" / f"{name}{suffix}").pixels
        after = pictures.read(run / "Ours" / f"{name}.png").pixels
        assert after.dtype == before.dtype
        expected = to_integers(enhancer(before), before.dtype.type)
        assert np.abs(after.astype(int) - expected).max() <= 1


def test_what_is_missing_is_said(run):
    results = json.loads((run / "results.json").read_text())
    assert results["photographs"] == ["1", "2", "10"]
    assert results["missing"] == [
        "Some <other> program: no picture of 2",
        "Some <other> program: pictures of no photograph, left out: z",
        "DSLR: no picture of 2",
    ]
    page = (run / "report.html").read_text()
    assert "Pictures are missing or left out: the end of this page lists them." in page
    assert page.count("Some &lt;other&gt; program: no picture of this photograph.") == 1
    assert page.count("DSLR: no picture of this photograph.") == 1
    assert results["methods"]["Ours"]["step"] == 0
    assert results["methods"]["Some <other> program"]["step"] is None


def test_pictures_of_equal_size_are_compared_others_shown(run):
    page = (run / "report.html").read_text()
    sliders = [
        f"{stem}, {name}: percentage shown as input"
        for stem, names in (
            ("1", ("Ours", "Some &lt;other&gt; program", "DSLR")),
            ("2", ("Ours",)),
            ("10", ("Ours",)),
        )
        for name in names
    ]
    assert page.count('type="range"') == len(sliders)
    for slider in sliders:
        assert f'aria-label="{slider}"' in page
    for name, size in (("Some &lt;other&gt; program", "32x24"), ("DSLR", "300x200")):
        assert f"10, {name}: of another size ({size}), shown by itself" in page


def test_scores_are_of_equal_sizes_only(run):
    scores = json.loads((run / "results.json").read_text())["scores"]
    assert (scores["2"], scores["10"]) == ({}, {})
    assert set(scores["1"]) == {"input", "Ours", "Some <other> program"}
    for name, pixels in (("input", smooth(1)), ("Some <other> program", smooth(4))):
        mse = np.mean((pixels / 255 - smooth(7) / 255) ** 2)
        assert scores["1"][name]["psnr"] == pytest.approx(-10 * np.log10(mse), abs=1e-3)
        assert f"<td>{scores['1'][name]['psnr']:.2f}</td>" in (run / "report.html").read_text()


def test_contact_sheet_has_all_columns(run):
    sheet = cv2.imread(str(run / "contact_sheet.png"), cv2.IMREAD_COLOR_RGB)
    grey = (sheet == 232).all(-1).sum()
    assert 2 * 60 * 64 * 0.7 < grey < 60 * (64 + 300)  # two gaps with text in them
    for pixels in (smooth(1), smooth(4), smooth(7), smooth(5, 24, 32)):
        height, width = pixels.shape[:2]
        assert any(
            np.array_equal(sheet[y : y + height, x : x + width], pixels)
            for y, x in np.argwhere((sheet == pixels[0, 0]).all(-1))
        )


def test_page_in_a_browser(run, browser):
    assert chromium.page_problems(browser, run / "report.html") == []


def test_crops_are_cut_after_enhancing(inputs):
    paths = {
        "input": inputs / "photos" / "1.png",
        "other": inputs / "other" / "1.png",
        "none": None,
    }
    paths["small"] = inputs / "other" / "10.png"
    shown = photographs.read_pictures(paths, parse_crop("20x10+5+7"))
    np.testing.assert_array_equal(shown["input"], smooth(1)[7:17, 5:25])
    np.testing.assert_array_equal(shown["other"], smooth(4)[7:17, 5:25])
    np.testing.assert_array_equal(shown["small"], smooth(5, 24, 32))
    assert shown["none"] is None


def test_identical_pictures_have_no_psnr():
    shown = {"input": smooth(1), "copy": smooth(7), "DSLR": smooth(7)}
    scores = photographs.score(shown)
    assert scores["copy"] == {"psnr": None, "ms_ssim": pytest.approx(1), "ssim": pytest.approx(1)}
    assert photographs.score_table(scores)[2] == ["copy", "identical", "1.0000", "1.0000"]
    assert photographs.score({"input": smooth(1), "copy": smooth(1)}) == {}


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], "is empty"),
        (["model"], "'model': write NAME=WORKDIR"),
        (["=model"], "'=model': write NAME=WORKDIR"),
        (["Ours="], "'Ours=': write NAME=WORKDIR"),
        (["../x={}/model"], "name '../x' is taken or names no folder"),
        (["input={}/model"], "name 'input' is taken"),
        (["a={}/model", "a={}/other"], "name 'a' is taken"),
        (["a={}/nothing"], "--methods=a=.*nothing: no such folder"),
    ],
)
def test_methods_that_cannot_be_are_refused(inputs, listed, message):
    with pytest.raises(InputError, match=message):
        photographs.parse_methods([entry.format(inputs) for entry in listed])


def test_a_folder_of_other_names_is_refused():
    photos, pictures = ({name: pathlib.Path(name)} for name in ("a", "a_enhanced"))
    with pytest.raises(InputError, match=r"--methods: APE holds none .*\(as a, where it has a_enh"):
        photographs.unmatched("APE", photos, pictures)


def test_a_damaged_photograph_is_one_error(inputs, tmp_path):
    write(tmp_path / "photos" / "a.png", smooth(1))
    whole = (inputs / "photos" / "10.jpg").read_bytes()
    (tmp_path / "photos" / "b.jpg").write_bytes(whole[: len(whole) // 2])
    result = tiny.command(
        "dped_jax.experiments.photographs",
        f"--photos_dir={tmp_path}/photos",
        f"--methods=Ours={inputs}/model",
        f"--output_dir={tmp_path}/out",
    )
    tiny.assert_one_line_error(result, "b.jpg", "damaged or cut short")
    assert not list((tmp_path / "out").glob("*.*"))
