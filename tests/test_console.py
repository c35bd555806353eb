"""`import dped_jax` and `dped-jax` cost next to nothing until something is used."""

import importlib
import importlib.util
import re
import subprocess
import sys
import time

import pytest
import tiny

import dped_jax
from dped_jax import __main__ as console

HEAVY = ("absl", "flax", "grain", "jax", "ml_collections", "numpy", "orbax", "tensorflow_datasets")


def python(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *args], cwd=tiny.ROOT, capture_output=True, text=True, check=False
    )


def loaded_by(statement: str) -> set[str]:
    """Names of the modules in sys.modules after a statement, in a process of its own."""
    result = python("-c", f"{statement}; import sys; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_import_takes_below_a_tenth_of_a_second():
    program = (
        "import time; start = time.perf_counter(); import dped_jax;"
        "print(time.perf_counter() - start)"
    )
    # The least of five: what the import takes, whatever else the machine does.
    assert min(float(python("-c", program).stdout) for _ in range(5)) < 0.1


def test_help_takes_below_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        assert python("-m", "dped_jax", "--help").returncode == 0
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 1


def test_import_loads_nothing_heavy():
    assert not loaded_by("import dped_jax; dir(dped_jax)").intersection(HEAVY)
    assert not loaded_by("import dped_jax.__main__").intersection(HEAVY)


def test_names_are_loaded_when_used():
    assert {"__version__", "load_enhancer", "losses", "metrics"} <= set(dir(dped_jax))
    assert {"jax", "dped_jax.losses"} <= loaded_by("import dped_jax; dped_jax.losses.mse_loss")
    assert dped_jax.metrics is importlib.import_module("dped_jax.metrics")
    enhancer = importlib.import_module("dped_jax.enhance.photo_enhancer")
    assert dped_jax.load_enhancer is enhancer.load_enhancer
    with pytest.raises(AttributeError, match="'dped_jax' has no attribute 'load_enhanser'"):
        _ = dped_jax.load_enhanser


def test_inference_imports_no_training():
    """`enhance` and `load_enhancer` go without losses, VGG, and the libraries of the data."""
    unwanted = ("dped_jax.losses", "dped_jax.train_step", "dped_jax.models.vgg", "grain")
    unwanted += ("tensorflow", "tensorflow_datasets", "dped_jax.convert.vgg_files")
    for statement in (
        "import dped_jax; dped_jax.load_enhancer",
        "import dped_jax.enhance.__main__",
    ):
        loaded = loaded_by(statement)
        assert "dped_jax.enhance.photo_enhancer" in loaded
        assert not loaded.intersection(unwanted)


def test_every_command_is_listed():
    """A command is a module with a `__main__` guard; the study lists its own."""
    guarded = {
        ".".join(file.relative_to(tiny.ROOT).with_suffix("").parts).removesuffix(".__main__")
        for folder in ("dped_jax", "data_builders")
        for file in (tiny.ROOT / folder).rglob("*.py")
        if re.search('^if __name__ == "__main__":', file.read_text(), re.MULTILINE)
    }
    own = {name for name in guarded if name.startswith("dped_jax.study.")} | {"dped_jax"}
    assert guarded - own == {console.module_of(command) for command in console.COMMANDS}
    listed = python("-m", "dped_jax", "--help").stdout
    for command, line in console.COMMANDS.items():
        assert re.search(rf"^  {command} +{re.escape(line)}$", listed, re.MULTILINE)


@pytest.mark.parametrize("command", ["study", "experiments shift", "build"])
def test_commands_run_with_their_flags(command):
    result = python("-m", "dped_jax", *command.split(), "--help")
    module = console.module_of(command)
    assert f"python -m {module}" in result.stdout, result.stderr


@pytest.mark.parametrize("words", [(), ("tarin", "--workdir=w"), ("experiments",), ("--workdir",)])
def test_no_such_command_is_one_line(words):
    result = python("-m", "dped_jax", *words)
    tiny.assert_one_line_error(result, " ".join(words) or "none", "dped-jax --help lists them")


def test_version():
    assert python("-m", "dped_jax", "--version").stdout == f"dped-jax {dped_jax.__version__}\n"
