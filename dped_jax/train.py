"""Trains the generator and the discriminator; the same command resumes.

    python -m dped_jax.train --config=configs/paper.py --workdir=runs/iphone

Fields of the config are overridden as --config.train.batch_size=8. Writes to the workdir its
config.json and checkpoints (see checkpoint.py), metrics.jsonl, TensorBoard events, and samples/
with before | enhanced | target pictures.
"""

import contextlib
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import flags, logging
from tqdm import tqdm

from dped_jax import checkpoint, cli, config_files, input_pipeline, metrics_writer
from dped_jax.cli import InputError
from dped_jax.evaluate.scores import format_summary, score_batches, summarize
from dped_jax.images.pixels import to_float
from dped_jax.models import vgg_files
from dped_jax.models.generator import make_eval_step
from dped_jax.train_state import TrainState, create_train_state
from dped_jax.train_step import make_discriminator_eval_step, make_train_step


def replicate(tree: Any) -> Any:
    """Copies arrays, equal on all hosts, to every device."""
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(jax.device_get(tree), sharding)


def load_vgg(config: ml_collections.ConfigDict) -> Any:
    """The VGG-19 parameters that the config names, None where there is no content loss."""
    if not config.loss.content:
        return None
    if config.vgg.weights == "random":
        logging.warning("vgg.weights=random: the content loss compares features of a random net")
        params = vgg_files.random_vgg_params(0)
    else:
        params = vgg_files.load_vgg_params(config.vgg.weights)
    return replicate(params)  # as host arrays, 80 MB would travel at every step


def initial_state(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, manager: Any
) -> tuple[TrainState, dict[str, Any] | None]:
    """The state to go on from and the input iterator's: restored, from `init_from`, or fresh."""
    state = create_train_state(config, jax.random.PRNGKey(config.seed))
    restored = checkpoint.restore_state(workdir, manager, state)
    if restored:
        logging.info("resuming %s at step %d", workdir, restored[0].step)
        return restored
    if config.train.init_from:
        generator = checkpoint.initial_generator(config.train.init_from, state.generator)
        return state.replace(generator=generator), None
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


def make_validation(
    config: ml_collections.ConfigDict, writer: metrics_writer.MetricsWriter | None
) -> Callable[[int, TrainState], dict[str, float]]:
    """Builds `validate(step, state)`: scores on the validation split, and a picture."""
    source = input_pipeline.open_split(config.data.data_dir, config.data.phone, "validation")
    eval_step = jax.jit(make_eval_step(config))
    judge = jax.jit(make_discriminator_eval_step(config)) if config.loss.texture else None

    def pairs():
        return input_pipeline.eval_batches(source, config.eval.batch_size, config.eval.num_pairs)

    def accuracy(variables: Any, discriminator_variables: Any) -> float:
        accuracies = [
            judge(discriminator_variables, eval_step(variables, b["phone"]), to_float(b["dslr"]))
            for b in pairs()
        ]
        return float(np.mean(np.concatenate(accuracies)))

    def validate(step: int, state: TrainState) -> dict[str, float]:
        variables = jax.device_get(state.generator.variables)
        scores = score_batches(lambda phone: eval_step(variables, phone), pairs())
        summary = summarize(scores["enhanced"])
        if judge:
            discriminator = jax.device_get(state.discriminator.variables)
            summary["discriminator_accuracy"] = accuracy(variables, discriminator)
        if writer:
            num = min(config.eval.num_pictures, len(source))
            shown = input_pipeline.load_pairs(source, range(num))
            enhanced = np.asarray(eval_step(variables, shown["phone"]))
            writer.picture(step, metrics_writer.picture_grid(enhanced=enhanced, **shown))
            writer.scalars(step, "validation", summary)
            line = format_summary("validation", summary)
            if judge:
                line += f"   discriminator {summary['discriminator_accuracy']:.1%}"
            tqdm.write(line)
        return summary

    return validate


def make_step_on_all_devices(
    config: ml_collections.ConfigDict,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Maps the train step over devices: the state goes in and comes out without a leading axis.

    Raises:
      InputError: the config has a value that this program does not know, or the batch does not
        divide among the devices.
    """
    batch_size, devices = config.train.batch_size, jax.device_count()
    if batch_size % devices:
        raise InputError(
            f"config.train.batch_size={batch_size} does not divide among {devices} devices; "
            "choose a multiple"
        )
    try:
        train_step = make_train_step(config)
    except ValueError as error:
        raise InputError(f"config.{error}") from error
    step = jax.pmap(
        train_step, axis_name="devices", in_axes=(None, 0, None), out_axes=None, donate_argnums=0
    )

    def split(images: np.ndarray) -> np.ndarray:
        return images.reshape(jax.local_device_count(), -1, *images.shape[1:])

    def step_on_all_devices(state, batch, vgg_params):
        state, metrics = step(state, jax.tree.map(split, batch), vgg_params)
        if jax.default_backend() == "cpu":
            # Steps in flight share one thread pool and can lock each other out of collectives.
            jax.block_until_ready(metrics)
        return state, metrics

    return step_on_all_devices


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> TrainState:
    """Trains to `config.train.num_steps`, from the newest checkpoint where there is one.

    Args:
      config: the experiment.
      workdir: where results go; created if missing.

    Returns:
      The final state, on the devices.

    Raises:
      InputError: bad input, or a loss that is not finite.
      OSError: a file cannot be written.
    """
    options = config.train
    step_on_all_devices = make_step_on_all_devices(config)
    batches = input_pipeline.train_batches(
        config, process_index=jax.process_index(), process_count=jax.process_count()
    )
    input_pipeline.open_split(config.data.data_dir, config.data.phone, "validation")
    vgg_params = load_vgg(config)
    checkpoint.write_config(workdir, config)
    manager = checkpoint.open_manager(workdir, keep=options.keep_checkpoints)
    state, data_state = initial_state(config, workdir, manager)
    if data_state:
        batches.set_state(data_state)
    start, state = int(state.step), replicate(state)
    writer = metrics_writer.MetricsWriter(workdir, start) if jax.process_index() == 0 else None
    validate = make_validation(config, writer)

    pending: list[tuple[int, dict[str, jax.Array]]] = []
    progress = tqdm(
        total=options.num_steps * options.batch_size,
        initial=start * options.batch_size,
        unit="pairs",
        disable=writer is None,
        mininterval=1,
    )
    with progress, manager, writer or contextlib.nullcontext():
        for step in range(start + 1, options.num_steps + 1):
            batch = next(batches)
            if options.discriminator_batch == "next":
                batch |= {"next": next(batches)}
            state, metrics = step_on_all_devices(state, batch, vgg_params)
            pending.append((step, metrics))
            last = step == options.num_steps
            evaluating = last or step % options.eval_every_steps == 0
            saving = evaluating or step % options.checkpoint_every_steps == 0
            if saving or step % options.log_every_steps == 0:
                means = mean_metrics(pending, manager)
                pending = []
                progress.set_postfix_str(f"total {means['total']:.4g}", refresh=False)
                if writer:
                    writer.scalars(step, "train", means)
                if writer and evaluating:
                    listed = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
                    tqdm.write(f"step {step}  {listed}")
            progress.update(options.batch_size)
            if saving:
                scores = validate(step, state) if evaluating else None
                checkpoint.save_state(manager, state, batches.get_state(), scores)
    return state


def join_processes(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several that train together; all must call it first.

    Args:
      coordinator: "host:port" of process 0, or "auto" where the cluster tells (TPU pods, Slurm,
        Open MPI).
      num_processes: needed with "host:port".
      process_id: from 0; needed with "host:port".

    Raises:
      InputError: the processes do not find each other.
    """
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--coordinator={coordinator}: {error}") from error


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    if FLAGS.coordinator:
        join_processes(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    workdir = pathlib.Path(FLAGS.workdir)
    train(FLAGS.config, workdir)
    print(f"trained: {workdir}; next: python -m dped_jax.evaluate --workdir={workdir}")


FLAGS = flags.FLAGS

if __name__ == "__main__":
    config_files.define_flag("paper.py", "The experiment.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("coordinator", None, "Several hosts: host:port of process 0, or auto.")
    flags.DEFINE_integer("num_processes", None, "With --coordinator=host:port: how many.")
    flags.DEFINE_integer("process_id", None, "With --coordinator=host:port: which, from 0.")
    cli.run(main)
