"""A validation that a signal has cut off is made up for once, whatever happens then."""

import shutil

import pytest
import tiny
from test_stop import send_at

from dped_jax import checkpoint
from dped_jax.base.errors import StoppedError
from dped_jax.train import loop
from dped_jax.train.loop import train


def test_a_validation_is_made_up_for_once(tiny_config, tmp_path, monkeypatch):
    tiny_config.train.update({"num_steps": 1, "eval_every_steps": 1})
    train(tiny_config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        send_at(patch, loop, "is_evaluated", 1)
        with pytest.raises(StoppedError, match="step 1 of 1 is saved"):
            train(tiny_config, tmp_path / "w")
    for _ in range(2):
        train(tiny_config, tmp_path / "w")
        assert tiny.logged(tmp_path / "w") == tiny.logged(tmp_path / "whole")
    shutil.rmtree(tmp_path / "w/checkpoints/1/metrics")  # killed before they were written
    train(tiny_config, tmp_path / "w")
    assert tiny.logged(tmp_path / "w") == tiny.logged(tmp_path / "whole")
    assert checkpoint.read_scores(tmp_path / "w") == checkpoint.read_scores(tmp_path / "whole")
