"""What of a workdir survives, and what restoring refuses."""

import jax
import numpy as np
import pytest
import tiny

from configs import paper
from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.models.generator import make_generator
from dped_jax.train import resume


def tiny_variables(value=0.0):
    return {"params": {"one": np.full(1, value, np.float32)}, "batch_stats": {}}


def save_scored(workdir, psnrs, keep):
    """Checkpoints 1, 2, ... with these validation scores (None: not scored)."""
    config = paper.get_config()
    config.generator.architecture = "identity"
    checkpoint.write_config(workdir, config)
    with checkpoint.open_manager(workdir, keep=keep) as manager:
        for step, psnr in enumerate(psnrs, 1):
            metrics = None if psnr is None else {"psnr": psnr}
            checkpoint.save(manager, step, generator=tiny_variables(step), metrics=metrics)


def steps(workdir):
    return checkpoint.list_steps(workdir)


def test_newest_and_best_both_survive(tmp_path):
    save_scored(tmp_path, [20.0, 25.0, 22.0, None, 21.0, 19.0], keep=2)
    assert steps(tmp_path) == [2, 5, 6]
    for which, expected in [("best", 2), ("newest", 6), ("5", 5)]:
        _, variables, step = checkpoint.load_generator(tmp_path, which)
        assert step == expected
        assert variables["params"]["one"].tolist() == [expected]
        assert variables["batch_stats"] == {}


def test_a_run_that_goes_on_keeps_its_best(tmp_path):
    save_scored(tmp_path, [20.0, 25.0, 22.0], keep=1)
    with checkpoint.open_manager(tmp_path, keep=1) as manager:
        checkpoint.save(manager, 4, generator=tiny_variables(4), metrics={"psnr": 23.0})
    assert steps(tmp_path) == [2, 4]


def test_without_scores_the_newest_is_best(tmp_path):
    save_scored(tmp_path, [None, None], keep=2)
    assert checkpoint.load_generator(tmp_path)[2] == 2


def test_bad_choices_are_named(tmp_path):
    with pytest.raises(InputError, match="is not a workdir"):
        checkpoint.load_generator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not a configuration"):
        checkpoint.load_generator(tmp_path)
    (tmp_path / "config.json").unlink()
    checkpoint.write_config(tmp_path, paper.get_config())
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.load_generator(tmp_path)
    save_scored(tmp_path, [20.0], keep=1)
    with pytest.raises(InputError, match=r"--step=7: .* best, newest and \[1\]"):
        checkpoint.load_generator(tmp_path, "7")


def test_a_flipped_bit_is_noticed(tmp_path):
    save_scored(tmp_path, [20.0], keep=1)
    largest = max(
        (tmp_path / "checkpoints" / "1" / "generator").rglob("d/*"),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoints/1: damaged"):
        checkpoint.load_generator(tmp_path)


def test_configurations_survive_the_round_trip(tmp_path):
    config = paper.get_config()
    checkpoint.write_config(tmp_path, config)
    resume.compare(tmp_path, config)
    read = checkpoint.read_config(tmp_path)
    assert read.to_json() == config.to_json()  # which has no tuples
    shapes = [
        jax.eval_shape(make_generator(c).init, jax.random.PRNGKey(0), np.zeros((1, 20, 20, 3)))
        for c in (config, read)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("told", "saved"),
    [("unet", "resnet"), ("resnet", "srcnn"), ("ppcn_student", "ppcn_teacher"), ("srcnn", "unet")],
)
def test_a_checkpoint_of_another_family_is_one_line(tmp_path, told, saved):
    config, own = tiny.random_generator(architecture=told)
    _, variables = tiny.random_generator(architecture=saved)
    tiny.write_model(tmp_path / "good", config, own)
    checkpoint.load_generator(tmp_path / "good")
    tiny.write_model(tmp_path / "bad", config, variables)
    with pytest.raises(InputError, match=r"/0: params/.*: another network was saved there$"):
        checkpoint.load_generator(tmp_path / "bad")
