"""A few minutes on two CPU cores with simulated cameras (`make demo`).

python -m dped_jax.train --config=configs/demo.py --workdir=runs/demo/model
"""

import ml_collections

from . import mobile


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the demo."""
    config = mobile.get_config()
    config.data.phone = "custom"
    config.data.data_dir = "runs/demo/tfds"
    config.data.gain = 0.15  # what 1,800 steps can take
    config.data.channel_gain = 0.07
    config.train.num_steps = 1_800
    config.train.eval_every_steps = 300
    config.train.checkpoint_every_steps = 300
    config.train.log_every_steps = 25
    return config
