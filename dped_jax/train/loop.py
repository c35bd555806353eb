"""The training loop: from a configuration to a workdir of checkpoints, scores and pictures."""

import contextlib
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from flax.traverse_util import flatten_dict

from dped_jax import check_config, checkpoint, input_pipeline
from dped_jax.base.errors import InputError, StoppedError
from dped_jax.base.progress import progress_bar
from dped_jax.convert import vgg_files
from dped_jax.train import hosts, resume, saved_state
from dped_jax.train.calls import draw_calls, warn_of_single_steps
from dped_jax.train.decoded import open_decoded
from dped_jax.train.devices import choose_devices, map_steps, replicate
from dped_jax.train.feeds import Feed, choose_feed
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
from dped_jax.train.metrics_writer import MetricsWriter, describe_start
from dped_jax.train.reports import StepReports, is_evaluated, is_saved, report_validation
from dped_jax.train.stop import StopNotice
from dped_jax.train.validation import ValidationStoppedError, make_samples, make_validation
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
) -> tuple[TrainState, saved_state.Position | None]:
    """The state to go on from, and where it was: restored, from `init_from`, or fresh."""
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
      InputError: bad input, another training in the workdir, or a loss that is not finite.
      StoppedError: by a signal, when the step that was reached is saved.
      OSError: a file cannot be written.
    """
    check_config.check(config)
    dataset = config.data.data_dir, config.data.phone
    pairs = input_pipeline.open_split(*dataset, "train")
    input_pipeline.train_draws(config, len(pairs))
    fingerprint = dataset_fingerprint(*dataset)
    hosts.compare(config, fingerprint)
    devices = choose_devices(config.train.batch_size, num_devices)
    warn_of_single_steps(config)
    resume.compare(workdir, config, fingerprint)
    vgg_params = load_vgg(config)
    with resume.alone(workdir):
        state, position = initial_state(config, workdir)
        resume.record(workdir, config, fingerprint, int(state.step))  # written first
        decoded = open_decoded(*dataset, fingerprint) if config.data.decode_once else None
        feed = choose_feed(config, devices, decoded)
        hosts.connect(devices)
        # As host arrays, the 80 MB of VGG would travel at every step.
        state, vgg_params = replicate((state, vgg_params), devices)
        steps = map_steps(config, devices, feed)

        def make_steps(state: TrainState, inputs: Any) -> tuple[TrainState, dict[str, jax.Array]]:
            state, metrics = steps(state, inputs, vgg_params, feed.held)
            if jax.default_backend() == "cpu" and len(devices) > 1:
                # Calls in flight share one thread pool and can lock each other out of collectives.
                jax.block_until_ready(metrics)
            return state, metrics

        flops, splits = count_flops(config, state, vgg_params), fingerprint["splits"]
        if jax.process_index() == 0:
            print(describe_start(config, state, devices, splits, flops), flush=True)
        return _train_on(
            config, workdir, state, position, feed=feed, make_steps=make_steps, pairs=pairs
        )


def _names_of(
    config: ml_collections.ConfigDict, feed: Feed, pairs: Sequence[dict[str, Any]], step: int
) -> list[str]:
    """Names of the pairs that a step takes."""
    draws = input_pipeline.train_draws(config, len(pairs))
    batches = range((step - 1) * feed.per_step, step * feed.per_step)
    indices = np.concatenate([draws[batch]["index"] for batch in batches])
    return [pairs[int(i)]["name"].decode() for i in indices]


def _train_on(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    state: TrainState,
    position: saved_state.Position | None,
    *,
    feed: Feed,
    make_steps: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    pairs: Sequence[dict[str, Any]],
) -> TrainState:
    """Goes on from a state and position; `make_steps` makes the steps of a call."""
    options, start = config.train, int(state.step)
    source = input_pipeline.open_split(config.data.data_dir, config.data.phone, "validation")
    validate, samples = make_validation(config, source), make_samples(config, source)
    batches = feed.iterate()
    if position:
        batches.set_state(position.batches)
    # A run before was stopped in its validation, and none since has made up for it.
    is_left = (
        bool(position and position.is_unscored) and start not in checkpoint.read_scores(workdir)[0]
    )
    told = start, "train" if is_left else "validation"
    writer = MetricsWriter(workdir, *told) if jax.process_index() == 0 else None
    if is_left:
        left = validate(state)
        if writer:
            report_validation(writer, start, left, samples(state))
            checkpoint.add_scores(workdir, start, left)
    progress = progress_bar(
        total=options.num_steps * options.batch_size,
        initial=start * options.batch_size,
        **{"unit": "pairs", "disable": writer is None, "mininterval": 1},
    )
    checkpoints = saved_state.opened(workdir, options.keep_checkpoints)
    with (
        StopNotice() as notice,
        progress,
        checkpoints as manager,
        writer or contextlib.nullcontext(),
    ):
        reports = StepReports(
            *(config, manager, writer, progress),
            workdir=workdir,
            pending=position.pending if position else [],
            names_of=functools.partial(_names_of, config, feed, pairs),
        )
        unread: tuple[int, dict[str, jax.Array]] | None = None
        number = 0
        calls = draw_calls(config, feed, batches, start)
        upcoming = next(calls, None)
        while upcoming:
            step, inputs, drawn = upcoming
            state, metrics = make_steps(state, inputs)
            upcoming = next(calls, None)  # placed while the devices work
            if unread:
                reports.read(*unread)  # of the call before, so that the devices do not wait
            unread, number = (step, metrics), number + 1
            stopping = notice.reached(number)
            if not (stopping or is_saved(config, step)):
                continue
            reports.read(*unread)
            unread, is_due = None, is_evaluated(config, step)
            scores: dict[str, float] | None = None
            if is_due:
                with contextlib.suppress(ValidationStoppedError):
                    scores = validate(state, lambda: notice.is_here)
            if scores and writer:
                report_validation(writer, step, scores, samples(state))
            begun = time.monotonic()
            where = saved_state.Position(drawn, reports.pending, is_due and not scores)
            saved_state.save_state(manager, state, where, scores)
            if writer:
                writer.save_seconds += time.monotonic() - begun
            if (stopping or notice.is_here) and (upcoming or where.is_unscored):
                checkpoint.finish(manager)
                raise StoppedError(
                    f"{notice.name}: step {step} of {options.num_steps} is saved in {workdir}; the "
                    "same command goes on"
                )
        checkpoint.finish(manager)
    return state
