"""Finds and loads config files: Python files whose `get_config()` returns a ConfigDict.

Those of this project are in `configs/`, beside this package in the checkout and inside it in the
wheel. They are found by file, never by importing `configs`, so that another folder of that name
does no harm. Every config file is loaded as a module of `dped_jax.configs`: anybody's file may
start from one of this project's with `from dped_jax.configs import paper`.
"""

import pathlib
import re
import runpy
import sys
import types

import ml_collections
from absl import flags
from ml_collections import config_flags

PACKAGE = pathlib.Path(__file__).parent
FOLDER = next(
    folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir()
)


def find(path: str) -> pathlib.Path:
    """Returns the file of this path; where there is none, this project's of `configs/NAME.py`.

    Raises:
      ValueError: there is neither.
    """
    file = pathlib.Path(path)
    if not file.is_file() and file.parent == pathlib.Path("configs"):
        file = FOLDER / file.name
    if not file.is_file():
        names = ", ".join(sorted(file.name for file in FOLDER.glob("[!_]*.py")))
        raise ValueError(f"no such file; configs/ of dped_jax has {names}")
    return file


def load(file: pathlib.Path, *argument: str) -> ml_collections.ConfigDict:
    """Loads a config file.

    Args:
      file: its path.
      *argument: of its `get_config`, where that takes one.

    Returns:
      What its `get_config` returns, locked.

    Raises:
      ValueError: it fails; names the file.
    """
    package = types.ModuleType("dped_jax.configs")
    package.__path__ = [str(FOLDER)]
    sys.modules.setdefault(package.__name__, package)  # the checkout has no such module
    try:
        names = runpy.run_path(str(file), run_name=f"{package.__name__}.{file.stem}")
        return names["get_config"](*argument).lock()
    except Exception as error:  # whatever it is, it is that file's
        raise ValueError(f"{file}: {type(error).__name__}: {error}") from error


class _Parser(flags.ArgumentParser):
    def parse(self, argument: str) -> ml_collections.ConfigDict:
        path, *rest = argument.split(":", 1)
        return load(find(path), *rest)

    def flag_type(self) -> str:
        return "config file"


def define_flag(default: str, help_string: str) -> None:
    """Defines --config, a config file whose fields are overridden as --config.train.num_steps=8.

    Args:
      default: name of this project's file, as "paper.py".
      help_string: what it configures.
    """
    config_flags.DEFINE_config_file("config", None, help_string)
    flag = flags.FLAGS["config"]
    flag.parser, flag.default_as_str = _Parser(), repr(f"configs/{default}")
    flags.declare_key_flag("config")
    # As if typed: then it is loaded, and wrong fields are found, where all flags are parsed.
    if not any(re.match("--?config(=|$)", word) for word in sys.argv[1:]):
        sys.argv.insert(1, f"--config={FOLDER / default}")


flags.disclaim_key_flags()  # --config is one of the command that defines it: --help lists it
