"""What comes of the made-up files in each command's way of reading, each way in a process."""

import camera_files
import pytest
from camera_files.reading import Outcome, read_all


@pytest.fixture(scope="session")
def made_up_patches(tmp_path_factory):
    """A folder of files of the size of a patch, and their `Kind`s."""
    folder, kinds = tmp_path_factory.mktemp("made_up_patches"), camera_files.all_kinds(100, 100)
    for kind in kinds:
        (folder / kind.name).write_bytes(kind.data)
    return folder, kinds


def outcomes_of(folder, patches, results, **environment) -> dict[tuple[str, str], Outcome]:
    """By way and name of the file; build reads patches."""
    outcomes = read_all(folder, results, ("enhance", "prepare", "evaluate"), **environment)
    return outcomes | read_all(patches, results, ("build",), **environment)


@pytest.fixture(scope="session")
def outcomes(made_up_files, made_up_patches, tmp_path_factory):
    return outcomes_of(made_up_files[0], made_up_patches[0], tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def perturbed(made_up_files, made_up_patches, tmp_path_factory):
    """The same where memory that is freed is overwritten."""
    results = tmp_path_factory.mktemp("perturbed")
    return outcomes_of(made_up_files[0], made_up_patches[0], results, MALLOC_PERTURB_="165")
