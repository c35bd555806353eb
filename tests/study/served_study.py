"""Studies to test with, the real server as a process, and a participant without a browser.

Every picture of a study has a colour of its own, which tells group, picture and class: what a test
was shown is known from pixels alone, not from what the server says.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import sqlalchemy as sa
import yaml

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = ("original", "DSLR", "enhanced")


def colour(group: int, picture: int, name: str) -> tuple[int, int, int]:
    """Red, green and blue of a picture."""
    return 40 * group + 20, 20 * picture + 10, 60 * CLASSES.index(name) + 30


def meaning(rgb: tuple[int, ...]) -> tuple[str, str, str]:
    """Group, picture and class of a colour."""
    red, green, blue = rgb
    return f"Group {red // 40}", f"scene{green // 20}", CLASSES[blue // 60]


def write_study(
    folder: pathlib.Path,
    groups: int = 4,
    pictures: int = 9,
    size: tuple[int, int] = (24, 32),
    **keys,
) -> pathlib.Path:
    """Writes a study of three classes; `keys` are further ones of the study file."""
    study = {"title": "Which one?", "open_places": 100, "groups": []} | keys
    for group in range(groups):
        folders = {name: f"group{group}/{name}_pictures" for name in CLASSES}
        study["groups"].append({"name": f"Group {group}", "classes": folders})
        for name, path in folders.items():
            (folder / path).mkdir(parents=True)
            for picture in range(pictures):
                image = np.full((*size, 3), colour(group, picture, name)[::-1], np.uint8)
                cv2.imwrite(str(folder / path / f"scene{picture}.png"), image)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


@dataclasses.dataclass
class Served:
    """A running server."""

    process: subprocess.Popen
    port: int
    log: pathlib.Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """As a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start(study: pathlib.Path, database: object, port: int = 0, *before: str) -> Served:
    """Starts `study serve`, after the words `before`, and waits until it listens."""
    flags = [f"--study={study}", f"--database={database}", f"--port={port}"]
    log = study.with_name("server.log")
    with log.open("a") as stderr:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "dped_jax.study", "serve", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "default"},
        )
    with process.stdout:
        line = process.stdout.readline()
    assert line.startswith("serving"), log.read_text()
    return Served(process, int(line.split("http://127.0.0.1:")[1].split("/")[0]), log)


@contextlib.contextmanager
def serving(study: pathlib.Path, database: object, *before: str) -> Iterator[Served]:
    """Runs a server for as long as the context lasts; it must end well and have shown no defect."""
    server = start(study, database, 0, *before)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.process.wait(20)
    assert server.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()


def invite(study: pathlib.Path, database: object, count: int) -> list[str]:
    """Makes invitations; returns their tokens."""
    flags = [f"--study={study}", f"--database={database}", f"--count={count}"]
    result = subprocess.run(
        [sys.executable, "-m", "dped_jax.study", "invite", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.rsplit("/", 1)[1] for line in result.stdout.splitlines()]


class Participant:
    """A participant without a browser."""

    def __init__(self, server: Served, token: str | None = None):
        self.port, self.origin = server.port, server.url
        self.token, self.headers = token, {}

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """Sends anything; returns status and body. Headers are kept in `headers`."""
        cookie = {"Cookie": f"participant={self.token}"} if self.token else {}
        sent = cookie | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            self.headers = dict(response.getheaders())
            return response.status, response.read()

    def post(self, action: str, posted: object, **headers: str) -> tuple[int, dict]:
        """Posts as the page does."""
        headers = {"Origin": self.origin, "Content_Type": "application/json"} | headers
        status, body = self.request(
            "POST", f"/api/{action}", json.dumps(posted).encode(), **headers
        )
        return status, json.loads(body)

    def join(self) -> dict:
        """Comes by the open link."""
        status, state = self.post("join", {})
        assert status == 200, state
        self.token = self.headers["set-cookie"].split(";")[0].split("=")[1]
        return state

    def state(self) -> dict:
        """Where the server says they are."""
        return json.loads(self.request("GET", "/api/state")[1])

    def see(self, picture: str) -> tuple[str, str, str]:
        """Group, picture and class of a picture, by its pixels."""
        status, body = self.request("GET", f"/api/pictures/{picture}")
        assert status == 200, body
        return meaning(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)[0, 0])

    def vote(self, state: dict, side: int, milliseconds: int = 2000) -> tuple[int, dict]:
        """Chooses the left (0) or right (1) picture of the current question."""
        vote = {"position": state["position"], "milliseconds": milliseconds}
        return self.post("vote", vote | {"picture": state["questions"][0][side]})


@contextlib.contextmanager
def connected(database: object) -> Iterator[sa.Connection]:
    """A database as it is, beside the program: an SQLite file or a PostgreSQL URL."""
    url = str(database).replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(url if "://" in url else f"sqlite:///{url}")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def recorded(database: object, columns: str = "participant, position, chosen") -> list[tuple]:
    """The votes in a database."""
    query = f'SELECT {columns} FROM votes ORDER BY participant, "position"'
    with connected(database) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]
