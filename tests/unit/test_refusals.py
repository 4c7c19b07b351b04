"""What brokers' refusals mean: which setting mends it, and when waiting is over."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError

from sluice.kafka.connection_errors import ConnectionErrors, Refusal, explained, handshakes
from sluice.settings import Kafka

REFUSED = "sasl_ssl://b:1/bootstrap: SASL authentication error: Authentication failed (after 317ms in state AUTH_REQ)"
GONE = "sasl_ssl://c:1/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms in state CONNECT)"
ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down")
NOBODY = Kafka(bootstrap_servers="127.0.0.1:1")


def heard(*texts: str) -> ConnectionErrors:
    """Return what has heard these, and then that all brokers are down."""
    refusals = ConnectionErrors(NOBODY)
    for text in texts:
        refusals(KafkaError(KafkaError._TRANSPORT, text))
    refusals(ALL_DOWN)
    return refusals


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        (REFUSED, "kafka.sasl_username and kafka.sasl_password"),
        ("SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's", "kafka.sasl_mechanism"),
        ("SASL handshake failed: Broker: Request not valid in current SASL state", "kafka.security_protocol"),
        ("Receive failed: error:0A000416:SSL routines::ssl/tls alert bad certificate", "kafka.ssl_certificate_file"),
        ("SSL handshake failed: error:0A000086:SSL routines::certificate verify failed", "kafka.ssl_ca_file"),
        ("SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?", "kafka.security_protocol"),
    ],
)
def test_every_refusal_names_the_setting_that_mends_it(said: str, setting: str) -> None:
    assert setting in explained(said)
    assert setting in heard(said).latest


def test_what_is_no_refusal_is_told_as_it_is_without_when() -> None:
    assert explained(GONE) == "sasl_ssl://c:1/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused"


def test_a_refusal_is_final_once_all_brokers_are_down_and_weighed_once() -> None:
    refusals = ConnectionErrors(NOBODY)
    refusals(KafkaError(KafkaError._AUTHENTICATION, REFUSED))
    assert refusals.final() is None
    refusals(ALL_DOWN)
    assert refusals.final() == Refusal(refusals.latest, ("kafka.sasl_username", "kafka.sasl_password"))
    assert refusals.final() is None


def test_a_broker_that_is_merely_down_may_still_let_us_in() -> None:
    assert heard(REFUSED, GONE).final() is None
    assert heard(GONE).final() is None
    assert heard().final() is None


def test_a_broker_that_came_to_another_answer_is_heard_anew() -> None:
    assert heard(GONE, GONE.replace("Connect to", "SASL")).final() is not None


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """Answer the first words of one connection with these bytes and hang up; yields `host:port`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_port_that_speaks_no_tls_is_told(reply: bytes) -> None:
    with answering(reply) as server:
        found = list(handshakes(Kafka(bootstrap_servers=f"127.0.0.1:1,{server}", security_protocol="SSL")))
    said = "kafka.security_protocol is SSL, but this port speaks no TLS: use another port, or another protocol"
    assert found == [Refusal(f"{server}: {said}", ("kafka.security_protocol",))]


def test_a_port_in_clear_text_is_right_for_a_client_in_clear_text() -> None:
    with answering(b"") as server:
        assert list(handshakes(Kafka(bootstrap_servers=server))) == []


def test_names_that_are_no_addresses_are_left_to_librdkafka() -> None:
    assert list(handshakes(Kafka.model_construct(bootstrap_servers="nowhere,:9,[::1]:x"))) == []
