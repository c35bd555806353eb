"""A network that a phone can run, trained from scratch without VGG file and GPU.

    python -m dped_jax.train --config=configs/mobile.py --workdir=runs/mobile \
        --config.data.data_dir=data/tfds --config.data.phone=iphone

About 7 minutes on two CPU cores. Trained on 240 real pairs, 12 of them for validation, three seeds
gave 22.12, 22.45 and 22.55 dB, MS-SSIM 0.9302, 0.9317 and 0.9321 on 60 others (`pirm`).

The gains keep a few hundred pairs from being learnt by heart: half as strong, and 4,000 steps, gave
21.96 dB. The model is the average of the last few hundred steps: single checks of it hardly differ,
while those of the network under training differ by 0.3 dB and more, so that the best of them would
be one of chance. Validation is rare for the same reason: on few pairs one that is nearly blank can
move its mean by 2 dB. With `--config.generator.width=12` a pixel costs 2.9K multiply-adds instead
of 4.8K.
"""

import ml_collections

from . import paper


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the U-Net on pixel losses."""
    config = paper.get_config()
    config.data.flip = True
    config.data.transpose = True
    config.data.gain = 0.3
    config.data.channel_gain = 0.1
    config.generator.architecture = "unet"
    config.generator.width = 16
    config.generator.num_levels = 2  # with three, 200 pairs are learnt by heart sooner
    config.generator.kernel_init = "he_normal"
    config.loss.color = 0.0
    config.loss.texture = 0.0
    config.loss.content = 0.0
    config.loss.tv = 0.0
    config.loss.l1 = 1.0
    config.loss.ms_ssim = 0.5
    config.train.batch_size = 5
    config.train.num_steps = 10_000
    config.train.learning_rate = 3e-3
    config.train.schedule = "cosine"
    config.train.warmup_steps = config.train.get_ref("num_steps") // 30
    config.train.adam_b2 = 0.99
    config.train.weight_decay = 0.05
    config.train.clip_norm = 1.0
    config.train.ema_decay = 0.998
    config.train.eval_every_steps = 5_000
    config.train.checkpoint_every_steps = 1_000
    return config
