"""Section 3.1.2: discriminators of two images and of one, told to separate phone from DSLR patches.

    python -m dped_jax.experiments.discriminators --config=configs/discriminators.py \
        --output_dir=runs/discriminators --config.phone=iphone

The phone's patches stand where the generator's are in training. Accuracies are those on the
dataset's validation split.
"""

import ml_collections

from . import paper

MODELS = {  # the paper's accuracy and the iterations that it took
    "bi_channel": ("two images at once (paper)", (0.99, 300)),
    "counterpart": ("the same network, one image", (0.86, 5_000)),
    "single_channel": ("the release's network, one image", None),
}


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of the comparison; `config.models` has the three trainings."""
    config = ml_collections.ConfigDict()
    config.data_dir = "data/tfds"
    config.phone = "iphone"
    config.batch_size = 50  # (3.2.3)
    config.learning_rate = 5e-4  # (3.2.3)
    config.flip = False
    config.eval_every_steps = 100
    config.models = ml_collections.ConfigDict()
    for name, (title, published) in MODELS.items():
        model = paper.get_config()
        model.generator.architecture = "identity"
        model.discriminator.architecture = name
        model.loss.color = 0.0
        model.loss.content = 0.0
        model.loss.tv = 0.0
        model.data.data_dir = config.get_ref("data_dir")
        model.data.phone = config.get_ref("phone")
        model.data.flip = config.get_ref("flip")
        model.train.batch_size = config.get_ref("batch_size")
        model.train.learning_rate = config.get_ref("learning_rate")
        model.train.num_steps = 5_000
        model.train.log_every_steps = config.get_ref("eval_every_steps")
        model.train.eval_every_steps = config.get_ref("eval_every_steps")
        model.train.keep_checkpoints = 1
        model.eval.num_pictures = 1
        config.models[name] = ml_collections.ConfigDict(
            {"title": title, "published": published, "model": model}
        )
    return config.lock()
