"""The program `dped-jax`, or `python -m dped_jax`: runs `python -m dped_jax.COMMAND …`.

The commands that make a dataset are those of `data_builders.dped`, in the wheel inside `dped_jax`.
"""

import importlib.util
import runpy
import sys

from dped_jax import __version__
from dped_jax.base import signals

COMMANDS = {
    "simulate": "photographs of a simulated phone and DSLR camera, to try things out",
    "prepare": "raw photo pairs to aligned patches",
    "build": "patches to a TFDS dataset",
    "train": "trains a model into a workdir; the same command resumes",
    "convert": "a released TensorFlow generator to a workdir",
    "evaluate": "scores a workdir, or a folder of pictures",
    "enhance": "photographs through a workdir's generator",
    "export": "a workdir's generator to ONNX and others",
    "report": "a page of a run's scores and pictures",
    "experiments table": "Tables 2 and 3: methods or losses by phone",
    "experiments discriminators": "section 3.1.2: what discriminators see",
    "experiments blurred_pairs": "Figure 5: pairs before and after the colour loss's blur",
    "experiments shift": "Figure 6: losses against shift",
    "experiments photographs": "Figures 8 to 18: photographs by method",
    "experiments photo_statistics": "whole photographs against their windows",
    "experiments report": "several experiments on one page",
    "study": "the user study of section 4.3: check, serve, invite, export, report",
}
OF_DATASETS = ("simulate", "prepare", "build")


def usage() -> str:
    """What `dped-jax --help` prints."""
    listed = "\n".join(f"  {name:30}{line}" for name, line in COMMANDS.items())
    return (
        f"usage: dped-jax COMMAND --flag=value ...\n\n{listed}\n\n"
        "dped-jax COMMAND --help lists its flags; dped-jax --version"
    )


def module_of(command: str) -> str:
    """The module that runs as `python -m` for this command."""
    if command not in OF_DATASETS:
        return f"dped_jax.{command.replace(' ', '.')}"
    installed = importlib.util.find_spec("dped_jax.data_builders")
    return f"{'dped_jax.' if installed else ''}data_builders.dped.{command}"


def main() -> None:
    """Runs the command that is named by the first one or two arguments."""
    signals.end_at_once()
    words = sys.argv[1:]
    if words[:1] == ["--version"]:
        print(f"dped-jax {__version__}")
        return
    if words[:1] in (["--help"], ["-h"], ["-help"]):
        print(usage())
        return
    for length in (1, 2):
        command = " ".join(words[:length])
        if command in COMMANDS:
            del sys.argv[1 : 1 + length]
            runpy.run_module(module_of(command), run_name="__main__", alter_sys=True)
            return
    sys.exit(f"error: {' '.join(words[:2]) or 'none'!r} is no command: dped-jax --help lists them")


if __name__ == "__main__":
    main()
