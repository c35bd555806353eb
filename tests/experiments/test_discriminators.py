"""Discriminators of one and two images: accuracies are right, and come with their steps."""

import csv
import json

import browser as chromium
import jax
import numpy as np
import pytest
import tiny

from configs import discriminators as config_file
from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.experiments import discriminators
from dped_jax.models.discriminator import make_discriminator, to_grayscale
from dped_jax.train.validation import make_discriminator_eval_step

STEPS = 200


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """Phone patches are darker here, which every discriminator can learn."""
    output_dir = tmp_path_factory.mktemp("run")
    config = config_file.get_config()
    config.data_dir, config.phone, config.batch_size = str(tiny_data), "custom", 4
    config.learning_rate, config.eval_every_steps = 2e-3, 50
    for entry in config.models.values():
        entry.model.discriminator.width = 1 / 16
        entry.model.train.num_steps = STEPS
    config.models.single_channel.model.train.num_steps = 50
    discriminators.run(config, output_dir)
    return config, output_dir


def test_learns_what_can_be_learnt(run):
    _, output_dir = run
    results = json.loads((output_dir / "results.json").read_text())
    assert list(results["models"]) == ["bi_channel", "counterpart", "single_channel"]
    for model in results["models"].values():
        assert model["final_accuracy"] == model["held_out"][-1][1]
        assert model["best_accuracy"] == max(value for _, value in model["held_out"])
    for name in ("bi_channel", "counterpart"):
        assert [step for step, _ in results["models"][name]["held_out"]] == [50, 100, 150, 200]
        assert results["models"][name]["train"][-1][1] > 0.85
    bi_channel = results["models"]["bi_channel"]
    assert bi_channel["best_accuracy"] >= 5 / 6  # of one image, running means lag behind here
    assert bi_channel["published"] == [0.99, 300]
    reached = [step for step, value in bi_channel["held_out"] if value >= 0.99]
    assert bi_channel["reaches_published_at_step"] == (reached[0] if reached else None)
    rows = list(csv.DictReader((output_dir / "accuracies.csv").read_text().splitlines()))
    held_out = [r for r in rows if (r["model"], r["patches"]) == ("bi_channel", "held_out")]
    assert [[int(r["step"]), float(r["accuracy"])] for r in held_out] == bi_channel["held_out"]


def test_the_phone_patches_stay_as_they_are(run):
    _, output_dir = run
    _, variables, step = checkpoint.load_generator(output_dir / "models/bi_channel", "newest")
    assert step == STEPS
    (array,) = jax.tree.leaves(variables)
    np.testing.assert_array_equal(array, [1.0])


def test_page(run, browser):
    file = run[1] / "report.html"
    assert chromium.page_problems(browser, file) == []
    with chromium.opened(browser, file.as_uri()) as page:
        row = page.locator("tr", has_text="two images at once").inner_text()
        assert "99% after 300 steps" in row
        alts = [chart.get_attribute("alt") for chart in page.locator(".charts img").all()]
        assert [alt.partition(":")[0] for alt in alts] == ["Held-out patches", "Training batches"]
        assert all("two images at once" in alt for alt in alts)


def test_same_command_trains_no_more(run):
    config, output_dir = run
    metrics = output_dir / "models/bi_channel/metrics.jsonl"
    before = metrics.stat().st_mtime_ns
    discriminators.run(config, output_dir)
    assert metrics.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("architecture", "crop"), [("bi_channel", 0), ("counterpart", 0), ("single_channel", 50)]
)
def test_accuracy_asks_with_both_labels(architecture, crop, real_pairs):
    """Of whole patches, or of the middle where a training takes crops."""
    config = tiny.tiny_config("nowhere")
    config.data.crop = crop
    config.discriminator.architecture, config.discriminator.width = architecture, 1 / 16
    network = make_discriminator(config)
    phone, dslr = (np.float32(images) / 255 for images in real_pairs)
    middle = slice(25, 75) if crop else slice(None)
    gray = [np.asarray(to_grayscale(images[:, middle, middle])) for images in (phone, dslr)]
    shown = [gray[1], gray[0]]
    if architecture == "bi_channel":
        shown = [np.concatenate([gray[1], gray[0]], -1), np.concatenate(gray, -1)]
    variables = network.init(jax.random.PRNGKey(3), shown[0])
    dslr_first, phone_first = (np.asarray(network.apply(variables, x)) for x in shown)
    expected = ((dslr_first > 0).astype(float) + (phone_first <= 0)) / 2
    step = make_discriminator_eval_step(config)
    np.testing.assert_array_equal(step(variables, phone, dslr), expected)
    assert set(expected) <= {0, 0.5, 1}


def test_bad_input_leaves_nothing(tmp_path):
    done = tiny.command(
        "dped_jax.experiments.discriminators",
        f"--output_dir={tmp_path}/out",
        "--config.data_dir=nowhere",
        "--config.batch_size=4",
    )
    tiny.assert_one_line_error(done, "no dataset in nowhere")
    assert not (tmp_path / "out").exists()


def test_other_settings_need_another_folder(run):
    config, output_dir = run
    config = config.copy_and_resolve_references()
    config.models.bi_channel.model.train.learning_rate = 1e-4
    with pytest.raises(InputError, match=r"train\.learning_rate"):
        discriminators.run(config, output_dir)


def test_reaches():
    assert discriminators.reaches([(1, 0.5), (2, 0.9), (3, 0.8), (4, 1.0)], 0.9) == 2
    assert discriminators.reaches([(1, 0.5)], 0.9) is None
