"""Scores of models, folders and other programs' pictures; and bad input."""

import csv
import io
import json
import os

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tqdm import tqdm

from dped_jax import checkpoint, metrics
from dped_jax.base.errors import InputError
from dped_jax.evaluate import batches, protocols
from dped_jax.evaluate.batches import folder_batches
from dped_jax.evaluate.scores import DPED_BATCH_SIZE, format_summary, score_batches, summarize
from dped_jax.train.loop import train


def write_folders(root, num=5, size=(40, 48), **differing):
    """Folders of PNGs by flag name, like random pictures."""
    folders = {}
    for k, name in enumerate(("phone_dir", "dslr_dir", "enhanced_dir")):
        folders[name] = root / name
        folders[name].mkdir(parents=True)
        for i in range(num):
            rng = np.random.default_rng(10 * k + i)
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            cv2.imwrite(str(folders[name] / f"{i}.png"), cv2.blur(image, (5, 5)))
    return folders


def test_scores_do_not_depend_on_the_batch_size(tmp_path):
    folders = write_folders(tmp_path)
    results = [score_batches(None, folder_batches(folders, size)) for size in (2, 5)]
    assert results[0].keys() == {"input", "enhanced"}
    for name in results[0]:
        for metric in ("psnr", "ms_ssim", "ssim"):
            assert len(results[0][name][metric]) == 5
            np.testing.assert_allclose(
                results[0][name][metric], results[1][name][metric], rtol=1e-5
            )


def test_pictures_of_many_sizes_are_each_scored_by_themselves(tmp_path):
    folders = write_folders(tmp_path)
    for folder in folders.values():
        for i, size in ((1, 40), (3, 33)):
            path = folder / f"{i}.png"
            cv2.imwrite(str(path), cv2.imread(str(path))[:size, :size])
    scores = score_batches(None, folder_batches(folders, 4))["enhanced"]
    for i in range(5):
        a, b = (
            jnp.float32(cv2.imread(str(folders[name] / f"{i}.png")))[None, ..., ::-1] / 255
            for name in ("enhanced_dir", "dslr_dir")
        )
        assert scores["psnr"][i] == pytest.approx(float(metrics.psnr(a, b)[0]), rel=1e-5)


def test_identical_pairs_are_counted_apart(tmp_path):
    folders = write_folders(tmp_path)
    picture = (folders["dslr_dir"] / "2.png").read_bytes()
    (folders["phone_dir"] / "2.png").write_bytes(picture)
    scores = score_batches(None, folder_batches(folders, 5))
    summary = summarize(scores["input"])
    assert summary["identical_pairs"] == 1
    finite = np.delete(scores["input"]["psnr"], 2)
    assert summary["psnr"] == pytest.approx(finite.mean())
    assert summarize(scores["enhanced"])["identical_pairs"] == 0
    assert "1 identical" in format_summary("input", summary)


def test_protocol_dped_scores_full_batches(tmp_path):
    folders = write_folders(tmp_path, num=53, size=(16, 16))
    scores = score_batches(None, folder_batches(folders, DPED_BATCH_SIZE), "dped")
    assert len(scores["enhanced"]["psnr"]) == 1
    batch = next(folder_batches(folders, 50))
    error = np.mean((batch["enhanced"] / 255.0 - batch["dslr"] / 255.0) ** 2)
    assert scores["enhanced"]["psnr"][0] == pytest.approx(-10 * np.log10(error), rel=1e-5)


def test_pictures_of_the_release_score_as_its_floats(shared_data, tmp_path):
    """Golden outputs rounded to 8 bit, as another program would leave them."""
    golden = np.load(shared_data / "golden" / "iphone_orig_patches.npz")["enhanced"]
    folder = shared_data / "dped_iphone"
    for i, patch in enumerate(golden):
        rounded = np.uint8(np.round(np.clip(patch, 0, 1) * 255))
        cv2.imwrite(str(tmp_path / f"{i}.png"), rounded[..., ::-1])
        for name in ("iphone", "canon"):
            (tmp_path / name).mkdir(exist_ok=True)
            os.symlink(folder / name / f"{i}.jpg", tmp_path / name / f"{i}.jpg")
    folders = {"enhanced_dir": tmp_path}
    folders |= {"phone_dir": tmp_path / "iphone", "dslr_dir": tmp_path / "canon"}
    given = [f"--{flag}={path}" for flag, path in folders.items()]
    result = tiny.command("dped_jax.evaluate", *given, f"--json={tmp_path / 'scores.json'}")
    assert result.returncode == 0, result.stderr
    means = json.loads((tmp_path / "scores.json").read_text())
    assert (means["protocol"], means["images"]) == ("pirm", len(golden))
    each = score_batches(None, folder_batches(folders, len(golden)))
    with (shared_data / "golden" / "patch_scores.csv").open() as file:
        rows = list(csv.DictReader(file))[: len(golden)]
    for name, model in (("input", "identity"), ("enhanced", "iphone_orig")):
        for metric, tolerance in (("psnr", 0.05), ("ms_ssim", 2e-3), ("ssim", 2e-3)):
            column = f"{model}_{metric.replace('ms_', 'ms')}"
            expected = [float(row[column]) for row in rows]
            np.testing.assert_allclose(each[name][metric], expected, rtol=0, atol=tolerance)
            assert means[name][metric] == pytest.approx(np.mean(expected), abs=tolerance)
        assert means[name].keys() == {"psnr", "ms_ssim", "ssim", "identical_pairs"}


def test_a_workdir_is_scored_on_its_test_split(tmp_path, tiny_config):
    workdir = tmp_path / "w"
    train(tiny_config, workdir)
    result = tiny.command(
        "dped_jax.evaluate", f"--workdir={workdir}", f"--json={tmp_path / 'scores.json'}"
    )
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["images"] == 3
    _, _, step = checkpoint.load_generator(workdir)
    assert f"step {step}: 3 images, protocol pirm" in result.stdout
    missing = tiny.command("dped_jax.evaluate", f"--workdir={workdir}", "--data_dir=/nowhere")
    tiny.assert_one_line_error(missing, "no dataset in /nowhere")
    unwritable = tiny.command(
        "dped_jax.evaluate", f"--workdir={workdir}", f"--json={tmp_path}/no/scores.json"
    )
    tiny.assert_one_line_error(unwritable, "scores.json")


def test_scoring_shows_how_far_it_is(tmp_path, monkeypatch):
    bars = []

    def bar(**options):
        bars.append(tqdm(**options, file=io.StringIO()))
        return bars[-1]

    monkeypatch.setattr(batches, "progress_bar", bar)
    folders = write_folders(tmp_path)
    num = len(list(folders["dslr_dir"].iterdir()))
    seen = []
    for batch in batches.with_progress(folder_batches(folders, 2), num):
        seen.append(bars[0].n)
        assert batch["dslr"].shape[0] <= 2
    assert bars[0].total == bars[0].n == num
    assert seen == list(range(0, num, 2))


def test_bad_folders_are_named(tmp_path):
    folders = write_folders(tmp_path / "a")

    def refused(match):
        with pytest.raises(InputError, match=match) as error:
            list(folder_batches(folders, 5))
        assert "\n" not in str(error.value)

    (folders["phone_dir"] / "3.png").unlink()
    refused(r"--phone_dir=.*: 1 pictures of the other folders are missing here \(3\)")
    (folders["phone_dir"] / "3.png").write_bytes(b"no picture")
    refused(r"phone_dir/3.png: not a picture")
    cv2.imwrite(str(folders["phone_dir"] / "3.png"), np.zeros((40, 50, 3), np.uint8))
    refused(r"phone_dir/3.png \(40, 50\).*differ in size")
    (folders["phone_dir"] / "3.jpg").write_bytes(b"")
    refused("share a name")
    folders["phone_dir"] = tmp_path / "nowhere"
    refused("--phone_dir=.*nowhere: no such folder")
    folders["phone_dir"].mkdir()
    refused("holds no pictures")
    small = write_folders(tmp_path / "b", size=(12, 12))
    with pytest.raises(InputError, match="smaller than the 16 pixels"):
        list(folder_batches(small, 5))


def test_contradicting_flags_are_one_line(tmp_path):
    folders = write_folders(tmp_path)
    both = tiny.command("dped_jax.evaluate", "--workdir=w", "--enhanced_dir=e")
    tiny.assert_one_line_error(both, "either --workdir or --enhanced_dir")
    alone = tiny.command("dped_jax.evaluate", f"--enhanced_dir={folders['enhanced_dir']}")
    tiny.assert_one_line_error(alone, "--dslr_dir")
    few = tiny.command(
        "dped_jax.evaluate",
        f"--enhanced_dir={folders['enhanced_dir']}",
        f"--dslr_dir={folders['dslr_dir']}",
        "--protocol=dped",
    )
    tiny.assert_one_line_error(few, "full batch of 50")


def test_challenge_scores():
    """By hand from the challenge's formula; a speed-up counts up to 4."""
    scores = protocols.challenge_scores(22.0, 0.95, 3.0)
    assert scores == pytest.approx({"A": 4 + 5 + 6, "B": 1 + 20 + 6, "C": 2 + 10 + 8.7})
    assert protocols.challenge_scores(21.0, 0.9, 9.0) == pytest.approx({"A": 8, "B": 8, "C": 11.6})


def test_challenge_scores_are_printed_where_times_are_given(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        picture = rng.integers(0, 256, (20, 20, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name / "1.png"), picture)
    given = f"--enhanced_dir={tmp_path}/a", f"--dslr_dir={tmp_path}/b"
    times = "--seconds=2", "--baseline_seconds=6"
    file = tmp_path / "scores.json"
    result = tiny.command("dped_jax.evaluate", *given, *times, f"--json={file}")
    scores = json.loads(file.read_text())
    enhanced = scores["enhanced"]
    expected = protocols.challenge_scores(enhanced["psnr"], enhanced["ms_ssim"], 3.0)
    assert scores["challenge"] == pytest.approx(expected)
    assert f"PIRM 2018  A {expected['A']:.2f}" in result.stdout
    alone = tiny.command("dped_jax.evaluate", *given, "--seconds=2")
    tiny.assert_one_line_error(alone, "--seconds and --baseline_seconds are given together")
