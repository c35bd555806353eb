"""The paper's user study (section 4.3): which of two pictures looks better?

    python -m dped_jax.study check  --study=study.yaml
    python -m dped_jax.study serve  --study=study.yaml --database=votes.sqlite
    python -m dped_jax.study invite --study=study.yaml --database=votes.sqlite --count=42
    python -m dped_jax.study export --database=votes.sqlite --output=votes.csv
    python -m dped_jax.study report --database=votes.sqlite --output=results

`python -m dped_jax.study COMMAND --help` lists a command's flags.
"""

import runpy
import sys

COMMANDS = ("check", "serve", "invite", "export", "report")


def main() -> None:
    """Runs the module of the command, `dped_jax.study.COMMAND`, as a program of its own."""
    command = sys.argv[1] if len(sys.argv) > 1 else "none"
    if command in ("--help", "-help", "-h"):
        print(__doc__.strip())
        return
    if command not in COMMANDS:
        sys.exit(f"error: {command!r} is no command; commands are {', '.join(COMMANDS)}")
    del sys.argv[1]
    try:
        runpy.run_module(f"dped_jax.study.{command}", run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "sqlalchemy", "yaml"):
            raise
        sys.exit(f'error: needs {error.name}: pip install "dped_jax[study]"')


if __name__ == "__main__":
    main()
