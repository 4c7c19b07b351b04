"""What the brokers tell about themselves: whether they answer, what we may do there, and what time they think it is."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, OffsetSpec

from sluice.kafka.acls import Acl, of_consumer
from sluice.kafka.client import producer_config, transactional_id
from sluice.kafka.coordinator import describe
from sluice.kafka.errors import Meaning, error_of, means, no_broker
from sluice.settings import Kafka, Topics

TIMEOUT_S = 10.0
_NEVER_MS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers that answered."""

    id: str
    brokers: int


def cluster(admin: AdminClient) -> Cluster:
    """Return who answers. Raises BrokerLost when none does."""
    ask: Any = admin  # its type stubs know neither this call's result nor the options below
    try:
        found = ask.describe_cluster(request_timeout=TIMEOUT_S).result()
    except KafkaException as exception:
        raise no_broker(f"no broker answers: {error_of(exception).str()}") from None
    return Cluster(found.cluster_id or "", len(found.nodes))


@dataclass(frozen=True, slots=True)
class Group:
    """Who shares a topic. `protocol` is `classic` or `consumer`, `assignor` how they share, empty for not known yet."""

    members: tuple[str, ...]
    protocol: str
    assignor: str


def group(admin: AdminClient, name: str) -> Group | None:
    """Return who is in a group now; None when the brokers do not tell."""
    found = _told(lambda: describe(admin, name, TIMEOUT_S))
    if found is None:
        return None
    members = (f"{member.client_id}@{member.host.lstrip('/')}" for member in found.members)
    return Group(tuple(members), found.type.name.lower(), found.partition_assignor or "")


def lacking(admin: AdminClient, kafka: Kafka, topics: Topics) -> list[Acl] | None:
    """Return what this consumer may not do of all that it must; None when the brokers do not tell."""
    needed = of_consumer(kafka, topics, transactional_id(kafka))
    refused = denied(admin, needed)
    if refused is None or may_transact(kafka):
        return refused
    return [*refused, *(acl for acl in needed if acl.kind == "transactional-id")]


def denied(admin: AdminClient, wanted: Sequence[Acl], timeout_s: float = TIMEOUT_S) -> list[Acl] | None:
    """Return what we may not do of all that is wanted on topics and groups; None when the brokers do not tell.

    They tell nothing of transactional ids: `may_transact` asks.
    """
    ask: Any = admin
    names = {kind: list(dict.fromkeys(acl.name for acl in wanted if acl.kind == kind)) for kind in ("topic", "group")}
    described = ask.describe_topics(
        TopicCollection(names["topic"]), request_timeout=timeout_s, include_authorized_operations=True
    )
    allowed = {
        "topic": {name: _allowed(future.result) for name, future in described.items()},
        "group": {
            name: _allowed(partial(describe, admin, name, timeout_s, permissions=True)) for name in names["group"]
        },
    }
    answers = [(acl, allowed[acl.kind][acl.name]) for acl in wanted if acl.kind in allowed]
    if all(operations is None for _, operations in answers):
        return None
    return [acl for acl, operations in answers if operations is not None and acl.operation.upper() not in operations]


def may_transact(kafka: Kafka) -> bool:
    """Tell whether we may write under our transactional id, without doing so: a real one would fence a live consumer.

    The brokers check the permission before the timeout, and this timeout is beyond every `transaction.max.timeout.ms`.
    """
    silent = logging.getLogger(f"{__name__}.librdkafka")  # it would write what is fatal to stderr
    silent.disabled = True
    config = producer_config(kafka) | {"transaction.timeout.ms": _NEVER_MS, "logger": silent}
    try:
        Producer(config).init_transactions(TIMEOUT_S)
    except KafkaException as exception:
        return not means(error_of(exception), Meaning.DENIED)
    return True


def newest_timestamp_ms(admin: AdminClient, topics: Sequence[str]) -> int | None:
    """Return the latest timestamp of any record in the topics, ms since the epoch; None if there is none to be had."""
    ask: Any = admin
    known = _told(lambda: admin.list_topics(timeout=TIMEOUT_S).topics) or {}
    places = [TopicPartition(name, index) for name in topics if name in known for index in known[name].partitions]
    futures = ask.list_offsets({place: OffsetSpec.max_timestamp() for place in places}, request_timeout=TIMEOUT_S)
    found = [_told(future.result) for future in futures.values()]
    return max((answer.timestamp for answer in found if answer and answer.timestamp >= 0), default=None)


def _allowed(ask: Callable[[], Any]) -> set[str] | None:
    """Return the names of the operations we may do; None if there is no answer, or one without them."""
    try:
        operations: Iterable[AclOperation] = ask().authorized_operations or ()
    except KafkaException as exception:
        return set() if means(error_of(exception), Meaning.DENIED) else None
    return {operation.name for operation in operations} or None


def _told(ask: Callable[[], Any]) -> Any:
    """Return the answer; None where the brokers are too old for the question."""
    try:
        return ask()
    except KafkaException:
        return None
