"""Models that an experiment needs: trained where they are not there yet, resumed where stopped."""

import pathlib
import statistics
import time

import jax
import ml_collections
from absl import logging

from dped_jax import checkpoint
from dped_jax.train import resume
from dped_jax.train.decoded import open_decoded
from dped_jax.train.devices import choose_devices, map_steps, replicate
from dped_jax.train.feeds import choose_feed
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
from dped_jax.train.loop import load_vgg, train
from dped_jax.train_state import create_train_state


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
    jax.clear_caches()  # a process may map 65,530 pieces of memory: about 100 trainings' programs


def steps_per_second(config: ml_collections.ConfigDict, seconds: float = 20.0) -> float:
    """How fast a training goes on this machine, loading of its batches included.

    Args:
      config: the training.
      seconds: for how long it is watched, after two steps, which compile.

    Raises:
      InputError: see `train`.
    """
    devices = choose_devices(config.train.batch_size)
    dataset = config.data.data_dir, config.data.phone
    decode_once, fingerprint = config.data.decode_once, dataset_fingerprint(*dataset)
    feed = choose_feed(
        config, devices, open_decoded(*dataset, fingerprint) if decode_once else None
    )
    batches = feed.iterate()
    state = create_train_state(config, jax.random.PRNGKey(config.seed))
    state, vgg_params = replicate((state, load_vgg(config)), devices)
    steps = map_steps(config, devices, feed)

    def advance() -> None:
        nonlocal state
        inputs = feed.place([next(batches) for _ in range(feed.per_step)])
        state, metrics = steps(state, inputs, vgg_params, feed.held)
        jax.block_until_ready(metrics)

    for _ in range(2):
        advance()
    taken: list[float] = []
    while sum(taken) < seconds:
        start = time.perf_counter()
        advance()
        taken.append(time.perf_counter() - start)
    return 1 / statistics.median(taken)  # what else the machine does now and then has no say
