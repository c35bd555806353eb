"""A PostgreSQL server of one's own in a temporary folder, reached by a Unix socket."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest


def _programs() -> pathlib.Path:
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = versions[-1] if versions else shutil.which("initdb")
    if not found:
        pytest.skip("needs PostgreSQL (apt-get install postgresql): only SQLite was tested")
    return pathlib.Path(found).parent


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Starts PostgreSQL; yields the URL of an empty database."""
    programs = _programs()
    # It refuses to run as root; Debian's package brings a user for it.
    as_user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        if as_user:
            shutil.chown(folder, **as_user)
        data = f"{folder}/data"

        def run(program: str, *args: str) -> None:
            subprocess.run(
                [programs / program, *args],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **as_user,
            )

        run("initdb", "-D", data, "-U", "study", "--auth=trust", "--encoding=UTF8", "--locale=C")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://study@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
