"""At least 10,000 malformed requests against the real server: no 5xx, and nothing is recorded."""

import collections
import contextlib
import socket
import sqlite3

import hypothesis
from malformed_requests import Right, requests
from served_study import Participant, Served, serving, write_study

EXAMPLES = 1050  # of ten requests


def send(server: Served, request: bytes, whole: bool) -> int | None:
    """Sends bytes, and where not `whole` that no more come; returns the status, if there is one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):  # refused while it was still being sent
            connection.sendall(request)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(65536):
                answer += received
    if not answer:
        return None
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def dump(database) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_malformed_requests(tmp_path):
    database = tmp_path / "v"
    with serving(write_study(tmp_path, 1, 4), database) as server:
        victim, other = Participant(server), Participant(server)
        foreign = other.join()["questions"]
        victim.join()
        for side in (0, 1, 0):
            state = victim.vote(victim.state(), side)[1]
        own = [picture for pair in state["questions"] for picture in pair]
        others = [*own[2:], *(picture for pair in foreign for picture in pair)]
        host = f"127.0.0.1:{server.port}"
        right = Right(host, victim.token, own[0], others, state["position"])
        before, statuses = dump(database), collections.Counter()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(requests(right))
        def attack(together):
            for request, whole in together:
                status = send(server, request, whole)
                assert status or not whole, request
                statuses[status] += 1
                assert status is None or status < 500, request

        attack()
        assert dump(database) == before
        print(statuses)
        assert statuses.total() >= 10_000
        for status in (400, 401, 403, 404, 405, 409, 413, 415, 422):  # every kind of refusal
            assert statuses[status] > 20, statuses
        assert statuses[None] < statuses.total() / 4
        assert victim.vote(victim.state(), 0)[0] == 200  # and it still takes votes
        assert dump(database) != before
