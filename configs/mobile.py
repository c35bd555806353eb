"""A network that a phone can run, trained from scratch without VGG file and GPU.

    python -m dped_jax.train --config=configs/mobile.py --workdir=runs/mobile \
        --config.data.data_dir=data/tfds --config.data.phone=iphone

PLACEHOLDER
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the U-Net on pixel losses."""
    config = paper.get_config()
    config.data.flip = True
    config.data.transpose = True
    config.generator.architecture = "unet"
    config.generator.width = 12  # 4.7K multiply-adds a pixel; 8 makes 2.3K
    config.generator.num_levels = 3
    config.generator.kernel_init = "he_normal"
    config.loss.color = 0.0
    config.loss.texture = 0.0
    config.loss.content = 0.0
    config.loss.tv = 0.0
    config.loss.l1 = 1.0
    config.loss.ms_ssim = 0.5
    config.train.batch_size = 10
    config.train.num_steps = 3_000
    config.train.learning_rate = 2e-3
    config.train.schedule = "cosine"
    config.train.warmup_steps = config.train.get_ref("num_steps") // 30
    config.train.adam_b2 = 0.99
    config.train.weight_decay = 0.05
    config.train.clip_norm = 1.0
    config.train.ema_decay = 0.998
    config.train.eval_every_steps = 500
    config.train.checkpoint_every_steps = 500
    return config
