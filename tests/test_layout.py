"""What may import what, and how long files may be.

Imports inside functions count like others. `dped_jax/__init__.py` offers the library lazily, from
wherever it is, and stands apart.
"""

import ast
import pathlib
import subprocess
import sys

import pytest
import tiny

MOST_LINES, MOST_CORE_LINES = 300, 2550
BASE = {"base", "images", "kernels", "models", "pixels"}
COMMANDS = {"convert", "enhance", "evaluate", "export", "pages", "report", "train"}
TOP = {"experiments", "study"}
TRAINING = ("losses", "train_step", "train_state", "models.vgg", "convert.vgg_files")
HEAVY = ("tensorflow_datasets", "tensorflow", "grain", "torch")


def files_of(package: str) -> list[pathlib.Path]:
    return sorted((tiny.ROOT / package).rglob("*.py"))


def name_of(file: pathlib.Path) -> str:
    return ".".join(file.relative_to(tiny.ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(file: pathlib.Path, package: str) -> set[str]:
    """Modules of a package that a file imports, by full name."""
    known = {name_of(other) for other in files_of(package)}
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return {name for name in found if name == package or name.startswith(f"{package}.")}


def layer(module: str) -> int:
    part = module.split(".")[1]
    return next((i for i, parts in ((0, BASE), (2, COMMANDS), (3, TOP)) if part in parts), 1)


GRAPH = {
    name_of(file): imported_by(file, "dped_jax") - {"dped_jax"}
    for file in files_of("dped_jax")
    if name_of(file) != "dped_jax"
}


def test_nothing_imports_upward():
    assert layer("dped_jax.train_step") == 1
    upward = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if layer(other) > layer(module)
    ]
    assert upward == []


def test_no_import_goes_in_a_circle():
    left = dict(GRAPH)
    while leaves := [module for module, others in left.items() if not others & left.keys()]:
        for module in leaves:
            del left[module]
    assert left == {}


def test_packages_keep_to_themselves():
    for module, others in GRAPH.items():
        if module.startswith("dped_jax.study"):
            assert not [name for name in others if "experiments" in name], module
    for file in files_of("data_builders"):
        others = imported_by(file, "dped_jax")
        assert all(name.startswith("dped_jax.base") for name in others), file
    for file in files_of("configs"):
        assert not imported_by(file, "dped_jax"), file


@pytest.mark.parametrize(
    "statement",
    [
        "import dped_jax.enhance.__main__",
        "from dped_jax.enhance.photo_enhancer import load_enhancer",
    ],
)
def test_enhancing_loads_nothing_of_training(statement):
    program = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tiny.ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "dped_jax.checkpoint" in loaded
    assert not loaded & {f"dped_jax.{name}" for name in TRAINING}
    assert not loaded & set(HEAVY)


def num_lines(file: pathlib.Path) -> int:
    return len(file.read_text().splitlines())


def test_files_are_short():
    folders = ("dped_jax", "data_builders", "configs", "benchmarks")
    lengths = {name_of(file): num_lines(file) for folder in folders for file in files_of(folder)}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_core_is_read_in_an_afternoon():
    core = [*(tiny.ROOT / "dped_jax").glob("*.py"), *files_of("dped_jax/models")]
    assert sum(map(num_lines, core)) <= MOST_CORE_LINES
