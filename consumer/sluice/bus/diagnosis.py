"""What the brokers tell about themselves: whether they answer, what we may do there, and what time they think it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, OffsetSpec

from sluice.bus.client import error_of
from sluice.core.errors import BrokerLost

TIMEOUT_S = 10.0
READ, WRITE = AclOperation.READ.name, AclOperation.WRITE.name

_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers that answered."""

    id: str
    brokers: int


def cluster(admin: AdminClient) -> Cluster:
    """Return who answers. Raises BrokerLost when nobody does."""
    ask: Any = admin  # its type stubs know neither this call's result nor the options below
    try:
        found = ask.describe_cluster(request_timeout=TIMEOUT_S).result()
    except KafkaException as exception:
        raise BrokerLost(f"no broker answers: {error_of(exception).str()}; check kafka.bootstrap_servers") from None
    return Cluster(found.cluster_id or "", len(found.nodes))


def denied(admin: AdminClient, topics: Mapping[str, str], group: str) -> list[tuple[str, str]] | None:
    """Return operation and resource of all that we may not do: what `topics` says of each, and read as the group.

    None when the brokers do not tell what we may do.
    """
    ask: Any = admin
    options = {"include_authorized_operations": True, "request_timeout": TIMEOUT_S}
    futures = ask.describe_topics(TopicCollection(list(topics)), **options)
    groups = ask.describe_consumer_groups([group], **options)
    answers = [(need, f"--topic {name}", _allowed(futures[name])) for name, need in topics.items()]
    answers.append((READ, f"--group {group}", _allowed(groups[group])))
    if all(allowed is None for _, _, allowed in answers):
        return None
    return [(need, resource) for need, resource, allowed in answers if allowed is not None and need not in allowed]


def newest_timestamp_ms(admin: AdminClient, topics: Sequence[str]) -> int | None:
    """Return the latest timestamp of any record in the topics, ms since the epoch; None if there is none to be had."""
    ask: Any = admin
    known = _told(lambda: admin.list_topics(timeout=TIMEOUT_S).topics) or {}
    places = [TopicPartition(name, index) for name in topics if name in known for index in known[name].partitions]
    futures = ask.list_offsets({place: OffsetSpec.max_timestamp() for place in places}, request_timeout=TIMEOUT_S)
    found = [_told(future.result) for future in futures.values()]
    return max((answer.timestamp for answer in found if answer and answer.timestamp >= 0), default=None)


def _allowed(future: Any) -> set[str] | None:
    """Return the names of the operations we may do; None if there is no answer, or one without them."""
    try:
        operations: Iterable[AclOperation] = future.result().authorized_operations or ()
    except KafkaException as exception:
        return set() if error_of(exception).code() in _DENIED else None
    return {operation.name for operation in operations} or None


def _told(ask: Callable[[], Any]) -> Any:
    """Return the answer; None where the brokers are too old for the question."""
    try:
        return ask()
    except KafkaException:
        return None
