"""What every field of a training's configuration may hold, and which go together.

`check` is called first by all that trains, before the dataset is opened and anything is written.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import ml_collections
from flax.traverse_util import flatten_dict

from dped_jax import config_files
from dped_jax.base.errors import InputError
from dped_jax.input_pipeline import PATCH_SIZE
from dped_jax.metrics import MIN_MS_SSIM_SIDE
from dped_jax.models import discriminator, generator
from dped_jax.models.layers import INITIALIZERS, NORMS
from dped_jax.models.vgg import VGG19_RELU_LAYERS, WEIGHT_FILES
from dped_jax.train_step import DEFINITIONS

Rule = tuple[Callable[[Any], bool], str]  # whether a value is allowed, and what to use instead


def one_of(*values: str) -> Rule:
    """One of some words."""
    return lambda value: value in values, f"use {' or '.join(values)}"


def whole(low: int, high: float = math.inf) -> Rule:
    """A whole number in a range."""
    remedy = f"use a whole number of at least {low}"
    if high < math.inf:
        remedy = f"use a whole number from {low} to {high}"
    return lambda value: type(value) is int and low <= value <= high, remedy


def number(low: float, *, above: bool = False) -> Rule:
    """A finite number of at least `low`, or above it."""

    def is_allowed(value: Any) -> bool:
        is_finite = type(value) in (int, float) and math.isfinite(value)
        return is_finite and (value > low if above else value >= low)

    return is_allowed, f"use a number {'above' if above else 'of at least'} {low:g}"


def text(what: str, *, may_be_empty: bool = False) -> Rule:
    """A text of a meaning."""
    return lambda value: type(value) is str and bool(value or may_be_empty), f"use {what}"


TRUE_OR_FALSE: Rule = (lambda value: type(value) is bool, "use True or False")


def _are_layers(value: Any) -> bool:
    """Whether a value is pairs of a layer and a weight; tuples come out of JSON as lists."""
    is_weight, _ = number(0, above=True)
    try:
        names = {name for name, weight in value if is_weight(weight)}
    except (TypeError, ValueError):
        return False
    return bool(names) and len(names) == len(value) and names <= set(VGG19_RELU_LAYERS)


SHARE: Rule = (
    lambda value: type(value) in (int, float) and 0 <= value < 1,
    "use a number from 0 to below 1",
)
WEIGHTS = ("color", "texture", "content", "tv", "mse", "l1", "ssim", "ms_ssim")
FIELDS: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "compute_dtype": one_of("float32", "bfloat16"),
    "matmul_precision": one_of("default", "bfloat16", "tensorfloat32", "float32"),
    "data.data_dir": text("the --data_dir of data_builders.dped.build"),
    "data.phone": one_of("iphone", "blackberry", "sony", "custom"),
    "data.flip": TRUE_OR_FALSE,
    "data.transpose": TRUE_OR_FALSE,
    "data.gain": number(0),
    "data.channel_gain": number(0),
    "data.crop": (
        lambda value: type(value) is int and (value == 0 or 2 <= value <= PATCH_SIZE),
        f"use 2 to {PATCH_SIZE}, or 0 for whole patches",
    ),
    "data.decode_once": TRUE_OR_FALSE,
    "data.on_device": one_of("auto", "always", "never"),
    "generator.architecture": one_of(*generator.ARCHITECTURES),
    "generator.num_blocks": whole(0),
    "generator.width": whole(1),
    "generator.num_levels": whole(1, 6),
    "generator.norm": one_of(*NORMS),
    "generator.output_scale": number(0, above=True),
    "generator.kernel_init": one_of(*INITIALIZERS),
    "discriminator.architecture": one_of(*discriminator.ARCHITECTURES),
    "discriminator.width": number(1 / 64),  # leaves every layer a channel
    "vgg.weights": text("a file of VGG-19 weights, or random"),
    "vgg.layers": (_are_layers, "use tuples of a layer, relu1_1 to relu5_4, and its weight"),
    "loss.definition": one_of(*DEFINITIONS),
    **{f"loss.{name}": number(0) for name in WEIGHTS},
    "loss.blur_amplitude": number(0),
    "loss.blur_sigma": number(0, above=True),
    "loss.blur_size": (
        lambda value: type(value) is int and value > 0 and value % 2 == 1,
        "use an odd number",
    ),
    "loss.adversarial_reduction": one_of("mean", "sum"),
    "train.batch_size": whole(1),
    "train.num_steps": whole(1),
    "train.learning_rate": number(0),
    "train.schedule": one_of("constant", "cosine"),
    "train.warmup_steps": whole(0),
    "train.adam_b2": SHARE,
    "train.weight_decay": number(0),
    "train.clip_norm": number(0),
    "train.ema_decay": SHARE,
    "train.discriminator_batch": one_of("same", "next"),
    "train.init_from": text("a workdir, or nothing", may_be_empty=True),
    "train.remat": TRUE_OR_FALSE,
    "train.steps_per_call": whole(1),
    "train.log_every_steps": whole(1),
    "train.eval_every_steps": whole(1),
    "train.checkpoint_every_steps": whole(1),
    "train.keep_checkpoints": whole(1),
    "eval.batch_size": whole(1),
    "eval.num_pairs": whole(1),
    "eval.num_pictures": whole(1),
}


def check_fields(config: dict[str, Any], fields: dict[str, Rule], where: str) -> None:
    """Checks that a configuration has these fields and no other, each with an allowed value.

    Raises:
      InputError: names the first field that is wrong, after `where`.
    """
    values = flatten_dict(config, keep_empty_nodes=True, sep=".")
    for name in sorted(values.keys() ^ fields.keys()):
        problem = "is missing" if name in fields else "no such field"
        raise InputError(f"{where}.{name}: {problem}")
    for name, (is_allowed, remedy) in fields.items():
        if not is_allowed(values[name]):
            raise InputError(f"{where}.{name}={values[name]!r}: {remedy}")


def check_weights_file(path: str, where: str) -> None:
    """Raises InputError where VGG-19 weights are to come from a file that does not exist."""
    if path != "random" and not os.path.isfile(path):
        raise InputError(
            f"{where}={path!r}: no such file; {WEIGHT_FILES}, or random to try things out"
        )


def check(config: ml_collections.ConfigDict, where: str = "config") -> None:
    """Checks the configuration of a training.

    Args:
      config: the experiment.
      where: how the user calls it, for the message.

    Raises:
      InputError: a field is missing, unknown or has a value that is not allowed; a field of the
        generator is set that its architecture does not know; fields contradict each other; or the
        file of VGG-19 weights, where it is needed, does not exist.
    """
    check_fields(config.to_dict(), FIELDS, where)
    generator_fields = generator.FIELDS[config.generator.architecture] | {"architecture"}
    unset = config_files.load(config_files.FOLDER / "paper.py").generator
    for name, value in config.generator.items():
        if name not in generator_fields and value != unset[name]:
            raise InputError(
                f"{where}.generator.{name}={value!r}: {config.generator.architecture} has no use "
                f"for it; leave it at {unset[name]!r}, as paper.py has it"
            )
    warmup, num_steps = config.train.warmup_steps, config.train.num_steps
    if warmup >= num_steps:
        raise InputError(
            f"{where}.train.warmup_steps={warmup}: use less than train.num_steps={num_steps}"
        )
    if config.loss.ms_ssim and 0 < config.data.crop < MIN_MS_SSIM_SIDE:
        raise InputError(
            f"{where}.data.crop={config.data.crop}: loss.ms_ssim needs {MIN_MS_SSIM_SIDE} or more"
        )
    if not any(config.loss[name] for name in WEIGHTS):
        raise InputError(f"{where}.loss: give one of {', '.join(WEIGHTS)} a weight above 0")
    if config.loss.content:
        check_weights_file(config.vgg.weights, f"{where}.vgg.weights")
