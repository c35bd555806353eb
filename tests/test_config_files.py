"""Config files are found by file: in the checkout, from elsewhere, beside a foreign `configs`."""

import subprocess
import sys

import pytest
import tiny

from configs import paper, small, table3_small
from dped_jax import config_files


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The current directory: a folder whose own `configs` package must not be imported."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise RuntimeError('foreign configs')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file, body: str):
    file.write_text("from dped_jax.configs import paper\n\n\ndef get_config():\n" + body)
    return file


def test_files_of_the_checkout_are_what_importing_gives():
    for name, module in {"paper": paper, "small": small, "table3_small": table3_small}.items():
        loaded = config_files.load(tiny.ROOT / "configs" / f"{name}.py")
        assert loaded.to_json() == module.get_config().to_json()
        assert loaded.is_locked


def test_a_path_that_is_not_here_is_the_projects(elsewhere):
    found = config_files.find("configs/small.py")
    assert found == tiny.ROOT / "configs" / "small.py"
    assert config_files.load(found).to_json() == small.get_config().to_json()
    with pytest.raises(ValueError, match=r"no such file; configs/ of dped_jax has demo\.py, "):
        config_files.find("other/small.py")


def test_a_file_that_is_here_comes_first(elsewhere):
    write(elsewhere / "configs" / "small.py", "    return paper.get_config()\n")
    found = config_files.find("configs/small.py")
    assert config_files.load(found).to_json() == paper.get_config().to_json()


def test_anybodys_file_may_start_from_the_projects(elsewhere):
    body = "    config = paper.get_config()\n    config.seed = 7\n    return config\n"
    config = config_files.load(write(elsewhere / "mine.py", body))
    assert config.seed == 7
    assert config.train.to_json() == paper.get_config().train.to_json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1 / 0\n", r"mine\.py: ZeroDivisionError: division by zero"),
        ("    return None\n", r"mine\.py: AttributeError: 'NoneType' .*lock"),
        ("    return paper.get_config(3)\n", r"mine\.py: TypeError: get_config\(\)"),
        ("    return (\n", r"mine\.py: SyntaxError: "),
    ],
)
def test_a_file_that_fails_is_named(elsewhere, body, message):
    with pytest.raises(ValueError, match=message):
        config_files.load(write(elsewhere / "mine.py", body))


def run(elsewhere, *flags: str) -> subprocess.CompletedProcess:
    """A command with --config that prints two fields of it."""
    program = (
        f"import sys; sys.path.append({str(tiny.ROOT)!r})\n"
        "from absl import flags\nfrom dped_jax import config_files\n"
        "from dped_jax.base import command\n"
        "config_files.define_flag('paper.py', 'The experiment.')\n"
        "def main(argv):\n    config = flags.FLAGS.config\n"
        "    print(config.seed, config.generator.width, config.train.batch_size)\n"
        "command.run(main)\n"
    )
    (elsewhere / "program.py").write_text(program)
    argv = [sys.executable, "program.py", *flags]
    return subprocess.run(argv, cwd=elsewhere, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("flags", "printed"),
    [
        ((), "0 64 50"),
        (("--config.train.batch_size=8", "--config.seed=2"), "2 64 8"),
        (("--config=configs/small.py", "--config.train.batch_size=8"), "0 32 8"),
        (("--config", "configs/small.py"), "0 32 50"),
        (("--config=mine.py:5",), "5 64 50"),
    ],
)
def test_the_flag(elsewhere, flags, printed):
    (elsewhere / "mine.py").write_text(
        "from dped_jax.configs import paper\n\n\ndef get_config(seed):\n"
        "    config = paper.get_config()\n    config.seed = int(seed)\n    return config\n"
    )
    # Here the folder's own configs lies first on sys.path.
    result = run(elsewhere, *flags)
    assert result.stdout.strip() == printed, result.stderr


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--config=configs/none.py", ("configs/none.py", "no such file", "paper.py")),
        ("--config=none.py", ("none.py", "no such file", "paper.py")),
        ("--config=configs/__init__.py", ("foreign configs",)),
        ("--config.train.num_stepz=3", ("no such field", "num_stepz", 'Did you mean "num_steps"')),
        ("--config.trian.num_steps=3", ("no such field", "trian")),
        ("--config.seed.x=3", ("no such field", "seed.x")),
        ("--config.train.num_steps=many", ("--config.train.num_steps=many", "--help")),
        ("--confg=configs/paper.py", ("confg", "--help lists the flags")),
    ],
)
def test_wrong_flags_end_in_one_line(elsewhere, flag, words):
    tiny.assert_one_line_error(run(elsewhere, flag), *words)


def test_help_lists_the_flag(elsewhere):
    result = run(elsewhere, "--help")
    assert "--config: The experiment." in result.stdout
    assert "(default: 'configs/paper.py')" in result.stdout
