"""`mobile.py`'s network under the paper's losses, for hosts with a GPU and a VGG-19 file.

    python -m dped_jax.train --config=configs/mobile_perceptual.py \
        --workdir=runs/mobile_perceptual --config.vgg.weights=imagenet-vgg-verydeep-19.mat

Time and scores: not measured.
"""

import ml_collections

from . import mobile, paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the paper's configuration with the U-Net in place of its generator."""
    config = paper.get_config()
    config.data = mobile.get_config().data
    config.generator = mobile.get_config().generator
    return config
