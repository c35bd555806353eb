"""README and docs/: links lead somewhere, commands exist as written, examples run."""

import functools
import importlib
import pathlib
import re
import shlex

import cv2
import numpy as np
import pytest
import tiny

from dped_jax import checkpoint, metrics
from dped_jax.train.loop import train

README = tiny.ROOT / "README.md"
PAGES = [README, *sorted((tiny.ROOT / "docs").glob("*.md"))]
# Flags of Beam, of XLA and of the program dped-jax.
ELSEWHERE = {
    "directory",  # of http.server
    "flink_master",  # these are of Beam and Dask
    "spark_master_url",
    "environment_type",
    "project",
    "region",
    "temp_location",
    "sdk_container_image",
    "dask_client_address",
    "nworkers",
    "nthreads",
    "xla_force_host_platform_device_count",
    "help",
    "version",
}
OF_DATASETS = ("simulate", "prepare", "build")  # of dped-jax; its other commands are in dped_jax

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: pathlib.Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.read_bytes()) <= 12_000
    for page in PAGES[1:]:
        assert f"](docs/{page.name}" in README.read_text()


@each_page
def test_pages_name_no_folder_outside_the_project(page):
    assert "../shared" not in page.read_text()


def commands(page: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Modules and words after them, of every command of a page."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    found = re.findall(r"(python -m|dped-jax) ([\w.]+(?: [a-z_]+)?)([^\n`]*)", text)
    listed = []
    for program, name, rest in found:
        module, _, subcommand = name.partition(" ")
        if program == "dped-jax":
            module = ("data_builders.dped." if module in OF_DATASETS else "dped_jax.") + module
        if subcommand and module in ("dped_jax.study", "dped_jax.experiments"):
            module += "." + subcommand
        words = shlex.split(re.sub(r"(^|\s)#.*|[<>|;].*", "", rest))
        listed.append((module, [word for word in words if word.startswith("--")]))
    return listed


@functools.cache
def flags_of(module: str) -> set[str]:
    """Names of the flags that a command defines, read from its source."""
    path = tiny.ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    assert "__main__" in file.read_text(), f"{file} is no command"
    return flags_in(file)


def flags_in(file: pathlib.Path) -> set[str]:
    source = file.read_text()
    names = set(re.findall(r'(?:DEFINE_\w+\(\s*"|add_argument\("--)(\w+)"', source))
    return names | ({"config"} if "config_files.define_flag(" in source else set())


def test_commands_exist_and_have_the_flags_they_are_given():
    written = [command for page in PAGES for command in commands(page)]
    assert len(written) > 40
    for module, words in written:
        given = {word[2:].partition("=")[0].partition(".")[0] for word in words}
        others = ELSEWHERE if "runner" in given else set()
        assert given <= flags_of(module) | others, module


@each_page
def test_flags_named_in_passing_exist(page):
    folders = ("dped_jax", "data_builders", "benchmarks")
    sources = [file for folder in folders for file in tiny.ROOT.glob(f"{folder}/**/*.py")]
    known = set().union(*map(flags_in, sources)) | ELSEWHERE
    assert set(re.findall(r"(?<![\w-])--(\w+)", page.read_text())) <= known


def test_config_fields_on_command_lines_exist():
    overrides = 0
    for page in PAGES:
        for module, words in commands(page):
            given = dict(word[2:].partition("=")[::2] for word in words)
            default = {"table": "table2", "discriminators": "discriminators"}
            file = pathlib.Path(given.pop("config", default.get(module.rsplit(".", 1)[1], "paper")))
            for name in given:
                if name.startswith("config."):
                    field = importlib.import_module(f"configs.{file.stem}").get_config()
                    for part in name.split(".")[1:]:
                        field = field[part]
                    overrides += 1
    assert overrides > 20


@pytest.mark.parametrize("target", ["demo", "test", "test-all", "lint", "format", "bench", "web"])
def test_make_has_the_targets_that_pages_name(target):
    assert any(f"make {target}" in page.read_text() for page in PAGES)
    assert f"\n{target}:" in (tiny.ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def library(tmp_path_factory, tiny_data) -> tuple[pathlib.Path, dict]:
    """A folder with what docs/library.md takes as given, and the names its examples have left."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "data").mkdir()
    (folder / "data" / "tfds").symlink_to(tiny_data)
    config = tiny.tiny_config(tiny_data)
    config.train.num_steps = 2
    train(config, folder / "runs" / "iphone")
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "photo.jpg"), rng.integers(0, 256, (40, 60, 3), np.uint8))
    page = (tiny.ROOT / "docs" / "library.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for example in examples:  # in their order: later ones use names of earlier ones
            exec(compile(example, "docs/library.md", "exec"), names)
    return folder, names


def test_example_enhances_a_photograph(library):
    photo, enhancer = library[1]["photo"], library[1]["enhancer"]
    enhanced = enhancer(photo)
    assert enhanced.shape == photo.shape
    assert enhanced.dtype == np.uint8


def test_example_reads_pairs(library, tiny_data):
    source, batches = library[1]["source"], library[1]["batches"]
    assert len(source) == 14
    pair = cv2.imread(str(tiny_data.parent / "pairs" / "dslr" / "0.png"))[..., ::-1]
    np.testing.assert_array_equal(source[0]["dslr"], pair)
    assert batches[0]["phone"].shape == (4, 100, 100, 3)
    assert 0 <= batches[0]["phone"].min() < batches[0]["phone"].max() <= 1


def test_example_trains_with_the_losses_and_scores(library):
    names = library[1]
    assert np.mean(names["values"][-3:]) < 0.7 * np.mean(names["values"][:3])
    before = metrics.psnr(names["batches"][0]["phone"], names["batches"][0]["dslr"])
    assert (names["psnr"] > before).all()
    assert names["ms_ssim"].shape == (4,)


def test_example_restores_what_the_project_restores(library):
    folder, names = library
    _, variables, step = checkpoint.load_generator(folder / "runs" / "iphone", "newest")
    assert step == 2
    assert int(names["restored"]["training"]["step"]) == 2
    assert names["restored"]["meta"]["checksums"]
    np.testing.assert_array_equal(names["kernels"], variables["params"]["conv_first"]["kernel"])
