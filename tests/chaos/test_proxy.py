"""The proxy does to a request what its rule says, and nothing to all others."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from queue import SimpleQueue

import pytest

from tests.chaos.proxy import HOST, Proxy
from tests.chaos.wire import Act, Api, Request, Rule, of
from tests.support.ports import free_ports

PATIENCE_S = 20.0
OK = b"\x00" * 6  # no throttling, no error


class Broker:
    """Answers every frame with the same success, and notes what it was asked on which connection."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[tuple[int, int]] = SimpleQueue()
        """The api key, and the number of the connection."""
        self._listening = socket.create_server((HOST, 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def next(self) -> tuple[int, int]:
        return self.asked.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()
            number += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, suppress(ConnectionResetError):
            while frame := received(connection):
                request = Request.read(frame)
                self.asked.put((request.api, number))
                send(connection, struct.pack(">i", request.correlation) + OK)


class Client:
    """A connection that sends one request after the other."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), PATIENCE_S)
        self._sent = 0

    def ask(self, api: Api, body: bytes = b"") -> int:
        self._sent += 1
        send(self.socket, struct.pack(">hhih", api, 1, self._sent, 6) + b"sluice" + body)
        return self._sent

    def answer(self) -> int:
        """Return the correlation id of the next answer; raises ConnectionResetError."""
        return int(struct.unpack_from(">i", received(self.socket))[0])

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with closing(Broker()) as broker:
        yield broker


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy({free_ports(1)[0]: broker.port}) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with closing(fresh(proxy)) as client:
        yield client


def test_without_a_rule_frames_pass_both_ways_in_their_order(client: Client, broker: Broker) -> None:
    asked = [client.ask(api) for api in (Api.PRODUCE, Api.END_TXN)]
    assert [client.answer(), client.answer()] == asked
    assert [broker.next(), broker.next()] == [(Api.PRODUCE, 0), (Api.END_TXN, 0)]


def test_a_rule_takes_as_many_as_it_says_of_those_it_wants(proxy: Proxy, client: Client, broker: Broker) -> None:
    rule = proxy.add(Rule(Act.DROP, of(Api.FETCH), times=2))
    apis = [Api.FETCH, Api.PRODUCE, Api.FETCH, Api.FETCH]
    asked = [client.ask(api) for api in apis]
    assert [client.answer(), client.answer()] == [asked[1], asked[3]]
    assert [broker.next()[0], broker.next()[0]] == [Api.PRODUCE, Api.FETCH]
    assert rule.spent
    assert proxy.report == {"drop": 2}


def test_the_first_rule_that_takes_a_request_has_it(proxy: Proxy, client: Client) -> None:
    first, second = (proxy.add(Rule(Act.DELAY, of(Api.FETCH))) for _ in range(2))
    client.ask(Api.FETCH)
    assert client.answer()
    assert (first.spent, second.spent) == (True, False)


def test_a_delayed_request_keeps_all_behind_it_waiting_until_it_is_freed(
    proxy: Proxy, client: Client, broker: Broker
) -> None:
    rule = proxy.add(Rule(Act.DELAY, of(Api.FETCH), seconds=600))
    asked = [client.ask(Api.FETCH), client.ask(Api.PRODUCE)]
    other = fresh(proxy)
    other.ask(Api.HEARTBEAT)
    assert other.answer()
    assert broker.next()[0] == Api.HEARTBEAT
    other.close()
    rule.hits[0].free()
    assert [client.answer(), client.answer()] == asked
    assert [broker.next()[0], broker.next()[0]] == [Api.FETCH, Api.PRODUCE]


def test_a_reset_request_never_arrives(proxy: Proxy, client: Client, broker: Broker) -> None:
    rule = proxy.add(Rule(Act.RESET, of(Api.PRODUCE)))
    client.ask(Api.PRODUCE)
    with pytest.raises(ConnectionResetError):
        client.answer()
    assert rule.hits[0].over.wait(PATIENCE_S)
    assert rule.hits[0].kept_s is None
    again = fresh(proxy)
    again.ask(Api.FETCH)
    assert broker.next()[0] == Api.FETCH
    again.close()


def test_a_cut_request_arrives_and_its_answer_does_not(proxy: Proxy, client: Client, broker: Broker) -> None:
    rule = proxy.add(Rule(Act.CUT, of(Api.END_TXN)))
    client.ask(Api.END_TXN)
    assert broker.next()[0] == Api.END_TXN
    with pytest.raises(ConnectionResetError):
        client.answer()
    assert rule.hits[0].over.wait(PATIENCE_S)
    assert rule.hits[0].error == 0


def test_a_held_request_arrives_on_the_old_connection_after_its_repetition_on_a_new_one(
    proxy: Proxy, client: Client, broker: Broker
) -> None:
    rule = proxy.add(Rule(Act.HOLD, of(Api.END_TXN), seconds=600))
    client.ask(Api.FETCH)
    client.answer()
    client.ask(Api.END_TXN)
    with pytest.raises(ConnectionResetError):
        client.answer()
    again = fresh(proxy)
    again.ask(Api.END_TXN)
    assert again.answer()
    assert [broker.next(), broker.next()] == [(Api.FETCH, 0), (Api.END_TXN, 1)]
    rule.hits[0].free()
    assert broker.next() == (Api.END_TXN, 0)
    assert rule.hits[0].over.wait(PATIENCE_S)
    assert rule.hits[0].error == 0
    assert rule.hits[0].kept_s is not None
    again.close()


def test_whoever_comes_while_the_broker_is_down_is_shown_out() -> None:
    door, nobody = free_ports(2)
    with Proxy({door: nobody}) as proxy, pytest.raises(ConnectionResetError), closing(fresh(proxy)) as early:
        early.answer()


def test_an_end_of_a_transaction_says_whose_it_is_and_how() -> None:
    body = struct.pack(">h", 5) + b"txn-1" + struct.pack(">qhb", 7, 3, 1)
    request = Request.read(struct.pack(">hhih", Api.END_TXN, 1, 9, -1) + body)
    assert (request.client, request.transactional_id, request.commits) == ("", "txn-1", True)


def test_offsets_of_a_transaction_say_whose_it_is_before_and_with_tags() -> None:
    for version, body in ((2, struct.pack(">h", 5)), (3, b"\x00\x06")):
        request = Request.read(struct.pack(">hhih", Api.TXN_OFFSET_COMMIT, version, 9, -1) + body + b"txn-1" + b"rest")
        assert request.transactional_id == "txn-1"


def test_who_comes_while_it_closes_is_shown_out(broker: Broker) -> None:
    for _ in range(20):
        with Proxy({free_ports(1)[0]: broker.port}) as proxy:
            early = [fresh(proxy) for _ in range(5)]
        for one in early:
            with closing(one), pytest.raises(ConnectionResetError):
                one.answer()


def test_a_port_that_is_taken_is_an_error(broker: Broker) -> None:
    with pytest.raises(OSError, match="address already in use"), Proxy({broker.port: broker.port}):
        pass


def fresh(proxy: Proxy) -> Client:
    return Client(int(proxy.address.rpartition(":")[2]))


def received(connection: socket.socket) -> bytes:
    """Return a frame, or nothing at the end."""
    length = connection.recv(4, socket.MSG_WAITALL)
    return connection.recv(struct.unpack(">i", length)[0], socket.MSG_WAITALL) if length else b""


def send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(struct.pack(">i", len(frame)) + frame)
