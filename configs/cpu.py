"""Training without a GPU: `small.py`'s network on pixel losses alone, which need no VGG-19.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m dped_jax.train \
        --config=configs/cpu.py --workdir=runs/cpu --config.data.phone=custom
"""

import ml_collections

from . import small


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of a first training on two CPU cores."""
    config = small.get_config()
    config.data.flip = True
    config.data.crop = 50  # four times the steps in the same time, which teach far more
    config.generator.kernel_init = "he_normal"  # with instance norm, small weights learn badly
    config.loss.color = 0.0
    config.loss.texture = 0.0
    config.loss.content = 0.0
    config.loss.tv = 0.0
    config.loss.mse = 1.0
    config.train.batch_size = 4
    config.train.num_steps = 9_000
    config.train.learning_rate = 2e-3
    config.train.schedule = "cosine"
    # Without a warm-up (here 200 steps) the first ones can drive the tanh to its ends.
    config.train.warmup_steps = config.train.get_ref("num_steps") // 45
    config.train.eval_every_steps = 1_500
    config.train.checkpoint_every_steps = 1_500
    return config
