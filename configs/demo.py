"""A few minutes on two CPU cores with simulated cameras (`make demo`).

python -m dped_jax.train --config=configs/demo.py --workdir=runs/demo/model

The network is cut down to what learns the colours of an unseen photograph in that time; with
residual blocks, short runs stayed far behind.
"""

import ml_collections

from . import cpu


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the demo."""
    config = cpu.get_config()
    config.data.phone = "custom"
    config.data.data_dir = "runs/demo/tfds"
    config.data.crop = 0
    config.generator.num_blocks = 0
    config.generator.width = 16
    config.train.batch_size = 2  # many small steps teach more in the same time than few large ones
    config.train.num_steps = 1_800
    config.train.warmup_steps = 0
    config.train.learning_rate = 1e-3
    config.train.eval_every_steps = 300
    config.train.checkpoint_every_steps = 300
    config.train.log_every_steps = 25
    return config
