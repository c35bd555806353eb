"""Serves a study to its participants.

    python -m dped_jax.study serve --study=study.yaml --database=votes.sqlite

Stops with Ctrl-C; started again it goes on. For participants elsewhere put a server in front that
speaks HTTPS (nginx, Caddy); its X-Forwarded-Proto is honoured from this machine.
"""

import contextlib
import pathlib
import socket

import uvicorn
from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.study import definition as study_file
from dped_jax.study import pictures, store
from dped_jax.study.connections import READ_SECONDS, Connection, raise_file_limit
from dped_jax.study.server import StudyServer

BACKLOG = 128  # of connections that nobody has looked at yet; they are accepted all at once


def bind(host: str, port: int) -> socket.socket:
    """Takes a port; 0 takes a free one. Raises InputError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--host={host} --port={port}: cannot be listened on ({error}); choose another"
        ) from error


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    Connection.most = raise_file_limit()
    study = study_file.load(pathlib.Path(FLAGS.study))
    prepared = pictures.prepare(study)
    with (
        store.opened(FLAGS.database, create=True) as database,
        bind(FLAGS.host, FLAGS.port) as sock,
    ):
        database.define(study)
        app = StudyServer(study, database, prepared).app()
        host, port = sock.getsockname()[:2]
        address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        who = f"open to {study.open_places}" if study.open_places else "by invitation only"
        print(f"serving {study.title!r} on {address} ({who}); Ctrl-C stops", flush=True)
        # No access log: it would hold addresses of participants and the tokens of their links.
        config = uvicorn.Config(
            app,
            http=Connection,
            backlog=BACKLOG,
            timeout_graceful_shutdown=READ_SECONDS,
            access_log=False,
            log_config=None,
            server_header=False,
        )
        with contextlib.suppress(KeyboardInterrupt):  # it has ended well
            uvicorn.Server(config).run([sock])


FLAGS = flags.FLAGS

if __name__ == "__main__":
    flags.DEFINE_string("study", None, "Study file (YAML).", required=True)
    flags.DEFINE_string(
        "database", None, "SQLite file, or postgresql://USER@HOST/NAME.", required=True
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
    flags.DEFINE_integer("port", 8000, "Port to listen on; 0 takes a free one.")
    command.run(main)
