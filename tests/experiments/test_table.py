"""Tables: every cell is what evaluate says of its model; what is not there is a dash."""

import csv
import json

import browser as chromium
import cv2
import numpy as np
import pytest
import tiny

from configs import table2, table3, table3_small
from dped_jax import input_pipeline
from dped_jax.base.errors import InputError
from dped_jax.convert import generators
from dped_jax.evaluate import perceptual
from dped_jax.evaluate.scores import score_workdir
from dped_jax.experiments import table
from dped_jax.train import saved_state

STEPS = 4


@pytest.fixture
def config(tiny_data, tiny_config):
    """A table of a trained method on the tiny dataset."""
    config = table2.frame("A <table>", split="test", step="newest")
    config.phones = ("custom",)
    config.data_dir = str(tiny_data)
    config.num_pictures = 2
    tiny_config.loss.texture = 0.0  # programs without a discriminator compile in a third of it
    config.methods.net = table2.method("Net", tiny_config, published={"iphone": (20.0, 0.9)})
    config.rows = ("net",)
    return config


def read(output_dir):
    return json.loads((output_dir / "results.json").read_text())


def write_split(config, folder, split="test", change=lambda dslr: dslr):
    """Writes a picture for each record of a split, made from the DSLR's."""
    folder.mkdir(parents=True)
    source = input_pipeline.open_split(config.data_dir, "custom", split)
    pairs = input_pipeline.load_pairs(source, range(len(source)))
    for record, dslr in zip(source, pairs["dslr"], strict=True):
        name = record["name"].decode()
        assert cv2.imwrite(str(folder / f"{name}.png"), change(dslr)[..., ::-1])


def test_cells_are_what_evaluate_says(config, tmp_path):
    write_split(config, tmp_path / "other/custom", change=lambda x: x ^ 8)
    config.methods.other = table2.method("Other", enhanced_dir=f"{tmp_path}/other/{{phone}}")
    config.methods.absent = table2.method("Absent", enhanced_dir=f"{tmp_path}/absent/{{phone}}")
    config.methods.once = table2.method("Once", config.methods.net.model)
    config.methods.once.seeds = (1,)
    config.rows = ("absent", "net", "other", "once")
    config.seeds = (0, 1)
    table.make_table(config, tmp_path / "out")
    found = read(tmp_path / "out")["phones"]["custom"]
    assert found["images"] == 3

    workdirs = [tmp_path / f"out/models/net_custom_{seed}" for seed in (0, 1)]
    psnrs = []
    for workdir in workdirs:
        source = input_pipeline.open_split(config.data_dir, "custom", "test")
        batches = input_pipeline.eval_batches(source, 2)
        scores, _ = score_workdir(workdir, batches, "newest")
        psnrs.append(scores["enhanced"]["psnr"])
        assert found["input"] == pytest.approx(scores["input"])
    net = found["methods"]["net"]
    assert [run["psnr"] for run in net["runs"]] == pytest.approx(psnrs)
    assert net["psnr"] == pytest.approx(np.mean(psnrs))
    assert net["range"]["psnr"] == pytest.approx(abs(psnrs[0] - psnrs[1]))
    assert psnrs[0] != psnrs[1]
    assert [run["seed"] for run in found["methods"]["once"]["runs"]] == [1]
    assert found["methods"]["once"]["psnr"] == pytest.approx(psnrs[1])
    other = found["methods"]["other"]
    assert other["psnr"] == pytest.approx(20 * np.log10(255 / 8))
    assert "range" not in other
    assert found["methods"]["absent"].keys() == {"note", "runs", "trained"}
    assert found["methods"]["absent"]["runs"] == []

    rows = list(csv.DictReader((tmp_path / "out/scores.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["input", "absent", "net", "net", "other", "once"]
    assert [row["psnr"] for row in rows][1] == ""
    assert float(rows[4]["psnr"]) == pytest.approx(other["psnr"])


def test_page_has_dashes_and_footnotes_and_sliders(config, tmp_path, browser):
    config.methods.absent = table2.method("Absent", enhanced_dir="nowhere")
    config.rows = ("absent", "net")
    table.make_table(config, tmp_path)
    assert chromium.page_problems(browser, tmp_path / "report.html") == []
    with chromium.opened(browser, (tmp_path / "report.html").as_uri()) as page:
        cells = page.locator("tr:has-text('Absent') td").all_inner_texts()
        assert cells == ["\N{EN DASH} (1)"] * 3
        footnote = page.locator("#note1").inner_text()
        assert footnote.startswith("Absent, custom: config.methods.absent.enhanced_dir: no")
        assert page.locator("h1").inner_text() == "A <table>"
        assert "20.00" in page.locator("table").nth(1).inner_text()
        assert page.locator("input[type=range]").count() >= 2
    psnr = read(tmp_path)["phones"]["custom"]["methods"]["net"]["psnr"]
    assert f"<td>{psnr:.2f}</td>" in (tmp_path / "report.html").read_text()
    assert cv2.imread(str(tmp_path / "custom/worst.png")) is not None


def test_interrupted_table_goes_on(config, tiny_config, tmp_path, monkeypatch):
    config.methods.second = table2.method("Second", tiny_config.copy_and_resolve_references())
    config.methods.second.model.loss.tv = 50.0
    config.rows = ("net", "second")
    table.make_table(config, tmp_path / "whole")

    save, saved = saved_state.save_state, []

    def stopping(*args):
        save(*args)
        saved.append(args)
        if len(saved) == STEPS + 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(saved_state, "save_state", stopping)
    with pytest.raises(KeyboardInterrupt):
        table.make_table(config, tmp_path / "stopped")
    monkeypatch.setattr(saved_state, "save_state", save)
    assert not (tmp_path / "stopped/results.json").exists()
    first = tmp_path / "stopped/models/net_custom_0/metrics.jsonl"
    written = first.stat().st_mtime_ns
    table.make_table(config, tmp_path / "stopped")
    assert first.stat().st_mtime_ns == written
    for name in config.rows:
        whole, resumed = (
            tiny.logged(tmp_path / run / f"models/{name}_custom_0") for run in ("whole", "stopped")
        )
        assert whole == resumed
    whole, resumed = (read(tmp_path / run)["phones"]["custom"] for run in ("whole", "stopped"))
    for name in config.rows:
        assert whole["methods"][name]["psnr"] == resumed["methods"][name]["psnr"]


def test_failures_are_said_after_everything_else_is_written(config, tiny_config, tmp_path):
    config.methods.wild = table2.method("Wild", tiny_config.copy_and_resolve_references())
    config.methods.wild.model.train.learning_rate = 1e38
    write_split(config, tmp_path / "some")
    (tmp_path / "some/18.png").unlink()
    config.methods.some = table2.method("Some", enhanced_dir=f"{tmp_path}/some")
    config.rows = ("wild", "some", "net")
    with pytest.raises(InputError, match=r"2 of 3 results are missing.*not finite"):
        table.make_table(config, tmp_path / "out")
    methods = read(tmp_path / "out")["phones"]["custom"]["methods"]
    assert "not finite" in methods["wild"]["note"]
    assert methods["some"]["missing"] == ["18"]
    assert "18" in methods["some"]["note"]
    assert methods["net"]["psnr"] > 0


def test_model_trained_on_what_is_scored_is_refused(config, tmp_path):
    tiny.write_pairs(tmp_path / "pairs", 20)
    done = tiny.command(
        "data_builders.dped.build",
        f"--phone_dir={tmp_path}/pairs/phone",
        f"--dslr_dir={tmp_path}/pairs/dslr",
        "--phone=custom",
        "--test_pairs=8",  # of which 5 are training pairs of the other dataset
        "--validation_pairs=1",
        f"--data_dir={tmp_path}/tfds",
    )
    assert done.returncode == 0, done.stderr
    table.make_table(config, tmp_path / "own")
    config.data_dir = str(tmp_path / "tfds")
    config.methods.net.workdir = str(tmp_path / "own/models/net_custom_0")
    with pytest.raises(InputError, match="1 of 1 results are missing"):
        table.make_table(config, tmp_path / "out")
    assert "trained" in read(tmp_path / "out")["phones"]["custom"]["methods"]["net"]["note"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": ("nobody",)}, "config.rows=.*nobody.*there are net"),
        ({"data_dir": "nowhere"}, "1 of 1 results are missing.*no dataset in nowhere"),
        ({"split": "future"}, "config.split='future': use train or"),
        ({"phone_dir": "{phones}/a"}, "write only {phone}"),
        ({"phone_dir": "nowhere", "dslr_dir": "there"}, "nowhere: no such folder"),
    ],
)
def test_bad_config(config, tmp_path, fields, message):
    config.update(fields)
    with pytest.raises(InputError, match=message):
        table.make_table(config, tmp_path)


def test_released_models_give_the_known_scores(shared_data, tmp_path):
    """Rows from folders and converted workdirs, on all 300 real pairs."""
    config = table2.get_config()
    with config.unlocked():
        config.phones, config.rows = ("iphone",), ("dong", "ours")
        config.phone_dir = f"{shared_data}/dped_{{phone}}/{{phone}}"
        config.dslr_dir = f"{shared_data}/dped_{{phone}}/canon"
    names = {"dong": "dped_srcnn", "ours": "dped_resnet_8_32"}
    for method, name in names.items():
        variables = generators.read_tensorflow_checkpoint(
            str(shared_data / "released_models" / name)
        )
        model, params = generators.convert_generator(variables)
        tiny.write_model(tmp_path / name, model, {"params": params, "batch_stats": {}})
        config.methods[method].workdir = str(tmp_path / name)
    table.make_table(config, tmp_path / "out")
    found = read(tmp_path / "out")["phones"]["iphone"]
    golden = json.loads((shared_data / "golden/scores_first300.json").read_text())
    rows = {"identity": found["input"]}
    rows |= {name: found["methods"][method]["runs"][0] for method, name in names.items()}
    for name, row in rows.items():
        assert row["psnr"] == pytest.approx(golden[name]["psnr_mean_finite"], abs=1e-3)
        assert row["ms_ssim"] == pytest.approx(golden[name]["ms_ssim_mean"], abs=1e-4)
        assert row["ssim"] == pytest.approx(golden[name]["ssim_mean"], abs=1e-4)
        assert row["identical_pairs"] == golden[name]["identical_pairs"]


def test_perceptual_scores_are_columns(config, tmp_path, monkeypatch):
    config.perceptual = ("lpips",)
    with pytest.raises(InputError, match="--lpips_weights"):
        table.make_table(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    write_split(config, tmp_path / "other", change=lambda x: x ^ 8)
    config.methods.net = table2.method("Other", enhanced_dir=f"{tmp_path}/other")
    mean = {"lpips": lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).mean((1, 2, 3))}
    monkeypatch.setattr(perceptual, "make_measures", lambda *_: mean)
    table.make_table(config, tmp_path)
    assert read(tmp_path)["phones"]["custom"]["methods"]["net"]["lpips"] == pytest.approx(8 / 255)
    assert f"<td>{8 / 255:.4f}</td>" in (tmp_path / "report.html").read_text()
    assert "psnr,ms_ssim,ssim,lpips,identical_pairs" in (tmp_path / "scores.csv").read_text()


def test_losses_of_table_3():
    terms = ("color", "content", "texture", "tv", "mse")
    for config in (table3.get_config(), table3_small.get_config()):
        weights = {
            config.methods[name].title: tuple(config.methods[name].model.loss[t] for t in terms)
            for name in config.rows[-4:]
        }
        assert weights == {
            "Color + content + texture": (1, 0.1, 1, 100, 0),
            "Content + texture": (0, 0.1, 1, 100, 0),
            "MSE + texture": (0, 0, 1, 100, 30_000),
            "MSE": (0, 0, 0, 0, 1),
        }
