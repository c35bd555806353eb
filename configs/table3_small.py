"""Table 3 without a GPU: the network of `mobile.py`, VGG-19 with random weights, few steps.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m dped_jax.experiments.table \
        --config=configs/table3_small.py --output_dir=runs/table3_small

So few steps teach nothing from scratch. All losses go on from the same generator, which was trained
as `mobile.py` says, for fewer steps; its own scores are a row of the table.
"""

import ml_collections

from . import mobile, mobile_perceptual, table2, table3


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of Table 3 in small."""
    start = mobile.get_config()
    start.train.num_steps = 1_000
    model = mobile_perceptual.get_config()
    model.train.init_from = "{models}/start_{phone}_{seed}"
    model.train.batch_size = 4
    model.train.num_steps = 200
    model.train.learning_rate = 1e-4
    model.train.log_every_steps = 20
    model.train.eval_every_steps = 100
    model.train.checkpoint_every_steps = 100
    config = table3.get_config(model)
    with config.unlocked():
        config.title = "Table 3 in small: losses"
        config.vgg_weights = "random"
        config.phones = ("custom",)
        config.rows = ("start", *config.rows)
        config.methods.start = table2.method("Common start: pixel losses", start)
    return config
