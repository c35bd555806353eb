"""Configurations: every field knows its values, and a wrong one ends before anything is written."""

import importlib
import math

import pytest
import tiny
from flax.traverse_util import flatten_dict

from configs import demo, mobile, paper, table3_small
from dped_jax.base.errors import InputError
from dped_jax.check_config import check
from dped_jax.models import generator
from dped_jax.models.discriminator import make_discriminator
from dped_jax.models.generator import make_generator
from dped_jax.train.loop import train

NUMBERS = (-1.0, math.nan, math.inf, "abc", None)
COUNTS = (0, -1, 2.5, "abc", True)
WORDS = ("", "nonsense", 3)
WRONG = {  # values of every field of paper.py
    "seed": (-1, 2**32, 0.5, "abc", True),
    "compute_dtype": ("float33", "int32", "", 32),
    "matmul_precision": ("tf32", "", None, 32),
    "data.data_dir": ("", 3),
    "data.phone": ("nokia", "", None),
    "data.flip": ("maybe", 2, None),
    "data.transpose": ("maybe", 2, None),
    "data.gain": NUMBERS,
    "data.channel_gain": NUMBERS,
    "data.crop": (-1, 1, 101, 50.0, True),
    "data.decode_once": ("maybe", 2, None),
    "data.on_device": ("yes", True, None, ""),
    "generator.architecture": WORDS,
    "generator.num_blocks": (-1, 1.5, "abc", True),
    "generator.width": COUNTS,
    "generator.num_levels": (7, *COUNTS),
    "generator.norm": ("layer", "", None),
    "generator.output_scale": (0.0, *NUMBERS),
    "generator.kernel_init": ("zeros", "", None),
    "discriminator.architecture": WORDS,
    "discriminator.width": (0.0, 0.01, *NUMBERS),
    "vgg.weights": ("", 3, None),
    "vgg.layers": (
        (),
        "relu5_2",
        5,
        ("relu5_2",),
        (("relu6_1", 1.0),),
        (("relu5_2", 0.0),),
        (("relu5_2", 1.0), ("relu5_2", 1.0)),
    ),
    "loss.definition": WORDS,
    "loss.color": NUMBERS,
    "loss.texture": NUMBERS,
    "loss.content": NUMBERS,
    "loss.tv": NUMBERS,
    "loss.mse": NUMBERS,
    "loss.l1": NUMBERS,
    "loss.ssim": NUMBERS,
    "loss.ms_ssim": NUMBERS,
    "loss.blur_amplitude": NUMBERS,
    "loss.blur_sigma": (0.0, *NUMBERS),
    "loss.blur_size": (0, 4, -3, 21.0, True),
    "loss.adversarial_reduction": ("median", "", None),
    "train.batch_size": COUNTS,
    "train.num_steps": COUNTS,
    "train.learning_rate": NUMBERS,
    "train.schedule": ("step", "", None),
    "train.warmup_steps": (-1, 1.5, "abc", 20_000, 20_001),
    "train.adam_b2": (1.0, *NUMBERS),
    "train.weight_decay": NUMBERS,
    "train.clip_norm": NUMBERS,
    "train.ema_decay": (1.0, *NUMBERS),
    "train.discriminator_batch": ("other", "", None),
    "train.init_from": (3, None),
    "train.remat": ("maybe", 2, None),
    "train.steps_per_call": COUNTS,
    "train.log_every_steps": COUNTS,
    "train.eval_every_steps": COUNTS,
    "train.checkpoint_every_steps": COUNTS,
    "train.keep_checkpoints": COUNTS,
    "eval.batch_size": COUNTS,
    "eval.num_pairs": COUNTS,
    "eval.num_pictures": COUNTS,
}
FIELDS = sorted(flatten_dict(paper.get_config().to_dict(), sep="."))


def changed(field, value):
    """paper.py with a value that ml_collections would refuse to put there."""
    config = paper.get_config().unlock()
    config.vgg.weights = "random"
    *groups, name = field.split(".")
    group = config[groups[0]] if groups else config
    with group.ignore_type():
        group[name] = value
    return config


def test_every_field_has_wrong_values():
    assert sorted(WRONG) == FIELDS
    assert min(map(len, WRONG.values())) >= 2


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_values_are_named_with_what_to_use(field):
    check(changed("seed", 0))
    for value in WRONG[field]:
        with pytest.raises(InputError) as error:
            check(changed(field, value))
        assert str(error.value).startswith(f"config.{field}={value!r}: use ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["paper", "release", "small", "johnson", "srcnn", "mobile", "mobile_perceptual", "demo"],
)
def test_the_projects_configs_are_allowed(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.vgg.weights = "random"
    check(config)


def test_fields_that_are_not_there_and_that_nobody_knows():
    config = paper.get_config().unlock()
    del config.train.schedule
    with pytest.raises(InputError, match=r"^config\.train\.schedule: is missing"):
        check(config)
    config = paper.get_config().unlock()
    config.train.shedule = "cosine"
    with pytest.raises(InputError, match=r"^here\.train\.shedule: no such field"):
        check(config, "here")


def test_fields_that_contradict_each_other(tmp_path):
    config = paper.get_config()
    config.vgg.weights = str(tmp_path / "vgg.mat")
    with pytest.raises(InputError, match=r"^config\.vgg\.weights='.*vgg\.mat': no such file; use"):
        check(config)
    config.loss.content = 0.0  # needs no file
    check(config)
    config.train.num_steps = config.train.warmup_steps = 7
    with pytest.raises(InputError, match=r"warmup_steps=7: use less than train\.num_steps=7"):
        check(config)
    config.train.warmup_steps = 6
    check(config)
    config.loss.ms_ssim, config.data.crop = 1.0, 15
    with pytest.raises(InputError, match=r"data\.crop=15: loss\.ms_ssim needs 16 or more"):
        check(config)
    config.data.crop = 16
    check(config)
    config.loss.color = config.loss.texture = config.loss.tv = config.loss.ms_ssim = 0.0
    with pytest.raises(InputError, match=r"^config\.loss: give one of color, .*a weight above 0"):
        check(config)


@pytest.mark.parametrize(
    ("architecture", "field", "value"),
    [
        ("unet", "norm", "instance"),
        ("unet", "num_blocks", 2),
        ("unet", "output_scale", 0.6),
        ("resnet", "num_levels", 3),
        ("srcnn", "width", 32),
        ("ppcn_teacher", "norm", "none"),
        ("ppcn_student", "num_blocks", 1),
        ("identity", "kernel_init", "he_normal"),
    ],
)
def test_a_field_that_the_architecture_does_not_know_is_refused(architecture, field, value):
    config = changed("generator.architecture", architecture)
    check(config)
    config.generator[field] = value
    with pytest.raises(
        InputError,
        match=rf"^config\.generator\.{field}={value!r}: {architecture} has no use for it",
    ):
        check(config)


@pytest.mark.parametrize("architecture", generator.ARCHITECTURES)
def test_fields_are_known_exactly_where_they_change_the_network(architecture):
    def network(**fields):
        config = changed("generator.architecture", architecture)
        config.generator.update(fields)
        return make_generator(config)

    others = {"num_blocks": 2, "width": 32, "num_levels": 3, "norm": "none", "output_scale": 0.6,
              "kernel_init": "he_normal"}  # fmt: skip
    assert {*others, "architecture"} == set(paper.get_config().generator)
    changing = {name for name, value in others.items() if network(**{name: value}) != network()}
    assert changing == generator.FIELDS[architecture]


def test_a_shortened_run_warms_up_for_a_shorter_time():
    """The part of the steps stays, as a fixed number would not fit into few of them."""
    start = table3_small.get_config().methods.start.model
    for config in (mobile.get_config(), demo.get_config(), start):
        share = 1 / 30
        for num_steps in (1, 50, 500):
            config.train.num_steps = num_steps
            check(config)
            assert config.train.warmup_steps == int(share * num_steps + 1e-9)
        config.train.warmup_steps = 499  # what is given is taken
        check(config)
        assert config.train.warmup_steps == 499


def test_a_network_of_no_such_architecture_is_named():
    for make, kind in ((make_generator, "generator"), (make_discriminator, "discriminator")):
        config = changed(f"{kind}.architecture", "patch")
        with pytest.raises(ValueError, match=f"{kind}.architecture='patch': use .* or "):
            make(config)


def test_the_command_writes_nothing_and_the_corrected_one_runs_in_the_same_workdir(
    tmp_path, tiny_config
):
    """What can be noticed at once, and what only when files are read; flags: test_config_files."""
    fields = flatten_dict(tiny_config.to_dict(), sep=".")
    fields |= {"train.num_steps": 1, "train.eval_every_steps": 1, "loss.texture": 0.0}
    right = [f"--config.{name}={value}" for name, value in fields.items()]
    right += [f"--workdir={tmp_path / 'w'}"]
    for wrong, words in (
        ({"train.batch_size": 0}, "config.train.batch_size=0: use a whole number"),
        ({"compute_dtype": "float33"}, "config.compute_dtype='float33': use float32"),
        ({"loss.content": 1.0, "vgg.weights": "a.mat"}, "'a.mat': no such file"),
        ({"train.init_from": "nowhere"}, "nowhere"),
    ):
        config = tiny_config.copy_and_resolve_references()
        config.update_from_flattened_dict(wrong)
        with pytest.raises(InputError, match=words):
            train(config, tmp_path / "w")
        assert list(tmp_path.iterdir()) == []
    for flag, words in (
        ("--config.train.batch_size=0", "config.train.batch_size=0: use a whole number"),
        ("--workdir=", "--workdir=: empty"),
        ("--num_devices=3", "--num_devices=3: config.train.batch_size=4 divides among"),
    ):
        result = tiny.command("dped_jax.train", *right, flag)
        tiny.assert_one_line_error(result, words)
        assert list(tmp_path.iterdir()) == []
    result = tiny.command("dped_jax.train", *right)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "w" / "checkpoints" / "1").is_dir()
