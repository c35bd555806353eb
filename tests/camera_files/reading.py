"""Reads all files of a folder in each command's way, in a process of its own.

    python -m camera_files.reading FOLDER RESULTS WAY ...

RESULTS/WAY/NAME.npz has the pixels of a file and what else is known of it, NAME.txt the line of
its refusal; NAME.tmp of a file that is being read stays where the process crashes. An exception
that is no refusal is written to NAME.traceback. What is there already is not read again.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_SECONDS = 300


def enhance(path: pathlib.Path):
    """`dped_jax.enhance`, and all that takes what the reader gives."""
    from dped_jax.base import pictures

    return pictures.read(path)


def prepare(path: pathlib.Path) -> np.ndarray:
    """`data_builders.dped.prepare`."""
    from data_builders.dped.prepare.photo_pairs import decode_photo

    return decode_photo(path.read_bytes(), "phone")


def evaluate(path: pathlib.Path) -> np.ndarray:
    """`dped_jax.evaluate`."""
    from dped_jax.base.pictures import read_pixels

    return read_pixels(path)


def build(path: pathlib.Path) -> np.ndarray:
    """`data_builders.dped.build`: what it packs is decoded as it is."""
    import cv2

    from data_builders.dped.patch_files import patch_problem
    from dped_jax.base.errors import InputError

    problem = patch_problem(path.read_bytes())
    if problem:
        raise InputError(f"{path}: {problem}")
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


WAYS: dict[str, Callable[[pathlib.Path], Any]] = {
    function.__name__: function for function in (enhance, prepare, evaluate, build)
}


def refusals() -> tuple[type[Exception], ...]:
    """Exceptions that commands make one line of."""
    from data_builders.dped.prepare.photo_pairs import PhotoError
    from dped_jax.base.errors import InputError

    return PhotoError, InputError


def read_folder(folder: pathlib.Path, results: pathlib.Path, ways: Iterable[str]) -> None:
    """Reads all; see above."""
    kinds_of_refusal = refusals()
    for way in ways:
        (results / way).mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if list((results / way).glob(f"{path.name}.*")):
                continue
            mark = results / way / f"{path.name}.tmp"
            mark.touch()
            try:
                save(results / way / f"{path.name}.npz", WAYS[way](path))
            except kinds_of_refusal as error:
                (results / way / f"{path.name}.txt").write_text(str(error))
            except Exception:
                (results / way / f"{path.name}.traceback").write_text(traceback.format_exc())
            mark.unlink()


def save(path: pathlib.Path, picture: Any) -> None:
    """Writes pixels, or a `Picture` with what the files here differ in."""
    if isinstance(picture, np.ndarray):
        np.savez(path, pixels=picture)
        return
    fields = {name: getattr(picture, name) for name in ("pixels", "bits", "gray", "format")}
    fields |= {} if picture.alpha is None else {"alpha": picture.alpha}
    np.savez(path, **fields, warnings="; ".join(picture.warnings))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of reading a file: pixels, the line of a refusal, or how it went wrong.

    Attributes:
      got: pixels, or the line; None where it crashed or was no refusal.
      failure: how it went wrong.
      fields: of the `Picture`, where it was one.
    """

    got: np.ndarray | str | None
    failure: str = ""
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)


def read_all(
    folder: pathlib.Path,
    results: pathlib.Path,
    ways: Iterable[str] = tuple(WAYS),
    **environment: str,
) -> dict[tuple[str, str], Outcome]:
    """Reads a folder in processes of its own, a next one where one crashes.

    Returns:
      By way and name of the file.
    """
    ways = tuple(ways)
    command = [sys.executable, "-m", "camera_files.reading", str(folder), str(results), *ways]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    for _ in range(len(ways) * len(list(folder.iterdir()))):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | paths | environment, timeout=MOST_SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            break
        crashed = list(results.glob("*/*.tmp"))
        assert crashed, done.stderr
        for mark in crashed:
            why = f"exit status {done.returncode}: {done.stderr[-300:]}"
            mark.with_suffix(".crash").write_text(why)
            mark.unlink()
    return {
        (way, path.name): outcome(results / way, path.name)
        for way in ways
        for path in folder.iterdir()
    }


def outcome(results: pathlib.Path, name: str) -> Outcome:
    """What `read_folder` wrote of a file."""
    if (results / f"{name}.npz").exists():
        with np.load(results / f"{name}.npz") as file:
            fields = {key: file[key] for key in file.files}
        return Outcome(fields.pop("pixels"), fields=fields)
    if (results / f"{name}.txt").exists():
        return Outcome((results / f"{name}.txt").read_text())
    (path,) = results.glob(f"{name}.*")
    return Outcome(None, f"{path.suffix[1:]}: {path.read_text()}")


if __name__ == "__main__":
    read_folder(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
