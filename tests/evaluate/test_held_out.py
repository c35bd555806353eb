"""Models that were trained on patches on which they are to be scored."""

import dataclasses
import itertools
import pathlib
import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
import tiny

from configs import paper
from data_builders.dped.dped_dataset_builder import Builder
from data_builders.dped.patch_pairs import Pair
from dped_jax import checkpoint
from dped_jax.evaluate import held_out
from dped_jax.evaluate.held_out import SeenInTrainingError, check_held_out
from dped_jax.train import resume
from dped_jax.train.fingerprint import fingerprint as dataset_fingerprint

NOT_BLANK = held_out.BLANK_RANGE


@dataclasses.dataclass
class Folder:
    """Makes patches, datasets and workdirs in a folder."""

    root: pathlib.Path
    number: itertools.count = dataclasses.field(default_factory=itertools.count)

    def patch(self, seed: int, spread: int = 100, photo: str = "") -> Pair:
        """A pair of files; the same seed and spread give the same bytes under another name."""
        name = str(next(self.number))
        file = self.root / f"{name}.png"
        noise = np.random.default_rng(seed).integers(0, spread, (100, 100, 3))
        noise[0, 0], noise[0, 1] = 0, spread - 1
        cv2.imwrite(str(file), np.uint8(100 + noise))
        return Pair(name, file, file, photo)

    def dataset(
        self, name: str, train: list[Pair], test: list[Pair], validation: list[Pair] | None = None
    ) -> tuple[str, str]:
        """data_dir and phone of the dataset that is built from these pairs."""
        validation = validation or [self.patch(10**6)]
        splits = {"train": train, "validation": validation, "test": test}
        builder = Builder(data_dir=self.root / name, config="custom", splits=splits)
        builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
        return str(self.root / name), "custom"

    def workdir(
        self, name: str, dataset: tuple[str, str], init_from: str = "", *, is_old: bool = True
    ) -> pathlib.Path:
        """A workdir as training on a dataset leaves it, or has left it before fingerprints."""
        config = paper.get_config()
        config.data.data_dir, config.data.phone = dataset
        config.train.init_from = init_from and str(self.root / init_from)
        checkpoint.write_config(self.root / name, config)
        if not is_old:
            resume.record(self.root / name, config, dataset_fingerprint(*dataset), step=0)
        for item in ("generator", "training"):
            (self.root / name / "checkpoints" / "1" / item).mkdir(parents=True)
        return self.root / name


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def scored(folder):
    return folder.dataset("scored", [folder.patch(1)], [folder.patch(2), folder.patch(3)])


def test_the_dataset_of_training_is_trusted_to_keep_its_splits_apart(folder, scored, monkeypatch):
    link = folder.root / "link"
    link.symlink_to(folder.root / "scored")
    workdir = folder.workdir("w", (str(link), "custom"))
    monkeypatch.setattr(held_out.input_pipeline, "open_split", None)  # nothing is read
    assert check_held_out(workdir, *scored, "test") == []


def test_the_dataset_of_training_is_known_wherever_it_lies(folder, scored, monkeypatch):
    workdir = folder.workdir("w", scored, is_old=False)
    moved = str(shutil.copytree(scored[0], folder.root / "moved")), "custom"
    shutil.rmtree(scored[0])
    monkeypatch.setattr(held_out.input_pipeline, "open_split", None)  # nothing is read
    assert check_held_out(workdir, *moved, "test") == []


def test_a_dataset_built_anew_with_other_splits_is_noticed(folder):
    pairs = [folder.patch(seed) for seed in range(5)]
    validation = [folder.patch(8)]
    scored = folder.dataset("scored", pairs[:3], pairs[3:], validation)
    workdir = folder.workdir("w", scored, is_old=False)
    later = folder.workdir("later", folder.dataset("other", [folder.patch(9)], pairs[4:]), "w")
    assert check_held_out(later, *scored, "test") == []
    shutil.rmtree(scored[0])
    folder.dataset("scored", pairs[2:], pairs[:2], validation)
    for model in (workdir, later):
        with pytest.raises(SeenInTrainingError) as error:
            check_held_out(model, *scored, "test")
        for words in ("/scored/", "built anew", "/w may have seen", "test split", "--allow_seen"):
            assert words in str(error.value)
    # The split that is scored is as it was: it was kept apart from what was trained on.
    assert check_held_out(workdir, *scored, "validation") == []
    # Another dataset is scored: what the model saw cannot be read any more.
    (remark,) = check_held_out(workdir, *folder.dataset("third", pairs[:1], pairs[1:]), "test")
    assert "/w: cannot be checked" in remark
    assert "built anew" in remark


def test_a_model_that_saw_the_patches_in_another_dataset_is_refused(folder, scored):
    other = folder.dataset("other", [folder.patch(3), folder.patch(4)], [folder.patch(5)])
    seen = folder.workdir("seen", other)
    name = "2"  # of the patch of seed 3 in `scored`
    with pytest.raises(SeenInTrainingError) as error:
        check_held_out(seen, *scored, "test")
    for words in ("1 of the 2 patches of the test split", f"({name})", "/other/", "--allow_seen"):
        assert words in str(error.value)
    assert check_held_out(seen, *scored, "validation") == []
    assert check_held_out(seen, *scored, "train") == []
    # ... also by way of a model that it was started from, two workdirs before
    folder.workdir("between", scored, "seen")
    with pytest.raises(SeenInTrainingError, match="seen was trained"):
        check_held_out(folder.workdir("last", scored, "between"), *scored, "test")


def test_other_datasets_with_other_patches_pass(folder, scored):
    other = folder.dataset("other", [folder.patch(4), folder.patch(5)], [folder.patch(3)])
    assert check_held_out(folder.workdir("w", other), *scored, "test") == []


@pytest.mark.parametrize(("spread", "refused"), [(NOT_BLANK, False), (NOT_BLANK + 1, True)])
def test_blank_patches_are_no_evidence(folder, spread, refused):
    scored = folder.dataset("scored", [folder.patch(1)], [folder.patch(7, spread)])
    other = folder.dataset("other", [folder.patch(7, spread)], [folder.patch(2)])
    workdir = folder.workdir("w", other)
    if refused:
        with pytest.raises(SeenInTrainingError):
            check_held_out(workdir, *scored, "test")
    else:
        assert check_held_out(workdir, *scored, "test") == []


def test_photographs_of_the_same_name_are_refused(folder):
    test = [folder.patch(i, photo=f"IMG_{i}") for i in (1, 2)]
    scored = folder.dataset("scored", [folder.patch(3, photo="IMG_3")], test)
    train = [folder.patch(10 + i, photo=f"IMG_{i}") for i in (2, 3)]
    other = folder.dataset("other", train, [folder.patch(20)])
    with pytest.raises(SeenInTrainingError, match=r"1 of the 2 photographs .*\(IMG_2\)"):
        check_held_out(folder.workdir("w", other), *scored, "test")
    nameless = folder.dataset("nameless", [folder.patch(30)], [folder.patch(31)])
    assert check_held_out(folder.workdir("n", nameless), *scored, "test") == []


def test_what_cannot_be_checked_is_told(folder, scored):
    gone = str(folder.root / "gone"), "custom"
    (remark,) = check_held_out(folder.workdir("a", gone), *scored, "test")
    assert "/a: cannot be checked" in remark
    assert "/gone/" in remark
    (remark,) = check_held_out(folder.workdir("b", scored, "nowhere"), *scored, "test")
    assert "/nowhere: cannot be checked" in remark
    folder.workdir("c", scored, "d")
    (remark,) = check_held_out(folder.workdir("d", scored, "c"), *scored, "test")
    assert "started from itself" in remark


def test_the_command_refuses_unless_told(folder, scored):
    other = folder.dataset("other", [folder.patch(3)], [folder.patch(4)])
    config, variables = tiny.random_generator()
    config.data.data_dir, config.data.phone = other
    workdir = tiny.write_model(folder.root / "model", config, variables)
    given = [f"--workdir={workdir}", f"--data_dir={folder.root / 'scored'}"]
    converted = tiny.command("dped_jax.evaluate", *given)
    assert converted.returncode == 0, converted.stderr  # it names a dataset, but saw none here
    (workdir / "checkpoints" / "0" / "training").mkdir()
    refused = tiny.command("dped_jax.evaluate", *given)
    tiny.assert_one_line_error(refused, str(workdir), "1 of the 2 patches", "--allow_seen")
    allowed = tiny.command("dped_jax.evaluate", *given, "--allow_seen")
    assert allowed.stdout == converted.stdout
    assert "2 images" in allowed.stdout
