"""Networks against each other: trained from scratch on the same pairs for the same time.

    python -m dped_jax.experiments.table --config=configs/networks.py --output_dir=runs/networks \
        --config.data_dir=data/tfds --config.phones="('custom',)"

Eight trainings a seed, each of `config.minutes` of this machine: about 2.5 hours for three seeds.
Beside them stand the released models, where `dped_jax.convert` has put them (a dash elsewhere);
those had 160,000 pairs.

All are trained on the pixel losses of `mobile.py` with its symmetries, gains, weight decay, cosine
and average of the parameters: no VGG-19 and no discriminator, which would take most of the time.
Networks of full resolution learn from crops, as the steps that this leaves time for teach more
than whole patches do, and, with a tanh at the end, at a smaller learning rate.
"""

import ml_collections

from . import mobile, paper, small, table2


def recipe(**generator: object) -> ml_collections.ConfigDict:
    """`mobile.py` with another generator; checked once, and saved a few times, in a training."""
    config = mobile.get_config()
    config.generator.update(generator)
    num_steps = config.train.get_ref("num_steps")
    config.train.eval_every_steps = num_steps
    config.train.checkpoint_every_steps = num_steps // 10 + 1
    return config


def full_resolution(**generator: object) -> ml_collections.ConfigDict:
    """The recipe for networks that compute at the photograph's own resolution."""
    config = recipe(**(paper.get_config().generator.to_dict() | generator))
    config.generator.kernel_init = "he_normal"  # from sigma 0.01 few steps learn little
    config.data.crop = 50
    config.train.learning_rate = 1e-3
    return config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the comparison."""
    config = table2.frame("Networks", split="test", step="newest")
    methods = {
        name: table2.method(f"{title}, released", workdir=f"runs/{name}")
        for name, title in (
            ("iphone_orig", "Paper's network"),
            ("dped_resnet_8_32", "Small ResNet"),
            ("dped_srcnn", "SRCNN"),
            ("ppcn_teacher", "PPCN, teacher"),
            ("ppcn_student", "PPCN, student"),
        )
    }
    for name, title, model in (
        ("paper", "Paper's network", full_resolution()),
        ("small", "Small ResNet", full_resolution(**small.get_config().generator)),
        ("srcnn", "SRCNN", full_resolution(architecture="srcnn")),
        ("teacher", "PPCN, teacher", full_resolution(architecture="ppcn_teacher")),
        ("student", "PPCN, student", full_resolution(architecture="ppcn_student")),
        ("unet8", "U-Net, width 8", recipe(width=8)),
        ("unet12", "U-Net, width 12", recipe(width=12)),
        ("unet16", "U-Net, width 16", recipe(width=16)),
    ):
        methods[name] = table2.method(title, model)
    config.methods.update(methods)
    config.rows = tuple(methods)
    config.ours = "unet16"
    config.phones = ("custom",)
    config.seeds = (0, 1, 2)
    config.minutes = 5.0
    config.costs = ("macs_per_pixel", "parameters", "minutes", "seconds")
    return config.lock()
