"""Where the methods of a table come from, and what its configuration may hold."""

import functools
import pathlib
import re
import string

import ml_collections

from dped_jax import check_config
from dped_jax.base.errors import InputError
from dped_jax.check_config import number, one_of, text, whole
from dped_jax.experiments import costs, training


class NotThereError(InputError):
    """A method was not given for a phone: a dash in the table, not a failure."""


def filled(path: str, **values: object) -> str:
    """Fills the {phone}, {seed} and {models} of a path of the config.

    Raises:
      InputError: the path has other fields.
    """
    names = {name for _, name, _, _ in string.Formatter().parse(path) if name is not None}
    if not names <= values.keys():
        raise InputError(f"config: {path!r}: write only {{phone}}, {{seed}} and {{models}} in it")
    return path.format(**values)


def is_trained(method: ml_collections.ConfigDict) -> bool:
    """Whether a method is trained by its table, rather than found finished."""
    return method.model is not None and not (method.workdir or method.enhanced_dir)


def plan(config: ml_collections.ConfigDict) -> list[tuple[str, int]]:
    """Methods and seeds in the order of work: the whole table for the first seed, then the next."""

    def seeds(name: str) -> tuple[int, ...]:
        method = config.methods[name]
        return (method.seeds or config.seeds) if is_trained(method) else config.seeds[:1]

    entries = [(k, name, seed) for name in config.rows for k, seed in enumerate(seeds(name))]
    return [(name, seed) for _, name, seed in sorted(entries, key=lambda entry: entry[0])]


def trained_model(
    config: ml_collections.ConfigDict, name: str, phone: str, seed: int, models: pathlib.Path
) -> ml_collections.ConfigDict:
    """The configuration of a method's training, for a phone and a seed."""
    model = config.methods[name].model.copy_and_resolve_references()
    model.seed = seed
    model.data.data_dir, model.data.phone = config.data_dir, phone
    model.vgg.weights = config.vgg_weights
    init_from = model.train.init_from
    model.train.init_from = filled(init_from, phone=phone, seed=seed, models=models)
    return model


def find_method(
    config: ml_collections.ConfigDict, name: str, phone: str, seed: int, models: pathlib.Path
) -> tuple[pathlib.Path, bool]:
    """Finds a method's workdir, trained if need be, or its folder of pictures.

    Returns:
      The path, and whether it is a folder of pictures.

    Raises:
      NotThereError: a workdir or folder that the config names does not exist.
      InputError: the training failed.
    """
    method = config.methods[name]
    values = {"phone": phone, "seed": seed, "models": models}
    for field in ("workdir", "enhanced_dir"):
        if method[field]:
            path = pathlib.Path(filled(method[field], **values))
            if not path.is_dir():
                raise NotThereError(f"config.methods.{name}.{field}: no folder {path}")
            return path, field == "enhanced_dir"
    workdir = models / f"{name}_{phone}_{seed}"
    training.ensure_trained(trained_model(config, name, phone, seed, models), workdir)
    return workdir, False


def set_steps(config: ml_collections.ConfigDict, output_dir: pathlib.Path) -> None:
    """Sets the steps of all trainings to as many as take `config.minutes`, where that is not 0.

    Speeds are measured once, one method after the other, before anything is trained; see
    `costs.measured`. A training that lasts otherwise in the end, as on a machine that others use,
    has its steps nevertheless, so that its schedule fits and the result can be had again.

    Raises:
      InputError: see `training.steps_per_second`.
    """
    for name in config.rows if config.minutes else ():
        if is_trained(config.methods[name]):
            model = trained_model(config, name, config.phones[0], config.seeds[0], output_dir)
            speed = costs.measured(
                output_dir / "measured.json",
                "steps per second",
                name,
                functools.partial(training.steps_per_second, model),
            )
            steps = max(1, round(60 * config.minutes * speed))
            config.methods[name].model.train.num_steps = steps


def _some(rule: check_config.Rule, *, at_least: int = 1) -> check_config.Rule:
    is_allowed, remedy = rule
    return (
        lambda values: (
            type(values) in (tuple, list)
            and len(values) >= at_least
            and all(map(is_allowed, values))
        ),
        f"give at least {at_least}, as a tuple: {remedy}",
    )


FIELDS: dict[str, check_config.Rule] = {
    "title": text("a title"),
    "phones": _some(check_config.FIELDS["data.phone"]),
    "rows": _some(text("names of methods")),
    "ours": text("the name of a method"),
    "seeds": _some(check_config.FIELDS["seed"]),
    "data_dir": check_config.FIELDS["data.data_dir"],
    "split": one_of("train", "validation", "test"),
    "phone_dir": text("a folder", may_be_empty=True),
    "dslr_dir": text("a folder", may_be_empty=True),
    "step": (
        lambda value: type(value) is str and bool(re.fullmatch("best|newest|[0-9]+", value)),
        "use best, newest or a step",
    ),
    "allow_seen": check_config.TRUE_OR_FALSE,
    "vgg_weights": check_config.FIELDS["vgg.weights"],
    "perceptual": _some(one_of("lpips", "niqe"), at_least=0),
    "lpips_weights": text("a file", may_be_empty=True),
    "niqe_weights": text("a file", may_be_empty=True),
    "minutes": number(0),
    "costs": _some(one_of(*costs.COLUMNS), at_least=0),
    "num_pictures": whole(1),
}


def check(config: ml_collections.ConfigDict) -> None:
    """Checks the configuration of a table, before anything is trained or written.

    Raises:
      InputError: a field has a value that is not allowed; a method has neither model, workdir nor
        enhanced_dir, or its model cannot be trained, see `check_config.check`.
    """
    fields = config.to_dict()
    del fields["methods"]
    check_config.check_fields(fields, FIELDS, "config")
    unknown = [name for name in config.rows if name not in config.methods]
    if unknown:
        raise InputError(
            f"config.rows={config.rows}: no such method; there are {', '.join(config.methods)}"
        )
    for name in ("phone_dir", "dslr_dir"):
        filled(config[name], phone="")
    if bool(config.phone_dir) != bool(config.dslr_dir):
        raise InputError("config.phone_dir and config.dslr_dir: give both or none")
    for name, seed in plan(config):
        method, where = config.methods[name], f"config.methods.{name}"
        paths = [method.workdir, method.enhanced_dir]
        for path in paths:
            filled(path, phone="", seed=seed, models="")
        if any(paths):
            continue
        if method.model is None:
            raise InputError(f"{where}: give its model, workdir or enhanced_dir")
        if method.model.loss.content:
            check_config.check_weights_file(config.vgg_weights, "config.vgg_weights")
        model = trained_model(config, name, config.phones[0], seed, pathlib.Path())
        check_config.check(model, f"{where}.model")
