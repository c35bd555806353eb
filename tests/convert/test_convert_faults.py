"""What `convert` does with a full disk and with a checkpoint that was cut off."""

import errno
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny

from dped_jax import checkpoint
from dped_jax.base.errors import InputError
from dped_jax.convert import __main__ as convert
from dped_jax.convert import generators


def test_after_a_full_disk_the_same_command_converts(tmp_path, monkeypatch):
    config, variables = tiny.random_generator()
    monkeypatch.setattr(convert, "read_tensorflow_checkpoint", lambda prefix: {})
    monkeypatch.setattr(convert, "convert_generator", lambda read: (config, variables["params"]))
    flags = types.SimpleNamespace(checkpoint="any", workdir=str(tmp_path / "w"))
    monkeypatch.setattr(convert, "FLAGS", flags)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_config", full)  # what is written last
        with pytest.raises(OSError, match="No space left"):
            convert.main([])
    assert not (tmp_path / "w").exists()
    convert.main([])
    assert checkpoint.load_generator(tmp_path / "w")[2] == 0


def test_a_checkpoint_that_was_cut_off_is_refused(tmp_path):
    prefix, values = str(tmp_path / "model"), np.ones((9, 9, 3, 64), np.float32)
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=["generator/W1"], shape_and_slices=[""], tensors=[values]
    )
    np.testing.assert_array_equal(generators.read_tensorflow_checkpoint(prefix)["W1"], values)
    (data,) = tmp_path.glob("model.data-*")
    data.write_bytes(data.read_bytes()[: values.nbytes // 2])
    with pytest.raises(InputError, match=f"--checkpoint={prefix}: cannot be read: "):
        generators.read_tensorflow_checkpoint(prefix)
