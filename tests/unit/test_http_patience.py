"""A client of the probes may be slow, or many, or say too much: its time is bounded, and the others are answered."""

import select
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from sluice.telemetry import http
from sluice.telemetry.http import Reply, serving

PATIENCE_S = 60.0


@pytest.fixture
def port() -> Iterator[int]:
    with serving("127.0.0.1", 0, {"/livez": lambda: Reply("text/plain", b"fine")}) as port:
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", "/livez")
    answered = connection.getresponse().read() == b"fine"
    connection.close()
    return answered


def hung_up_on(client: socket.socket, drip: bytes, *, every_s: float = 0.05) -> bool:
    """Say a byte every while, until the other side has enough or the test has."""
    until_s = time.monotonic() + PATIENCE_S / 2
    while time.monotonic() < until_s:
        try:
            if select.select([client], [], [], every_s)[0] and not client.recv(65536):
                return True
            client.sendall(drip)
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("begins", [b"", b"GET /livez HTTP/1.0\r\nX: "])
def test_a_client_that_drips_has_a_time_for_all_of_it(
    port: int, begins: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes well within the time; ten times over it did not end the request."""
    monkeypatch.setattr(http, "_PATIENCE_S", 1.0)
    with connected(port) as client:
        client.sendall(begins)
        assert hung_up_on(client, b"x")
    assert answers(port)


@pytest.mark.parametrize(
    "said",
    [
        b"GET /livez HTTP/1.0\r\n" + b"X: " + b"y" * 30_000,
        b"GET /livez HTTP/1.0\r\n" + (b"X: " + b"y" * 500 + b"\r\n") * 50,
    ],
)
def test_a_head_without_end_is_not_read(port: int, said: bytes) -> None:
    answer = b""
    with connected(port) as client:
        try:
            client.sendall(said + b"\r\n\r\n")
            while piece := client.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    assert b"200" not in answer
    assert answers(port)


def test_of_too_many_clients_the_oldest_gives_way(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PATIENCE_S", 3600.0)
    monkeypatch.setattr(http, "_MOST", 8)
    clients = [connected(port) for _ in range(30)]
    assert answers(port)
    clients[0].settimeout(PATIENCE_S)
    assert clients[0].recv(1) == b"", "an hour is not over"
    assert not select.select([clients[-1]], [], [], 0)[0], "the newest is still served"
    for client in clients:
        client.close()
