"""What an exported file says of itself."""

import json
import pathlib
from typing import Any

import flax.linen as nn
import ml_collections

from dped_jax import checkpoint
from dped_jax.models.generator import Generator
from dped_jax.report.page import read_scores

PATHS = (("data", "data_dir"), ("vgg", "weights"), ("train", "init_from"))  # of a machine


def num_statistics(network: nn.Module) -> int:
    """How often statistics of the whole photograph enter a network."""
    if isinstance(network, Generator):
        return 2 * network.num_blocks if network.norm == "instance" else 0
    return len(network.statistics)


def describe(
    workdir: pathlib.Path,
    config: ml_collections.ConfigDict,
    step: int,
    network: nn.Module,
    *,
    scores: str | None = None,
    license_text: str | None = None,
) -> dict[str, Any]:
    """Metadata of a generator's file: JSON values by name, as docs/export.md lists them.

    Args:
      workdir: of the generator.
      config: of the workdir; names of files and folders are left out.
      step: of the checkpoint.
      network: the generator.
      scores: a file that dped_jax.evaluate --json wrote.
      license_text: on what terms the file is given away.

    Raises:
      InputError: there are no scores in that file.
    """
    fields = json.loads(config.to_json())
    for group, name in PATHS:
        fields.get(group, {}).pop(name, None)
    metadata = {
        "format": "dped_jax",
        "version": 1,
        "architecture": config.generator.architecture,
        "config": fields,
        "step": step,
        "stride": network.stride,
        "margin": -(-network.reach // network.stride) * network.stride,
        "statistics": num_statistics(network),
    }
    psnr = checkpoint.read_scores(workdir)[0].get(step)
    if psnr is not None:
        metadata["validation_psnr"] = psnr
    if scores:
        metadata["scores"] = read_scores(pathlib.Path(scores))
    if license_text:
        metadata["license"] = license_text
    return metadata
