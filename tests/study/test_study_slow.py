"""Clients that send slowly, or nothing at all, cost others nothing."""

import contextlib
import socket
import time

import pytest
from served_study import Participant, serving, write_study

from dped_jax.study import connections

FILES = 400  # open files that the server may have


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def test_a_request_that_is_not_sent_whole_is_cut_off(study, tmp_path):
    with serving(study, tmp_path / "v") as server:
        head = connect(server)
        head.sendall(b"GET / HTTP/1.1\r\nHost: ")
        body = connect(server)
        body.sendall(
            f"POST /api/join HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Origin: {server.url}\r\nContent-Type: application/json\r\n"
            "Content-Length: 99\r\n\r\n{".encode()
        )
        start = time.monotonic()
        for connection in (head, body):
            with contextlib.closing(connection), contextlib.suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass
        assert time.monotonic() - start < 2 * connections.READ_SECONDS
        Participant(server).join()


def test_a_half_sent_body_does_not_hold_up_the_end(study, tmp_path):
    with serving(study, tmp_path / "v") as server, contextlib.closing(connect(server)) as slow:
        slow.sendall(
            f"POST /api/join HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Origin: {server.url}\r\nContent-Type: application/json\r\n"
            "Content-Length: 99\r\n\r\n{".encode()
        )
        time.sleep(0.2)
        server.process.terminate()
        server.process.wait(2 * connections.READ_SECONDS)


def test_many_half_sent_requests_stop_nobody(study, tmp_path):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(study, tmp_path / "v", "prlimit", f"--nofile={FILES}"))
        for _ in range(FILES + 50):
            slow = stack.enter_context(contextlib.closing(connect(server)))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
        start = time.monotonic()
        Participant(server).join()
        assert time.monotonic() - start < connections.READ_SECONDS / 2
        assert "refused a connection: sends too slowly, or there are too many" in (
            server.log.read_text()
        )


def test_refusals_are_counted_not_listed(study, tmp_path):
    with serving(study, tmp_path / "v") as server:
        guesses = 50
        for i in range(guesses):
            assert Participant(server).request("GET", f"/invitation/{i}")[0] == 404
        log = server.log.read_text()
        assert log.count("refused (404) on /invitation/{token}: this invitation is not known") == 1
