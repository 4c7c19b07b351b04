"""Why brokers do not let us in, in terms of the settings that mend it.

librdkafka tells most of it to an error callback. Of a certificate it only says that it cannot be verified, and of a TLS
port that we address in clear text nothing at all; there a bare TLS handshake, without Kafka, tells the rest.
"""

import re
import socket
import ssl
from collections.abc import Iterator

from confluent_kafka import KafkaError

from sluice.settings import Kafka

HANDSHAKE_S = 3.0
_TLS = ("SSL", "SASL_SSL")

# What librdkafka, or OpenSSL within, says; what mends it; the first that fits counts.
_UNVERIFIED = "certificate verify failed"
_HUNG_UP = "PLAINTEXT broker listener"
_CURES = {
    "Unsupported SASL mechanism": "set kafka.sasl_mechanism to one of those",
    "current SASL state": "this port asks for no user: check kafka.security_protocol and kafka.bootstrap_servers",
    "SASL": "check kafka.sasl_username and kafka.sasl_password",
    " alert ": "the broker wants another certificate of us than none, an expired one, or one of an authority that it "
    "does not trust: check kafka.ssl_certificate_file and kafka.ssl_key_file",
    _UNVERIFIED: "check kafka.ssl_ca_file and the names in kafka.bootstrap_servers",
    _HUNG_UP: "check kafka.security_protocol and the port in kafka.bootstrap_servers",
}

# OpenSSL's X509_V_ERR_... of the broker's certificate.
_VERIFICATION = {
    10: "its certificate has expired: renew it at the broker (kafka.ssl_ca_file cannot help)",
    **dict.fromkeys(
        (7, 18, 19, 20, 21), "its certificate is of an authority that we do not trust: set kafka.ssl_ca_file to its own"
    ),
    **dict.fromkeys((62, 64), "its certificate is not for this name: use one that it bears in kafka.bootstrap_servers"),
}
_WHEN = re.compile(r" \(after \d+ms in state \w+\)")


class ConnectionErrors:
    """What one client hears from the brokers; give it as the client's error callback."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._heard: dict[str, str] = {}  # the last of each broker
        self._all_down = False

    def __call__(self, error: KafkaError) -> None:
        """Take note of an error that concerns the client as a whole."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  its public name
            self._all_down = True
        else:
            broker = error.str().partition(": ")[0]
            self._heard.pop(broker, None)
            self._heard[broker] = error.str()

    @property
    def latest(self) -> str:
        """The last that was heard, with what mends it."""
        return explained(next(reversed(self._heard.values()), "no answer yet"))

    def final(self) -> str:
        """Return why no broker will ever let us in, empty while one may.

        Each report that all are down is weighed once; that may take seconds, `HANDSHAKE_S` a broker.
        """
        if not self._all_down:
            return ""
        self._all_down = False
        heard = self._heard.values()
        if all(any(words in text for words in (_UNVERIFIED, _HUNG_UP)) for text in heard):
            found = next(handshakes(self._kafka), "")
            if found:
                return found
        if heard and all(_cure(text) and _HUNG_UP not in text for text in heard):
            return self.latest
        return ""


def explained(text: str) -> str:
    """Return librdkafka's words and the settings that mend it."""
    words, cure = _WHEN.sub("", text), _cure(text)
    return f"{words}; {cure}" if cure else words


def handshakes(kafka: Kafka) -> Iterator[str]:
    """Yield what a TLS handshake with each of the named brokers shows to be wrong; those that fit yield nothing."""
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        if host and port.isdigit() and (found := _handshake(kafka, host.strip("[]"), int(port))):
            yield f"{host}:{port}: {found}"


def _handshake(kafka: Kafka, host: str, port: int) -> str:
    encrypted = kafka.security_protocol.value in _TLS
    try:
        with socket.create_connection((host, port), HANDSHAKE_S) as line:
            line.settimeout(HANDSHAKE_S)
            return _greet(kafka, line, host) if encrypted else _greet_unasked(kafka, line)
    except OSError:
        return ""  # librdkafka says it better


def _greet(kafka: Kafka, line: socket.socket, host: str) -> str:
    trust = ssl.create_default_context(cafile=kafka.ssl_ca_file)
    try:
        trust.wrap_socket(line, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return _VERIFICATION.get(error.verify_code, f"its certificate cannot be verified: {error.verify_message}")
    except (ssl.SSLError, ConnectionError):
        protocol = kafka.security_protocol.value
        return (
            f"kafka.security_protocol is {protocol}, but this port speaks no TLS: use another port, or another protocol"
        )
    return ""


def _greet_unasked(kafka: Kafka, line: socket.socket) -> str:
    """Say hello in TLS to a port that we address in clear text; whose certificate it has is no matter here."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        anybody.wrap_socket(line).close()
    except (ssl.SSLError, ConnectionError):
        return ""
    return f"kafka.security_protocol is {kafka.security_protocol.value}, but this port speaks TLS: set SSL or SASL_SSL"


def _cure(text: str) -> str:
    return next((cure for words, cure in _CURES.items() if words in text), "")
