"""Many participants at once, each voting once a second, against a running server.

They know which side they chose, and what was acknowledged; that is what must be recorded.
"""

import asyncio
import concurrent.futures
import dataclasses
import hashlib
import json
import random
import time

import sqlalchemy as sa
from served_study import connected


@dataclasses.dataclass
class Voter:
    """A participant over one kept connection, who votes and remembers what was acknowledged."""

    port: int
    seed: int
    token: str = ""
    acknowledged: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # position, side
    seconds: list[float] = dataclasses.field(default_factory=list)  # that votes took
    streams: tuple | None = None

    async def call(self, method: str, path: str, posted: object = None) -> tuple[int, dict, dict]:
        """Sends a request; returns status, headers and JSON. Connects where it has to."""
        if not self.streams:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        body = json.dumps(posted).encode() if posted is not None else b""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Origin: http://127.0.0.1:{self.port}\r\nSec-Fetch-Site: same-origin\r\n"
            f"Cookie: participant={self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = answer.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (ln.split(": ", 1) for ln in lines)}
            content = await reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            self.streams = None
            writer.close()
            raise
        return int(first.split()[1]), headers, json.loads(content)

    async def take_part(self, until: float) -> None:
        """Votes once a second at an instant of its own, until a time."""
        rng = random.Random(self.seed)
        _, headers, state = await self.call("POST", "/api/join", {})
        self.token = headers["set-cookie"].split(";")[0].split("=", 1)[1]
        due = time.monotonic() + rng.random()
        while time.monotonic() < until and state["questions"]:
            await asyncio.sleep(max(0, due - time.monotonic()))
            due += 1
            side = rng.randrange(2)
            vote = {"position": state["position"], "picture": state["questions"][0][side]}
            state = await self.vote_until_acknowledged(vote | {"milliseconds": 900})
            self.acknowledged.append((vote["position"], side))

    async def vote_until_acknowledged(self, vote: dict) -> dict:
        """As the page does: sends the same vote again where the server has not answered."""
        begun = time.perf_counter()
        while True:
            try:
                status, _, state = await self.call("POST", "/api/vote", vote)
                break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.1)
        assert status == 200, state
        assert state["position"] == vote["position"] + 1
        self.seconds.append(time.perf_counter() - begun)
        return state

    def close(self) -> None:
        """Closes the connection."""
        if self.streams:
            self.streams[1].close()


async def _run(port: int, people: int, seconds: float, meanwhile) -> list[Voter]:
    voters = [Voter(port, seed) for seed in range(people)]
    until = time.monotonic() + seconds
    await asyncio.gather(*(voter.take_part(until) for voter in voters), *meanwhile)
    for voter in voters:
        voter.close()
    return voters


def run(port: int, people: int, seconds: float, *meanwhile) -> list[Voter]:
    """Lets people vote once a second each; coroutines `meanwhile` run beside them."""
    # In a thread: the browser's driver has an event loop in this one.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _run(port, people, seconds, meanwhile)).result()


def lost_or_wrong(database: object, voters: list[Voter]) -> list:
    """Where what is recorded differs from what was acknowledged, whichever way."""
    acknowledged = {
        (hashlib.sha256(voter.token.encode()).hexdigest(), position): side
        for voter in voters
        for position, side in voter.acknowledged
    }
    query = """SELECT token_hash, position, "left", "right", chosen
        FROM votes JOIN participants ON participant = number"""
    with connected(database) as connection:
        rows = connection.execute(sa.text(query)).all()
    recorded = {(row[0], row[1]): row[2:4].index(row[4]) for row in rows}
    assert len(recorded) == len(rows)
    return sorted(recorded.items() ^ acknowledged.items())
