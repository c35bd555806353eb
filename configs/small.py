"""The paper's losses with the smaller released generator (`dped_resnet_8_32`): 5.6 times cheaper.

python -m dped_jax.train --config=configs/small.py --workdir=runs/iphone_small
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the paper's configuration with 2 residual blocks of 32 channels, instance norm."""
    config = paper.get_config()
    config.generator.num_blocks = 2
    config.generator.width = 32
    config.generator.norm = "instance"
    return config
