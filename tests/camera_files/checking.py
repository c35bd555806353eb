"""Runs `check.py` of the shared camera files, which reads each in a process, in a few instead.

    python -m camera_files.checking FUNCTION FILE ...

prints for every file what `check.py` measures, a line of JSON, as long as none crashes.
"""

import argparse
import functools
import importlib.util
import json
import os
import subprocess
import sys
import types

from camera_files.reading import ROOT

FOLDER = ROOT.parent / "shared/data/camera_files"
REFUSALS = "dped_jax.base.errors:InputError,data_builders.dped.prepare.photo_pairs:PhotoError"
MOST_SECONDS = 600


@functools.cache
def check() -> types.ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check", FOLDER / "check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected() -> dict[str, dict]:
    """By name of the file, what is right."""
    return json.loads((FOLDER / "expected.json").read_text())["files"]


def verdicts(
    function: str, names: list[str], may_refuse: frozenset[str], **environment: str
) -> dict[str, str]:
    """What is wrong with what a function reads, by name; right ones are left out.

    Every file has the feature "any" too, for a command that takes files of one size only.
    """
    truths, rest, wrong = expected(), list(names), {}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    while rest:
        done = subprocess.run(
            [sys.executable, "-m", "camera_files.checking", function, *rest],
            cwd=ROOT, env=os.environ | paths | environment, timeout=MOST_SECONDS,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(lines) < len(rest):
            lines.append({"crash": f"exit status {done.returncode} {done.stderr[-300:]}"})
        for name, got in zip(rest, lines, strict=False):
            features = [*truths[name].get("features", ()), "any"]
            truth = truths[name] | {"features": features}
            verdict, why = check().judge_picture(truth, got, set(may_refuse))
            if verdict != "right":
                wrong[name] = f"{verdict}: {why}"
        rest = rest[len(lines) :]
    return wrong


def main() -> None:
    """Reads the files."""
    function, *names = sys.argv[1:]
    arguments = argparse.Namespace(function=function, refusal=REFUSALS, time="")
    for name in names:
        check().read_one(arguments, FOLDER / name)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
