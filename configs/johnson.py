"""Johnson et al. [24], the paper's second baseline (section 4.1): VGG features are the only loss.

    python -m dped_jax.train --config=configs/johnson.py --workdir=runs/iphone_johnson

The loss is theirs for super-resolution: the squared distance at relu2_2 over C*H*W, here of VGG-19,
which the whole project uses, where they have VGG-16. The network is the paper's generator, which
has the four residual blocks of two convs that the paper ascribes to them, at full resolution
throughout. Their network for style transfer first halves the picture twice and enlarges it at the
end, which saves time and widens what a pixel sees; both cost detail, and detail that is there in
the input has to be kept here. Their networks for super-resolution enlarge, where input and output
have one size here. So both are dropped.
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of Johnson et al."""
    config = paper.get_config()
    config.loss.definition = "release"  # of the content loss: squared, as theirs
    config.loss.color = 0.0
    config.loss.texture = 0.0
    config.loss.content = 1.0
    config.loss.tv = 0.0
    config.vgg.layers = (("relu2_2", 1.0),)
    return config
