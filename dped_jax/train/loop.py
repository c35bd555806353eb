"""The training loop: from a configuration to a workdir of checkpoints, scores and pictures."""

import contextlib
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from flax.traverse_util import flatten_dict

from dped_jax import check_config, checkpoint, input_pipeline
from dped_jax.cli import InputError
from dped_jax.cli.progress import progress_bar
from dped_jax.convert import vgg_files
from dped_jax.train import metrics_writer, resume, saved_state
from dped_jax.train.calls import draw_calls, warn_of_single_steps
from dped_jax.train.decoded import open_decoded
from dped_jax.train.devices import choose_devices, map_steps, replicate
from dped_jax.train.feeds import choose_feed
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
from dped_jax.train.reports import StepReports, is_evaluated, is_saved, report_validation
from dped_jax.train.validation import make_samples, make_validation
from dped_jax.train_state import TrainState, create_train_state
from dped_jax.train_step import count_flops


def load_vgg(config: ml_collections.ConfigDict) -> Any:
    """The VGG-19 parameters that the config names, None where there is no content loss."""
    if not config.loss.content:
        return None
    if config.vgg.weights == "random":
        logging.warning("vgg.weights=random: the content loss compares features of a random net")
        return vgg_files.random_vgg_params(0)
    return vgg_files.load_vgg_params(config.vgg.weights)


def initial_state(
    config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> tuple[TrainState, dict[str, Any] | None]:
    """The state to go on from and the input iterator's: restored, from `init_from`, or fresh."""
    state = create_train_state(config, jax.random.PRNGKey(config.seed))
    restored = saved_state.restore_state(workdir, state)
    if restored:
        step, num_steps = int(restored[0].step), config.train.num_steps
        if step > num_steps:
            raise InputError(
                f"config.train.num_steps={num_steps}: {workdir} has been trained for {step}; give "
                "at least as many, or start anew in another --workdir"
            )
        logging.info("resuming %s at step %d", workdir, step)
        return restored
    if config.train.init_from:
        _, variables, _ = checkpoint.load_generator(pathlib.Path(config.train.init_from))
        where = f"config.train.init_from={config.train.init_from}"
        found = checkpoint.fill(state.generator.variables, flatten_dict(variables, sep="/"), where)
        averaged = None if state.averaged is None else jax.tree.map(np.array, found)
        generator = state.generator.replace(**found)
        return state.replace(generator=generator, averaged=averaged), None
    return state, None


def train(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, num_devices: int | None = None
) -> TrainState:
    """Trains to `config.train.num_steps`, from the newest checkpoint where there is one.

    Args:
      config: the experiment.
      workdir: where results go; created if missing.
      num_devices: see `choose_devices`; the result does not depend on it.

    Returns:
      The final state, on the devices.

    Raises:
      InputError: bad input, or a loss that is not finite.
      OSError: a file cannot be written.
    """
    check_config.check(config)
    options = config.train
    devices = choose_devices(options.batch_size, num_devices)
    warn_of_single_steps(config)
    dataset = config.data.data_dir, config.data.phone
    input_pipeline.train_draws(config, len(input_pipeline.open_split(*dataset, "train")))
    source = input_pipeline.open_split(*dataset, "validation")
    validate, samples = make_validation(config, source), make_samples(config, source)
    fingerprint = dataset_fingerprint(*dataset)
    resume.compare(workdir, config, fingerprint)
    vgg_params = load_vgg(config)
    state, data_state = initial_state(config, workdir)
    resume.record(workdir, config, fingerprint, start := int(state.step))  # written first
    decoded = open_decoded(*dataset, fingerprint) if config.data.decode_once else None
    feed = choose_feed(config, devices, decoded)
    batches = feed.iterate()
    if data_state:
        batches.set_state(data_state)
    # As host arrays, the 80 MB of VGG would travel at every step.
    state, vgg_params = replicate((state, vgg_params), devices)
    steps = map_steps(config, devices, feed)
    writer = metrics_writer.MetricsWriter(workdir, start) if jax.process_index() == 0 else None
    flops, splits = count_flops(config, state, vgg_params), fingerprint["splits"]
    if writer:
        print(metrics_writer.describe_start(config, state, devices, splits, flops), flush=True)

    progress = progress_bar(
        total=options.num_steps * options.batch_size,
        initial=start * options.batch_size,
        **{"unit": "pairs", "disable": writer is None, "mininterval": 1},
    )
    manager = checkpoint.open_manager(workdir, keep=options.keep_checkpoints)
    with progress, manager, writer or contextlib.nullcontext():
        reports = StepReports(config, manager, writer, progress)
        calls, unread = draw_calls(config, feed, batches, start), None
        upcoming = next(calls, None)
        while upcoming:
            step, inputs, position = upcoming
            state, metrics = steps(state, inputs, vgg_params, feed.held)
            if jax.default_backend() == "cpu" and len(devices) > 1:
                # Calls in flight share one thread pool and can lock each other out of collectives.
                jax.block_until_ready(metrics)
            upcoming = next(calls, None)  # placed while the devices work
            if unread:
                reports.read(*unread)  # of the call before, so that the devices do not wait
            unread = step, metrics
            if is_saved(config, step):
                reports.read(*unread)
                unread = None
                evaluating = is_evaluated(config, step)
                scores = validate(state) if evaluating else None
                if scores and writer:
                    report_validation(writer, step, scores, samples(state))
                saved_state.save_state(manager, state, position, scores)
        checkpoint.finish(manager)
    return state
