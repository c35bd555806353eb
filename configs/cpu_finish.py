"""The second half of training without a GPU: whole patches, from the generator of `cpu.py`.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m dped_jax.train \
        --config=configs/cpu_finish.py --workdir=runs/cpu_finish --config.data.phone=custom \
        --config.train.init_from=runs/cpu

Instance norm's statistics over a crop are not those over a patch: without this step the generator
loses about 1 dB.
"""

import ml_collections

from . import cpu


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the last steps; `train.init_from` is to be given."""
    config = cpu.get_config()
    config.data.crop = 0
    config.train.num_steps = 600
    config.train.learning_rate = 5e-4
    config.train.warmup_steps = config.train.get_ref("num_steps") // 30
    config.train.eval_every_steps = 300
    return config
