"""Why brokers do not let us in, in terms of the settings that mend it.

librdkafka tells most of it to an error callback. Of a certificate it only says that it cannot be verified, and of a TLS
port that we address in clear text nothing at all; there a bare TLS handshake, without Kafka, tells the rest.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError

from sluice.kafka.errors import ALL_BROKERS_DOWN
from sluice.settings import Kafka

HANDSHAKE_S = 3.0
_TLS = ("SSL", "SASL_SSL")

# What librdkafka, or OpenSSL within, says; what mends it; the first that fits counts.
_UNVERIFIED = "certificate verify failed"
_HUNG_UP = "PLAINTEXT broker listener"
_CERTIFICATE = (
    "the broker wants another certificate of us than none, an expired one, or one of an authority that it does not "
    "trust: check {} and {}"
)
_REMEDIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Unsupported SASL mechanism": ("set {} to one of those", ("kafka.sasl_mechanism",)),
    "current SASL state": (
        "this port asks for no user: check {} and {}",
        ("kafka.security_protocol", "kafka.bootstrap_servers"),
    ),
    "SASL": ("check {} and {}", ("kafka.sasl_username", "kafka.sasl_password")),
    " alert ": (
        _CERTIFICATE,
        ("kafka.ssl_certificate_file", "kafka.ssl_key_file"),
    ),
    _UNVERIFIED: ("check {} and the names in {}", ("kafka.ssl_ca_file", "kafka.bootstrap_servers")),
    _HUNG_UP: ("check {} and the port in {}", ("kafka.security_protocol", "kafka.bootstrap_servers")),
}
"""What helps, and the settings that it names."""

# OpenSSL's X509_V_ERR_... of the broker's certificate.
_CA, _SERVERS, _PROTOCOL = "kafka.ssl_ca_file", "kafka.bootstrap_servers", "kafka.security_protocol"
_VERIFICATION = {
    10: (f"its certificate has expired: renew it at the broker ({_CA} cannot help)", ()),
    **dict.fromkeys(
        (7, 18, 19, 20, 21), (f"its certificate is of an authority that we do not trust: set {_CA} to its own", (_CA,))
    ),
    **dict.fromkeys(
        (62, 64), (f"its certificate is not for this name: use one that it bears in {_SERVERS}", (_SERVERS,))
    ),
}
_WHEN = re.compile(r" \(after \d+ms in state \w+\)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why brokers do not let us in, for people, and the settings that are to blame."""

    text: str
    settings: tuple[str, ...] = ()


class ConnectionErrors:
    """What one client hears from the brokers; give it as the client's error callback."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._heard: dict[str, str] = {}  # the last of each broker
        self._all_down = False

    def __call__(self, error: KafkaError) -> None:
        """Take note of an error that concerns the client as a whole."""
        if error.code() == ALL_BROKERS_DOWN:
            self._all_down = True
        else:
            broker = error.str().partition(": ")[0]
            self._heard.pop(broker, None)
            self._heard[broker] = error.str()

    @property
    def latest(self) -> str:
        """The last that was heard, with what mends it."""
        return explained(next(reversed(self._heard.values()), "no answer yet"))

    def final(self) -> Refusal | None:
        """Return why no broker will ever let us in, None while one may.

        Each report that all are down is weighed once; that may take seconds, `HANDSHAKE_S` a broker.
        """
        if not self._all_down:
            return None
        self._all_down = False
        heard = self._heard.values()
        if all(any(words in text for words in (_UNVERIFIED, _HUNG_UP)) for text in heard):
            found = next(handshakes(self._kafka), None)
            if found:
                return found
        if heard and all(_remedy(text) and _HUNG_UP not in text for text in heard):
            return _explained(next(reversed(heard)))
        return None


def explained(text: str) -> str:
    """Return librdkafka's words and the settings that mend it."""
    return _explained(text).text


def _explained(text: str) -> Refusal:
    words, remedy = _WHEN.sub("", text), _remedy(text)
    return Refusal(f"{words}; {remedy[0].format(*remedy[1])}", remedy[1]) if remedy else Refusal(words)


def handshakes(kafka: Kafka) -> Iterator[Refusal]:
    """Yield what a TLS handshake with each of the named brokers shows to be wrong; those that fit yield nothing."""
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        if host and port.isdigit() and (found := _handshake(kafka, host.strip("[]"), int(port))):
            yield Refusal(f"{host}:{port}: {found.text}", found.settings)


def _handshake(kafka: Kafka, host: str, port: int) -> Refusal | None:
    encrypted = kafka.security_protocol.value in _TLS
    try:
        with socket.create_connection((host, port), HANDSHAKE_S) as line:
            line.settimeout(HANDSHAKE_S)
            return _greet(kafka, line, host) if encrypted else _greet_unasked(kafka, line)
    except OSError:
        return None  # librdkafka says it better


def _greet(kafka: Kafka, line: socket.socket, host: str) -> Refusal | None:
    trust = ssl.create_default_context(cafile=kafka.ssl_ca_file)
    try:
        trust.wrap_socket(line, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        unknown = (f"its certificate cannot be verified: {error.verify_message}", (_CA,))
        return Refusal(*_VERIFICATION.get(error.verify_code, unknown))
    except (ssl.SSLError, ConnectionError):
        protocol = kafka.security_protocol.value
        said = f"{_PROTOCOL} is {protocol}, but this port speaks no TLS: use another port, or another protocol"
        return Refusal(said, (_PROTOCOL,))
    return None


def _greet_unasked(kafka: Kafka, line: socket.socket) -> Refusal | None:
    """Say hello in TLS to a port that we address in clear text; whose certificate it has is no matter here."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        anybody.wrap_socket(line).close()
    except (ssl.SSLError, ConnectionError):
        return None
    said = f"{_PROTOCOL} is {kafka.security_protocol.value}, but this port speaks TLS: set SSL or SASL_SSL"
    return Refusal(said, (_PROTOCOL,))


def _remedy(text: str) -> tuple[str, tuple[str, ...]] | None:
    return next((remedy for words, remedy in _REMEDIES.items() if words in text), None)
