"""Generators that were published as TensorFlow checkpoints, as parameters of this project's."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dped_jax import config_files
from dped_jax.base.errors import InputError
from dped_jax.models.generator import make_generator

SCOPES = ("generator", "generator_s", "generator_little")  # the release's; PPCN's two


def read_tensorflow_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    """Reads the generator's variables of a TensorFlow checkpoint.

    Args:
      prefix: path without `.index`.

    Returns:
      Arrays by name, without the scope.

    Raises:
      InputError: no such checkpoint, not readable, or TensorFlow is not installed.
    """
    if not pathlib.Path(f"{prefix}.index").exists():
        raise InputError(f"--checkpoint={prefix}: {prefix}.index does not exist")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise InputError("dped_jax.convert needs TensorFlow: pip install tensorflow-cpu") from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = reader.get_variable_to_shape_map()
        return {
            name.partition("/")[2]: reader.get_tensor(name)
            for name in names
            if name.partition("/")[0] in SCOPES
        }
    except Exception as error:  # whatever TensorFlow makes of damaged and truncated files
        raise InputError(f"--checkpoint={prefix}: cannot be read: {error}") from error


def convert_generator(
    variables: Mapping[str, np.ndarray],
) -> tuple[ml_collections.ConfigDict, dict[str, Any]]:
    """Maps published variables to a configuration and this project's parameters.

    Args:
      variables: by the release's names: W1, b1, ..., Variable, Variable_1, ... (k-th norm: shift
        `Variable_{2k}`, scale `Variable_{2k+1}`), or w1 to w3 and b1 to b3 of SRCNN; PPCN's are
        named as the first, from W0.

    Returns:
      `configs/release.py` with the network's fields set, and the parameter tree.

    Raises:
      InputError: it is none of these networks.
    """

    def norm(k: int, name: str) -> dict[str, np.ndarray | None]:
        return {
            f"{name}/InstanceNorm_0/bias": variables.get(f"Variable_{2 * k}" if k else "Variable"),
            f"{name}/InstanceNorm_0/scale": variables.get(f"Variable_{2 * k + 1}"),
        }

    config = config_files.load(config_files.FOLDER / "release.py")
    if "w1" in variables:
        config.generator.architecture = "srcnn"
        convs = ["conv_first", "conv_middle"]
        flat = {f"{name}/kernel": variables.get(f"w{i}") for i, name in enumerate(convs, 1)}
        flat |= {f"{name}/bias": variables.get(f"b{i}") for i, name in enumerate(convs, 1)}
        flat |= {"conv_last/kernel": variables.get("w3"), "bias_last": variables.get("b3")}
    elif variables.keys() & {"W0", "b0"}:
        student = not variables.keys() & {"W5", "W6", "W7"}
        config.generator.architecture = "ppcn_student" if student else "ppcn_teacher"
        flat = {}
        for k in range(5 if student else 8):
            flat[f"conv{k}/kernel"] = variables.get(f"W{k}")
            flat[f"conv{k}/bias"] = variables.get(f"b{k}")
        for k in range(2 if student else 4):
            flat |= norm(k, f"norm{k}")
    else:
        num_blocks = max(0, (sum(name.startswith("W") for name in variables) - 4) // 2)
        config.generator.num_blocks = num_blocks
        config.generator.width = variables["W1"].shape[-1] if "W1" in variables else 0
        in_blocks = [(i, j) for i in range(num_blocks) for j in range(2)]
        names = ["conv_first", *(f"block{i}_conv{j}" for i, j in in_blocks)]
        names += ["conv_post0", "conv_post1", "conv_last"]
        flat = {f"{name}/kernel": variables.get(f"W{k}") for k, name in enumerate(names, 1)}
        flat |= {f"{name}/bias": variables.get(f"b{k}") for k, name in enumerate(names, 1)}
        for k, (i, j) in enumerate(in_blocks):
            flat |= norm(k, f"block{i}_norm{j}")
    _check_shapes(config, variables, flat)
    return config, unflatten_dict(flat, sep="/")


def _check_shapes(config, variables, flat) -> None:
    found = {name: getattr(array, "shape", None) for name, array in flat.items()}
    network = make_generator(config)
    images = jnp.zeros((1, 100, 100, 3))
    expected = jax.eval_shape(network.init, jax.random.PRNGKey(0), images)["params"]
    expected = {name: leaf.shape for name, leaf in flatten_dict(expected, sep="/").items()}
    used = sum(array is not None for array in flat.values())
    if found != expected or used != len(variables):
        listed = ", ".join(sorted(variables)[:5]) or "none"
        wrong = [name for name in flat if found[name] != expected.get(name)]
        architecture = config.generator.architecture
        detail = f"as {architecture}, {', '.join(wrong[:3])} would be missing; " if wrong else ""
        raise InputError(
            "--checkpoint: not a generator of the published families (residual with instance norm, "
            f"SRCNN or PPCN); {detail}its variables in the scopes {', '.join(SCOPES)}: "
            f"{listed}{', ...' if used else ''}"
        )
