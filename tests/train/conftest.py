"""A training that many tests look at, or go on from."""

import shutil

import pytest
import tiny

from dped_jax.train.loop import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_data):
    """A run of four steps, not to be changed: (config, workdir).

    It has checkpoints 1 to 4, of which 2 and 4 are scored.
    """
    config = tiny.tiny_config(tiny_data)
    config.train.keep_checkpoints = 4
    workdir = tmp_path_factory.mktemp("trained") / "w"
    train(config, workdir)
    return config, workdir


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to be trained on or damaged."""
    config, workdir = trained
    return config.copy_and_resolve_references(), shutil.copytree(workdir, tmp_path / "w")
