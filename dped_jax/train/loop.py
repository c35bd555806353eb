"""The training loop: from a configuration to a workdir of checkpoints, scores and pictures."""

import contextlib
import math
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from flax.traverse_util import flatten_dict
from tqdm import tqdm

from dped_jax import check_config, checkpoint, input_pipeline
from dped_jax.cli import InputError
from dped_jax.cli.progress import progress_bar
from dped_jax.convert import vgg_files
from dped_jax.evaluate.scores import format_summary
from dped_jax.train import metrics_writer, resume, saved_state
from dped_jax.train.devices import choose_devices, make_step_on_devices, replicate
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint
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


def mean_metrics(pending: list[tuple[int, dict[str, jax.Array]]], manager: Any) -> dict[str, float]:
    """Means of the metrics of several steps, each given with its number.

    Raises:
      InputError: one is not finite; names the first such step and the last good checkpoint.
    """
    pending = jax.device_get(pending)
    for step, values in pending:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            good = manager.latest_step()
            kept = f"checkpoint {good} is kept" if good is not None else "no checkpoint yet"
            raise InputError(
                f"step {step}: {', '.join(bad)} not finite; {kept}; lower "
                "--config.train.learning_rate or the loss weights, in another --workdir"
            )
    return {name: float(np.mean([m[name] for _, m in pending])) for name in pending[0][1]}


def report_training(
    writer: metrics_writer.MetricsWriter,
    config: ml_collections.ConfigDict,
    step: int,
    means: dict[str, float],
    num_steps: int,
) -> None:
    """Writes the means of the last steps' metrics, and prints them where validation follows."""
    writer.train_scalars(config, step, means, num_steps)
    if is_evaluated(config, step):
        tqdm.write(f"step {step}  " + "  ".join(f"{k} {value:.4g}" for k, value in means.items()))


def is_evaluated(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether validation follows a step."""
    return step == config.train.num_steps or step % config.train.eval_every_steps == 0


def report_validation(
    writer: metrics_writer.MetricsWriter,
    step: int,
    summary: dict[str, float],
    picture: np.ndarray,
) -> None:
    """Writes and prints what validation has found."""
    writer.picture(step, picture)
    writer.scalars(step, "validation", summary)
    line = format_summary("validation", summary)
    if "discriminator_accuracy" in summary:
        line += f"   discriminator {summary['discriminator_accuracy']:.1%}"
    tqdm.write(line)


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
    dataset = config.data.data_dir, config.data.phone
    batches = input_pipeline.train_batches(
        config, process_index=jax.process_index(), process_count=jax.process_count()
    )
    source = input_pipeline.open_split(*dataset, "validation")
    validate, samples = make_validation(config, source), make_samples(config, source)
    fingerprint = dataset_fingerprint(*dataset)
    resume.compare(workdir, config, fingerprint)
    vgg_params = load_vgg(config)
    state, data_state = initial_state(config, workdir)
    resume.record(workdir, config, fingerprint, start := int(state.step))  # written first
    if data_state:
        batches.set_state(data_state)
    # As host arrays, the 80 MB of VGG would travel at every step.
    state, vgg_params = replicate((state, vgg_params), devices)
    step_on_devices = make_step_on_devices(config, devices)
    writer = metrics_writer.MetricsWriter(workdir, start) if jax.process_index() == 0 else None
    flops, splits = count_flops(config, state, vgg_params), fingerprint["splits"]
    if writer:
        print(metrics_writer.describe_start(config, state, devices, splits, flops), flush=True)

    pending: list[tuple[int, dict[str, jax.Array]]] = []
    progress = progress_bar(
        total=options.num_steps * options.batch_size,
        initial=start * options.batch_size,
        **{"unit": "pairs", "disable": writer is None, "mininterval": 1},
    )
    manager = checkpoint.open_manager(workdir, keep=options.keep_checkpoints)
    with progress, manager, writer or contextlib.nullcontext():
        for step in range(start + 1, options.num_steps + 1):
            batch = next(batches)
            if options.discriminator_batch == "next":
                batch |= {"next": next(batches)}
            state, metrics = step_on_devices(state, batch, vgg_params)
            pending.append((step, metrics))
            evaluating = is_evaluated(config, step)
            saving = evaluating or step % options.checkpoint_every_steps == 0
            if saving or step % options.log_every_steps == 0:
                means = mean_metrics(pending, manager)
                progress.set_postfix_str(f"total {means['total']:.4g}", refresh=False)
                if writer:
                    report_training(writer, config, step, means, len(pending))
                pending = []
            progress.update(options.batch_size)
            if saving:
                scores = validate(state) if evaluating else None
                if scores and writer:
                    report_validation(writer, step, scores, samples(state))
                saved_state.save_state(manager, state, batches.get_state(), scores)
    return state
