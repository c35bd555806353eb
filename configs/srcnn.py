"""Dong et al. [12], the paper's first baseline (section 4.1): a 3-layer CNN on the squared error.

    python -m dped_jax.train --config=configs/srcnn.py --workdir=runs/iphone_srcnn

Convs of 9, 5 and 5 pixels with 64 and 32 channels, as the released `dped_srcnn` has them. It is
trained as the paper's own network (section 4.1: "the same train image pairs"): Adam, not the plain
gradient descent of Dong et al. with its smaller rate in the last layer. It keeps the size of its
input; the bicubic upscaling before it, which super-resolution needs, has no place here.
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of Dong et al."""
    config = paper.get_config()
    config.generator.architecture = "srcnn"
    config.loss.color = 0.0
    config.loss.texture = 0.0
    config.loss.content = 0.0
    config.loss.tv = 0.0
    config.loss.mse = 1.0
    return config
