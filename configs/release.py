"""The system as the authors' published code has it, where that differs from the paper.

python -m dped_jax.train --config=configs/release.py --workdir=runs/iphone_release
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the authors' release."""
    config = paper.get_config()
    config.generator.norm = "instance"
    config.discriminator.architecture = "single_channel"
    config.vgg.layers = (("relu5_4", 1.0),)
    config.loss.definition = "release"
    config.loss.color = 0.5
    config.loss.texture = 1.0
    config.loss.content = 10.0
    config.loss.tv = 2_000.0
    config.loss.adversarial_reduction = "sum"
    config.train.discriminator_batch = "next"
    return config
