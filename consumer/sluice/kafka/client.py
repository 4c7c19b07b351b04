"""Settings become librdkafka's own; what guards exactly-once cannot be overridden, and secrets reach no message.

Names and meanings are those of librdkafka's CONFIGURATION.md.
"""

import ipaddress
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from sluice.core.errors import BadSettings
from sluice.kafka.errors import TRANSPORT, error_of
from sluice.settings import Kafka
from sluice.settings.kafka import SecurityProtocol

Config = dict[str, Any]
OnError = Callable[[KafkaError], None]
OpenConsumer = Callable[[Config, OnError], Consumer]
OpenProducer = Callable[[Config, OnError], Producer]
Client = TypeVar("Client")
_logger = logging.getLogger(__name__)

CLIENT_ID = "sluice"
ASSIGNOR = "range"
FETCH_MAX_BYTES = 32 * 1024 * 1024  # prefetching may overshoot its bound by one answer of each broker
LINGER_MS = 2  # a transaction is filled at once, so waiting longer only delays its commit
MESSAGE_MAX_BYTES = 4 * 1024 * 1024  # a dead letter may carry an event of `media.max_event_bytes` and its headers

# Set by their own settings, so that there is one way to say it and secrets stay in secret values.
_OWN_SETTING = frozenset({
    "bootstrap.servers", "metadata.broker.list", "security.protocol", "sasl.mechanism", "sasl.mechanisms",
    "sasl.username", "sasl.password", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.token.endpoint.url", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
    "ssl.key.password", "group.id", "group.protocol", "session.timeout.ms", "max.poll.interval.ms",
    "transactional.id", "transaction.timeout.ms", "receive.message.max.bytes",
    "queued.max.messages.kbytes", "queued.min.messages", "topic.metadata.refresh.interval.ms",
})  # fmt: skip
_GUARDS_EXACTLY_ONCE = frozenset({
    "enable.auto.commit", "enable.auto.offset.store", "isolation.level", "auto.offset.reset",
    "partition.assignment.strategy", "group.remote.assignor", "group.instance.id", "enable.partition.eof",
    "enable.idempotence", "acks", "request.required.acks", "delivery.timeout.ms", "message.timeout.ms", "retries",
    "message.send.max.retries", "max.in.flight", "max.in.flight.requests.per.connection", "queue.buffering.max.ms",
    "linger.ms", "plugin.library.paths",
})  # fmt: skip
_FILES = {
    "ssl.ca.location": "ssl_ca_file",
    "ssl.certificate.location": "ssl_certificate_file",
    "ssl.key.location": "ssl_key_file",
}


def consumer_config(kafka: Kafka) -> Config:
    """Return the configuration of the group member that feeds the loop."""
    config = _common(kafka) | {
        "group.id": kafka.group_id,
        "group.protocol": kafka.group_protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",  # librdkafka's default, latest, silently skips images
        "enable.partition.eof": True,  # lag is 0 where nothing further is to be read, commit markers or not
        "max.poll.interval.ms": _ms(kafka.max_poll_interval_s),
        "queued.min.messages": kafka.queued_min_messages,
        "queued.max.messages.kbytes": kafka.queued_max_kbytes,
        # How long a partition that has enough is left alone; librdkafka's second lets one of small events, of which a
        # fetch holds a megabyte, give 1,700 a second and no more (`python -m tests.bench kafka`).
        "fetch.queue.backoff.ms": 20,
        "fetch.error.backoff.ms": 100,  # a leader that has just moved is asked again soon
    }
    if kafka.group_protocol == "classic":  # with KIP-848 both are the broker's
        config["partition.assignment.strategy"] = ASSIGNOR
        config["session.timeout.ms"] = _ms(kafka.session_timeout_s)
        # librdkafka's 3 s would let a member with a shorter session time out between two heartbeats.
        config["heartbeat.interval.ms"] = min(3000, _ms(kafka.session_timeout_s / 3))
    return config | _passed_through("consumer_options", kafka.consumer_options)


def producer_config(kafka: Kafka) -> Config:
    """Return the configuration of the transactional producer."""
    timeout_ms = _ms(kafka.transaction_timeout_s)
    config = _common(kafka) | {
        "transactional.id": transactional_id(kafka),
        "transaction.timeout.ms": timeout_ms,
        "delivery.timeout.ms": timeout_ms,  # librdkafka refuses one beyond the transaction's
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": LINGER_MS,
        # A transaction that follows another at once is told CONCURRENT_TRANSACTIONS until the markers of the last are
        # written, some milliseconds; librdkafka's 100 ms then cost a fifth (`python -m tests.bench kafka`).
        "retry.backoff.ms": 5,
        # Verdicts are kept for a year: 30 % fewer bytes than lz4 for some microseconds an event, outside of Python
        # (`python -m tests.bench kafka`). Brokers and clients know it since Kafka 2.1.
        "compression.type": "zstd",
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "delivery.report.only.error": True,
        "topic.metadata.propagation.max.ms": 5000,  # a missing topic is named well within the transaction's time
    }
    options = _passed_through("producer_options", kafka.producer_options)
    # Only debug lines tell of every lost connection: librdkafka keeps others back for 30 s, or takes them for idle.
    return config | options | {"debug": ",".join(filter(None, ("broker", options.get("debug"))))}


def plain_producer_config(kafka: Kafka) -> Config:
    """Return the configuration of an idempotent producer without transactions, for putting records back."""
    transactional = ("transactional.id", "transaction.timeout.ms")
    return {name: value for name, value in producer_config(kafka).items() if name not in transactional}


def reader_config(kafka: Kafka) -> Config:
    """Return the configuration of a reader that belongs to no group and commits nothing."""
    config = _common(kafka) | {
        "group.id": f"{kafka.group_id}-reader",  # librdkafka wants a name; nothing is subscribed or committed under it
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": kafka.queued_max_kbytes,
    }
    return config | _passed_through("consumer_options", kafka.consumer_options)


def admin_config(kafka: Kafka) -> Config:
    """Return the configuration of a client that looks at topics and groups."""
    return _common(kafka)


def transactional_id(kafka: Kafka) -> str:
    """Return the id that must be unique per live process; a newcomer with the same id fences the older one."""
    return kafka.transactional_id or f"{kafka.group_id}-{socket.gethostname()}"


def open_consumer(config: Config, on_error: OnError) -> Consumer:
    """Make a consumer, or raise BadSettings with what librdkafka has against the configuration."""
    return _open(lambda: Consumer(config | {"error_cb": on_error}))


def open_producer(config: Config, on_error: OnError) -> Producer:
    """Make a producer, or raise BadSettings with what librdkafka has against the configuration."""
    return _open(lambda: Producer(config | reports_to(on_error)))


def reports_to(on_error: OnError) -> Config:
    """Return what lets a producer report lost connections, too: librdkafka's error callback hears only of worse."""
    return {"error_cb": on_error, "logger": _Lines(on_error)}


_UNANSWERED = frozenset({("FAIL", logging.DEBUG), ("REQTMOUT", logging.WARNING)})  # a connection or a request is lost


class _Lines:
    """librdkafka's log, as the `logger` of confluent-kafka; a line is served like a callback, by poll."""

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error

    def log(self, level: int, form: str, facility: str, *rest: str) -> None:
        """Report what is lost; what is no alarm is for those who debug."""
        if (facility, level) in _UNANSWERED:
            self._on_error(KafkaError(TRANSPORT, rest[-1], retriable=True))
        else:
            _logger.log(level if level > logging.ERROR else logging.DEBUG, form, facility, *rest)


def open_admin(config: Config, on_error: OnError) -> AdminClient:
    """Make an admin client, or raise BadSettings with what librdkafka has against the configuration."""
    return _open(lambda: AdminClient(config | {"error_cb": on_error}))


def _open(make: Callable[[], Client]) -> Client:
    try:
        return make()
    except KafkaException as refused:
        text = error_of(refused).str()
        setting = next((f"kafka.{setting}" for name, setting in _FILES.items() if name in text), "")
        raise BadSettings(f"{setting or 'kafka'}: {text}", setting=(setting,) if setting else ()) from None


def _common(kafka: Kafka) -> Config:
    _refuse_cleartext(kafka)
    config: Config = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": CLIENT_ID,
        "security.protocol": kafka.security_protocol.value,
        "receive.message.max.bytes": kafka.receive_max_bytes,
        # librdkafka wants room for the protocol's own bytes.
        "fetch.max.bytes": min(FETCH_MAX_BYTES, kafka.receive_max_bytes - 1024),
        "topic.metadata.refresh.interval.ms": _ms(kafka.metadata_refresh_s),  # librdkafka's 5 minutes: no one reads
        "reconnect.backoff.max.ms": 2000,  # a broker that is back is found soon
        "log_level": 2,  # librdkafka's own lines on stderr; errors arrive by callback
    }
    return config | _sasl(kafka) | _tls(kafka)


def _sasl(kafka: Kafka) -> Config:
    secret = kafka.sasl_password.get_secret_value()
    if not kafka.sasl_mechanism:
        return {}
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": kafka.sasl_username,
            "sasl.oauthbearer.client.secret": secret,
            "sasl.oauthbearer.token.endpoint.url": kafka.sasl_token_url,
        }
    return {"sasl.mechanism": kafka.sasl_mechanism, "sasl.username": kafka.sasl_username, "sasl.password": secret}


def _tls(kafka: Kafka) -> Config:
    files = {name: getattr(kafka, setting) for name, setting in _FILES.items()}
    config: Config = {name: str(path) for name, path in files.items() if path}
    if password := kafka.ssl_key_password.get_secret_value():
        config["ssl.key.password"] = password
    return config


def _passed_through(setting: str, options: Mapping[str, str | float | bool]) -> Config:
    for name in options:
        if name in _OWN_SETTING:
            raise BadSettings(
                f"kafka.{setting}: {name} has a setting of its own under kafka",
                setting=f"kafka.{setting}",
                remedy="use that one",
            )
        if name in _GUARDS_EXACTLY_ONCE:
            raise BadSettings(
                f"kafka.{setting}: {name} may not be changed, exactly-once rests on it",
                setting=f"kafka.{setting}",
                remedy="remove it",
            )
    return dict(options)


def _refuse_cleartext(kafka: Kafka) -> None:
    if not kafka.bootstrap_servers:
        raise BadSettings(
            "kafka.bootstrap_servers is empty",
            setting="kafka.bootstrap_servers",
            remedy="set SLUICE_KAFKA__BOOTSTRAP_SERVERS to host:port[,...]",
        )
    encrypted = kafka.security_protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)
    if encrypted or kafka.allow_insecure:
        return
    for server in kafka.bootstrap_servers.split(","):
        if not _on_loopback(_host(server)):
            raise BadSettings(
                f"kafka.security_protocol is {kafka.security_protocol.value}, but {server.strip()} is not on loopback",
                setting=("kafka.security_protocol", "kafka.allow_insecure"),
                remedy="use SSL or SASL_SSL, or set kafka.allow_insecure=true if the network itself is trusted",
            )


def _host(server: str) -> str:
    address = server.strip().rpartition("//")[2]
    host, _, port = address.rpartition(":")
    return (host if host and port.isdigit() else address).strip("[]")


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
