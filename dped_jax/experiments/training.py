"""Models that an experiment needs: trained where they are not there yet, resumed where stopped."""

import pathlib

import ml_collections
from absl import logging

from dped_jax import checkpoint
from dped_jax.train import resume
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
from dped_jax.train.loop import train


def ensure_trained(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Trains a workdir to the last step of its configuration, unless that is done.

    Args:
      config: the training; references in it are resolved.
      workdir: a new folder, or one that was made with the same configuration, see `resume`.

    Raises:
      InputError: see `train`; the workdir was made with another configuration.
    """
    config = config.copy_and_resolve_references()
    steps = checkpoint.list_steps(workdir)
    if steps and steps[-1] == config.train.num_steps:
        dataset = config.data.data_dir, config.data.phone
        moved = checkpoint.read_config(workdir).data.data_dir != dataset[0]
        resume.compare(workdir, config, dataset_fingerprint(*dataset) if moved else None)
        logging.info("%s: trained already", workdir)
        return
    logging.info("training %s for %d steps", workdir, config.train.num_steps)
    train(config, workdir)
