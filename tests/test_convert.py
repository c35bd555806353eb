"""Conversion of the release's TensorFlow checkpoints, and what is refused."""

import numpy as np
import pytest
import tiny

from dped_jax import checkpoint, convert
from dped_jax.cli import InputError

tf = pytest.importorskip("tensorflow", reason="reads TensorFlow checkpoints")


@pytest.mark.parametrize(
    ("name", "blocks", "width", "count"),
    [("iphone_orig", 4, 64, 401_475), ("dped_resnet_8_32", 2, 32, 71_331)],
)
def test_architecture_is_found_from_the_variables(shared_data, name, blocks, width, count):
    prefix = str(shared_data / "released_models" / name)
    config, params = convert.convert_generator(convert.read_tensorflow_checkpoint(prefix))
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


def test_what_is_no_generator_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.index does not exist"):
        convert.read_tensorflow_checkpoint(str(tmp_path / "nowhere"))
    (tmp_path / "broken.index").write_bytes(b"not an index")
    with pytest.raises(InputError, match="cannot be read"):
        convert.read_tensorflow_checkpoint(str(tmp_path / "broken"))
    for variables in ({}, {"W1": np.zeros((9, 9, 3, 8)), "b1": np.zeros(8)}, {"w1": np.zeros(3)}):
        with pytest.raises(InputError, match="not a generator of the released families"):
            convert.convert_generator(variables)
