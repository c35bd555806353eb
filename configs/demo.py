"""A few minutes on two CPU cores with simulated cameras (`make demo`).

python -m dped_jax.train --config=configs/demo.py --workdir=runs/demo/model
"""

import ml_collections

from configs import cpu


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the demo."""
    config = cpu.get_config()
    config.data.phone = "custom"
    config.data.data_dir = "runs/demo/tfds"
    config.generator.kernel_init = "truncated_normal"  # he_normal saturates the tanh at first
    config.train.batch_size = 2
    config.train.num_steps = 1_100
    config.train.eval_every_steps = 275
    config.train.checkpoint_every_steps = 275
    config.train.log_every_steps = 25
    return config
