"""Which broker and which topics, and whether they are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from sluice_schemas import topics

Client = TypeVar("Client", Producer, Consumer)

_ANSWER_WITHIN_S: Final = 10.0


class BrokerUnusable(Exception):
    """No broker answers, or it lacks a topic, or it refused records. The message says what to look at."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the brokers are; `options` are librdkafka's own (TLS, SASL...) and go to every client."""

    bootstrap_servers: str
    options: Mapping[str, str] = field(default_factory=dict)

    def config(self, **own: Any) -> dict[str, Any]:
        """Return a client's configuration; underscores in names stand for librdkafka's dots."""
        named = {name.replace("_", "."): value for name, value in own.items()}
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "sluice-sim",
            "log_level": 0,  # a broker that does not answer would fill the terminal; exceptions say it once
            "receive.message.max.bytes": 256 * 1024 * 1024,  # some brokers ignore the fetch limits
            **named,
            **self.options,
        }


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics a run touches."""

    images: str = topics.IMAGES.name
    verdicts: str = topics.VERDICTS.name
    quality: str = topics.QUALITY.name
    dead_letters: str = topics.DEAD_LETTERS.name


def opened(client: type[Client], config: dict[str, Any]) -> Client:
    """Make a producer or a consumer; raise BrokerUnusable with what librdkafka has against the configuration."""
    try:
        return client(config)
    except KafkaException as error:
        raise BrokerUnusable(f"librdkafka: {_text(error)}") from None


def partitions(client: Producer | Consumer, names: Iterable[str]) -> dict[str, list[int]]:
    """Return the partitions of each topic; raise BrokerUnusable if no broker answers or a topic is not there."""
    try:
        known = client.list_topics(timeout=_ANSWER_WITHIN_S).topics
    except KafkaException as error:
        raise BrokerUnusable(
            f"no broker answers within {_ANSWER_WITHIN_S:.0f} s: {cast(KafkaError, error.args[0]).str()}"
        ) from None
    missing = sorted(name for name in names if name not in known)
    if missing:
        raise BrokerUnusable(f"no such topic: {', '.join(missing)}; create it with: sluice topics create")
    return {name: sorted(known[name].partitions) for name in names}


def _text(error: KafkaException) -> str:
    return cast(KafkaError, error.args[0]).str()
