"""Conversion of published TensorFlow checkpoints, and what is refused."""

import json

import jax
import numpy as np
import pytest
import tiny
from real_images import read_patches

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.convert import generators
from dped_jax.evaluate import protocols
from dped_jax.models.generator import make_eval_step

tf = pytest.importorskip("tensorflow", reason="reads TensorFlow checkpoints")


@pytest.mark.parametrize(
    ("name", "blocks", "width", "count"),
    [("iphone_orig", 4, 64, 401_475), ("dped_resnet_8_32", 2, 32, 71_331)],
)
def test_architecture_is_found_from_the_variables(shared_data, name, blocks, width, count):
    prefix = str(shared_data / "released_models" / name)
    config, params = generators.convert_generator(generators.read_tensorflow_checkpoint(prefix))
    assert (config.generator.num_blocks, config.generator.width) == (blocks, width)
    assert sum(leaf.size for leaf in tf.nest.flatten(params)) == count


def test_the_command_makes_a_workdir_that_others_load(shared_data, tmp_path):
    prefix = shared_data / "released_models" / "dped_srcnn"
    flags = [f"--checkpoint={prefix}", f"--workdir={tmp_path / 'w'}"]
    result = tiny.command("dped_jax.convert", *flags)
    assert result.returncode == 0, result.stderr
    assert "srcnn, 69,249 parameters" in result.stdout
    assert f"next: python -m dped_jax.enhance --workdir={tmp_path / 'w'}" in result.stdout
    config, variables, step = checkpoint.load_generator(tmp_path / "w")
    assert (config.generator.architecture, step) == ("srcnn", 0)
    stored = tf.train.load_checkpoint(str(prefix)).get_tensor("generator/w3")
    np.testing.assert_array_equal(variables["params"]["conv_last"]["kernel"], stored)
    tiny.assert_one_line_error(tiny.command("dped_jax.convert", *flags), "holds a model already")


@pytest.mark.parametrize(("name", "count"), [("ppcn_teacher", 21_843), ("ppcn_student", 2_715)])
def test_ppcn_gives_the_authors_outputs_and_scores(shared_data, tmp_path, name, count):
    prefix = shared_data / "peer_models" / name
    config, params = generators.convert_generator(
        generators.read_tensorflow_checkpoint(str(prefix))
    )
    assert config.generator.architecture == name
    assert sum(leaf.size for leaf in tf.nest.flatten(params)) == count
    enhance = jax.jit(make_eval_step(config))
    folder = shared_data / "dped_iphone"
    scores = []
    for start in range(0, 300, 50):
        phone, dslr = (
            read_patches(folder / kind, range(start, start + 50)) for kind in ("iphone", "canon")
        )
        enhanced = enhance({"params": params}, phone)
        if not start:
            golden = np.load(shared_data / "golden" / f"{name}_patches.npz")["enhanced"]
            np.testing.assert_allclose(enhanced[: len(golden)], golden, rtol=0, atol=1e-4)
        scores.append(protocols.pirm_scores(enhanced, dslr / np.float32(255)))
    expected = json.loads((shared_data / "golden" / "scores_first300_ppcn.json").read_text())[name]
    found = {key: np.concatenate([batch[key] for batch in scores]) for key in scores[0]}
    psnr, _ = protocols.summarize_psnr(found["psnr"])
    assert psnr == pytest.approx(expected["psnr_mean_finite"], abs=0.002)
    for key in ("ms_ssim", "ssim"):
        assert found[key].mean() == pytest.approx(expected[f"{key}_mean"], abs=2e-4)


def test_ppcn_with_a_variable_missing_is_refused(shared_data):
    prefix = str(shared_data / "peer_models" / "ppcn_teacher")
    variables = generators.read_tensorflow_checkpoint(prefix)
    for name in ("W0", "b7", "Variable_4"):
        rest = {key: value for key, value in variables.items() if key != name}
        with pytest.raises(InputError, match="not a generator of the published families"):
            generators.convert_generator(rest)


def test_what_is_no_generator_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.index does not exist"):
        generators.read_tensorflow_checkpoint(str(tmp_path / "nowhere"))
    (tmp_path / "broken.index").write_bytes(b"not an index")
    with pytest.raises(InputError, match="cannot be read"):
        generators.read_tensorflow_checkpoint(str(tmp_path / "broken"))
    for variables in ({}, {"W1": np.zeros((9, 9, 3, 8)), "b1": np.zeros(8)}, {"w1": np.zeros(3)}):
        with pytest.raises(InputError, match="not a generator of the published families"):
            generators.convert_generator(variables)
