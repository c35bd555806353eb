"""Tables of networks that are trained for the same time, with what they cost."""

import csv
import json
import pathlib
import shutil
import time

import cv2
import matplotlib.axes
import numpy as np
import pytest
import tiny

from configs import networks, table2
from dped_jax import check_config, checkpoint
from dped_jax.base.errors import InputError
from dped_jax.experiments import costs, methods, table, training
from dped_jax.experiments.multiply_adds import macs_per_pixel
from dped_jax.models.generator import make_generator

COLUMNS = ("macs_per_pixel", "parameters", "minutes", "seconds")


def frame(data_dir, folder):
    """Two trained networks, a given one and a folder of pictures, trained for 0.1 minutes."""
    config = table2.frame("Networks", split="test", step="newest")
    config.phones, config.data_dir, config.seeds = ("custom",), str(data_dir), (0, 1)
    config.minutes, config.costs, config.num_pictures = 0.1, COLUMNS, 1
    for name, width in (("narrow", 4), ("wide", 6)):
        model = tiny.tiny_config(data_dir)
        model.loss.texture = 0.0
        model.generator.width = width
        model.train.schedule = "cosine"
        model.train.warmup_steps = model.train.get_ref("num_steps") // 3
        config.methods[name] = table2.method(name.title(), model)
    tiny.write_model(folder / "given", *tiny.random_generator())
    config.methods.given = table2.method("Given", workdir=str(folder / "given"))
    config.methods.absent = table2.method("Absent", enhanced_dir="nowhere")
    config.rows = ("narrow", "wide", "given", "absent")
    return config


@pytest.fixture(scope="module")
def made(tiny_data, tmp_path_factory):
    """(config, where its table is, widths whose speed was measured).

    Stands for this machine: narrow networks make twice the steps.
    """
    folder, asked = tmp_path_factory.mktemp("costs"), []

    def steps_per_second(model):
        asked.append(model.generator.width)
        return {4: 2.0, 6: 1.0}[asked[-1]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "PHOTO", (30, 40))
        patch.setattr(training, "steps_per_second", steps_per_second)
        config = frame(tiny_data, folder)
        table.make_table(config, folder / "out")
    return config, folder / "out", asked


def test_equal_times_are_steps_by_speed_and_measured_once(made, tmp_path, monkeypatch):
    config, original, speeds = made
    out = shutil.copytree(original, tmp_path / "out")
    assert speeds == [4, 6]
    for name, steps in (("narrow", 12), ("wide", 6)):  # of 6 seconds
        for seed in (0, 1):
            workdir = out / f"models/{name}_custom_{seed}"
            assert checkpoint.list_steps(workdir)[-1] == steps
            assert checkpoint.read_config(workdir).train.warmup_steps == steps // 3
    written = {path: path.stat().st_mtime_ns for path in out.glob("models/*/metrics.jsonl")}
    assert len(written) == 4
    for module, name in ((costs, "photo_seconds"), (training, "steps_per_second")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("measured again"))
    table.make_table(config, out)
    assert written == {path: path.stat().st_mtime_ns for path in out.glob("models/*/metrics.jsonl")}
    config = config.copy_and_resolve_references()
    config.minutes = 0.2
    with pytest.raises(InputError, match=r"with another configuration: train\.num_steps"):
        table.make_table(config, out)


def test_costs_are_those_of_the_models(made):
    config, out, _ = made
    found = json.loads((out / "results.json").read_text())["phones"]["custom"]["methods"]
    kept = json.loads((out / "measured.json").read_text())["seconds for 12 MP"]
    for name, workdir in (
        ("narrow", out / "models/narrow_custom_0"),
        ("wide", out / "models/wide_custom_1"),
        ("given", config.methods.given.workdir),
    ):
        network = make_generator(checkpoint.read_config(pathlib.Path(workdir)))
        assert found[name]["macs_per_pixel"] == macs_per_pixel(network)
        width = network.width  # two convs of 9 and four of 3 pixels, biases, a norm's scale, shift
        norms = 4 * width if name != "given" else 4 * width + 2 * width  # biases before instance
        assert found[name]["parameters"] == (
            2 * 81 * 3 * width + 4 * 9 * width**2 + 3 * width + 3 + norms
        )
        assert found[name]["seconds"] == kept[name] > 0
    assert found["given"]["minutes"] is None
    assert 0 < found["narrow"]["minutes"] < 10
    assert "parameters" not in found["absent"]

    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert [row["method"] for row in rows if row["seconds"]] == ["narrow", "narrow", "wide", "wide",
                                                                "given"]  # fmt: skip
    assert [row["minutes"] for row in rows if row["method"] == "given"] == [""]
    page = (out / "report.html").read_text()
    assert '<th scope="colgroup" colspan="4">cost</th>' in page
    assert f"<td>{found['wide']['parameters']:,.0f}</td>" in page
    assert "custom: quality against cost" in page
    assert cv2.imread(str(out / "custom/quality.png")).std() > 10


def test_a_training_takes_the_sum_of_what_it_logged(tmp_path, tiny_config):
    assert costs.training_minutes(tmp_path) is None
    checkpoint.write_config(tmp_path, tiny_config)  # 4 pairs a step
    lines = [
        {"step": 10, "group": "train", "patches_per_second": 2.0},  # 20 s
        {"step": 10, "group": "validation", "psnr": 20.0},
        {"step": 30, "group": "train", "patches_per_second": 8.0},  # 10 s
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert costs.training_minutes(tmp_path) == pytest.approx(0.5)


def test_the_speed_is_that_of_most_steps(tiny_config, monkeypatch):
    seconds = iter([0.5, 0.5, *[0.02] * 7, 0.5, *[0.02] * 1000])  # compiling, and a stall

    def steps(state, inputs, vgg_params, held):
        assert inputs["phone"].shape == (4, 1, 1, 100, 100, 3)  # devices, steps, pairs
        time.sleep(next(seconds))
        return state, {}

    monkeypatch.setattr(training, "map_steps", lambda *_: steps)
    assert 5 < training.steps_per_second(tiny_config, 0.7) <= 50


def test_scores_and_costs_are_where_they_are_drawn(monkeypatch):
    drawn = []
    errorbar = matplotlib.axes.Axes.errorbar

    def recording(axes, x, y, yerr, **kwargs):
        drawn.append((x, list(y), np.transpose(yerr).tolist(), kwargs["label"]))
        return errorbar(axes, x, y, yerr, **kwargs)

    monkeypatch.setattr(matplotlib.axes.Axes, "errorbar", recording)
    runs = [{"macs_per_pixel": 900.0, "psnr": p, "ms_ssim": p / 40} for p in (20.0, 21.0, 25.0)]
    rows = {
        "Net": {"trained": True, "runs": runs},
        "Given": {"trained": False, "runs": [runs[0] | {"macs_per_pixel": 10.0}]},
        "Identity": {"trained": False, "runs": [runs[0] | {"macs_per_pixel": 0.0}]},
        "Folder": {"trained": False, "runs": [{"psnr": 1.0}]},
        "Absent": {"trained": True, "runs": []},
    }
    costs.draw("Title", rows)
    assert drawn[0] == ([900.0], [22.0], [[2.0, 3.0]], "trained here")
    assert drawn[1] == ([10.0], [20.0], [[0.0, 0.0]], "given")
    assert [entry[0] for entry in drawn[2:]] == [[900.0], [10.0]]
    assert costs.draw("Title", {"Absent": rows["Absent"]}) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minutes": -1.0}, r"config\.minutes=-1\.0: use a number of at least 0"),
        ({"costs": ("weight",)}, r"config\.costs=.*: give at least 0, as a tuple: use macs_per_"),
    ],
)
def test_bad_config(tiny_data, tmp_path, fields, message):
    config = frame(tiny_data, tmp_path)
    config.update(fields)
    with pytest.raises(InputError, match=message):
        table.make_table(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_networks_are_trained_alike():
    config = networks.get_config()
    methods.check(config)
    trained = [config.methods[name] for name in config.rows if config.methods[name].model]
    assert [method.title for method in trained[-3:]] == [f"U-Net, width {w}" for w in (8, 12, 16)]
    assert len(trained) == 8
    for method in trained:
        method.model.train.num_steps = 90
        check_config.check(method.model)
        assert method.model.loss == trained[0].model.loss
        train = method.model.train
        assert (train.warmup_steps, train.eval_every_steps) == (3, 90)
        assert train.checkpoint_every_steps == 10
    expected = {"paper": 399_744, "small": 70_848, "srcnn": 69_152, "teacher": 21_504,
                "student": 2_624}  # fmt: skip
    for name, cost in expected.items():
        assert macs_per_pixel(make_generator(config.methods[name].model)) == cost
    given = [pathlib.Path(config.methods[name].workdir).name for name in config.rows[:5]]
    assert given == ["iphone_orig", "dped_resnet_8_32", "dped_srcnn", "ppcn_teacher",
                     "ppcn_student"]  # fmt: skip
