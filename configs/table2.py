"""Table 2: methods and phones, scored on the test split (sections 4.1 and 4.2).

    python -m dped_jax.experiments.table --config=configs/table2.py --output_dir=runs/table2

A method is trained (`model`), or it is a finished model (`workdir`), or a folder of pictures that
something else has made of the split's phone patches under the same names (`enhanced_dir`). Paths
may have {phone}, {seed} and {models}, the folder of the workdirs trained here. Set, for example,
--config.methods.ours.workdir=runs/{phone} to take models that are there.
"""

import ml_collections

from . import johnson, paper, srcnn


def method(
    title: str,
    model: ml_collections.ConfigDict | None = None,
    *,
    workdir: str = "",
    enhanced_dir: str = "",
    published: dict[str, tuple[float, float]] | None = None,
) -> ml_collections.ConfigDict:
    """A row: its name, where its pictures come from, and the paper's PSNR and SSIM by phone."""
    entry = ml_collections.ConfigDict({"title": title, "published": published or {}})
    entry.model = ml_collections.config_dict.placeholder(ml_collections.ConfigDict)
    if model is not None:
        entry.model = model
    entry.seeds = ()  # those of the table, unless given
    entry.workdir = workdir
    entry.enhanced_dir = enhanced_dir
    return entry


def frame(title: str, split: str, step: str) -> ml_collections.ConfigDict:
    """The fields of a table, without methods yet."""
    config = ml_collections.ConfigDict()
    config.title = title
    config.phones = ("iphone", "blackberry", "sony")
    config.rows = ()  # methods in the order of the table; those left out are not trained
    config.ours = "ours"  # the method whose worst pictures are shown, and sliders
    config.seeds = (0,)  # of the trained methods; with several, means and spread are given
    config.data_dir = "data/tfds"
    config.split = split  # of the dataset; its pictures are scored
    config.phone_dir = ""  # folders to score instead of a split, with {phone}; with dslr_dir
    config.dslr_dir = ""
    config.step = step  # checkpoint of each model: best by validation PSNR, or newest
    config.allow_seen = False  # whether to score models on what they were trained on
    config.vgg_weights = paper.get_config().vgg.weights
    config.perceptual = ()  # further scores: "lpips", "niqe"; with the weights' files (README)
    config.lpips_weights = ""
    config.niqe_weights = ""
    config.minutes = 0.0  # of every training, whose num_steps it sets; 0: as many as its model says
    # Further columns: "macs_per_pixel", "parameters", "minutes" (of training) and "seconds" (for
    # 12 megapixels); with them a picture of the scores against the first.
    config.costs = ()
    config.num_pictures = 8  # patches on a sheet
    config.methods = ml_collections.ConfigDict()
    return config


def get_config() -> ml_collections.ConfigDict:
    """Returns the configuration of Table 2; the numbers are the paper's."""
    config = frame("Table 2: methods", split="test", step="best")
    methods = config.methods
    methods.ape = method(
        "Apple Photo Enhancer",
        enhanced_dir="ape/{phone}",
        published={
            "iphone": (17.28, 0.8631), "blackberry": (18.91, 0.8922), "sony": (19.45, 0.9168),
        },
    )  # fmt: skip
    methods.manual = method("Manual enhancement", enhanced_dir="manual/{phone}")
    methods.dong = method(
        "Dong et al.",
        srcnn.get_config(),
        published={
            "iphone": (19.90, 0.8813), "blackberry": (19.34, 0.8998), "sony": (22.00, 0.9291),
        },
    )  # fmt: skip
    methods.johnson = method(
        "Johnson et al.",
        johnson.get_config(),
        published={
            "iphone": (19.65, 0.9003), "blackberry": (19.31, 0.9229), "sony": (21.07, 0.9378),
        },
    )  # fmt: skip
    methods.ours = method(
        "Ours",
        paper.get_config(),
        published={
            "iphone": (19.16, 0.9114), "blackberry": (19.51, 0.9259), "sony": (21.97, 0.9400),
        },
    )  # fmt: skip
    config.rows = ("ape", "manual", "dong", "johnson", "ours")
    return config.lock()
