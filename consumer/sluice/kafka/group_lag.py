"""How far a group is behind on the images topic, seen from outside: the command joins no group and commits nothing.

Offsets need Describe on the group and the topic, as monitoring and operators have it. Ages need Read on the topic, for
the age of an image is the timestamp of its record; the consumer's own user has that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from sluice.core.deadline import Deadline
from sluice.core.errors import BrokerLost, Denied
from sluice.kafka.client import Config, reader_config
from sluice.kafka.coordinator import describe
from sluice.kafka.errors import Meaning, denies_topic, error_of, is_end, means, no_broker, no_topic
from sluice.kafka.group_offsets import AskCommits
from sluice.kafka.offset_lookup import END, STABLE, offsets
from sluice.settings import Kafka

TIMEOUT_S = 15.0
LISTEN_S = 0.1
ONE_RECORD: Config = {"queued.min.messages": 1, "fetch.message.max.bytes": 64 * 1024}
"""Of each partition one record is wanted, not all that waits; one that is larger comes alone."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition: `start` to `end` are on the brokers, `committed` is where the group stands, None before a commit.

    `owner` is `client id@host` of the member that reads it, empty for none. `oldest_ms` is the timestamp of the oldest
    record without a committed verdict, ms since the epoch; None when there is none, or it may not be read.
    `only_markers`: what is left are the markers of transactions, which a producer's transaction leaves.
    `end` is the high watermark; from `stable` on nothing is read until a transaction of images ends, None if that is
    not known.
    """

    partition: int
    committed: int | None
    start: int
    end: int
    owner: str = ""
    oldest_ms: int | None = None
    only_markers: bool = False
    stable: int | None = None

    @property
    def next(self) -> int:
        """The offset where reading goes on: out of range, it starts anew (`auto.offset.reset`)."""
        return self.committed if self.committed is not None and self.start <= self.committed <= self.end else self.start

    @property
    def lag(self) -> int:
        """Offsets without a committed verdict, the markers of transactions between records included."""
        return 0 if self.only_markers else self.end - self.next

    @property
    def undecided(self) -> int:
        """Offsets that wait behind an open transaction, for every reader."""
        return 0 if self.stable is None or self.only_markers else self.end - max(self.stable, self.next)

    @property
    def expired(self) -> int:
        """Offsets that were deleted before the group came to them."""
        return max(0, self.start - self.committed) if self.committed is not None else 0


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A group on a topic. `state` is the coordinator's word for the group; `ages_denied`: we may not read the topic."""

    group: str
    topic: str
    state: str
    partitions: tuple[PartitionLag, ...]
    ages_denied: bool = False

    @property
    def lag(self) -> int:
        """Offsets without a committed verdict, all in all."""
        return sum(standing.lag for standing in self.partitions)

    @property
    def oldest_ms(self) -> int | None:
        """The timestamp of the oldest record without a committed verdict."""
        return min((each.oldest_ms for each in self.partitions if each.oldest_ms is not None), default=None)

    @property
    def known(self) -> bool:
        """Whether the brokers have ever heard of the group: it has a member, or has committed something."""
        return self.state != "DEAD" or any(standing.committed is not None for standing in self.partitions)


def backlog(admin: AdminClient, commits: AskCommits, group: str, topic: str) -> GroupLag:
    """Return how far `group`, whose offsets `commits` knows, is behind on `topic`, without ages.

    Raises BadSettings when there is no such topic, Denied when we may not look, BrokerLost when no broker answers.
    """
    places = [TopicPartition(topic, index) for index in _partitions(admin, topic)]
    committed = commits(places)
    # Asked in this order, so that what is committed meanwhile never lies behind the end.
    told = _answered(committed.result, group, topic)
    found = {each.partition: each.offset for each in told if each.offset >= 0}
    starts = _offsets(admin, places, OffsetSpec.earliest(), group)
    stable, ends = (_offsets(admin, places, OffsetSpec.latest(), group, isolation) for isolation in (STABLE, END))
    description = _answered(lambda: describe(admin, group, TIMEOUT_S), group, topic)
    owners = _owners(description.members, topic)
    standings = (
        PartitionLag(
            index,
            found.get(index),
            starts[index],
            ends[index],
            owners.get(index, ""),
            stable=stable[index] if stable[index] < ends[index] else None,
        )
        for index in sorted(ends)
    )
    return GroupLag(group, topic, description.state.name, tuple(standings))


def with_ages(seen: GroupLag, kafka: Kafka, connect: Callable[[Config], Consumer], deadline: Deadline) -> GroupLag:
    """Return `seen` with what only reading tells: the timestamp of the first record that waits in each partition.

    Without the permission to read, and for a partition that did not answer in time, it stays as it is.
    """
    waiting = {each.partition: each.next for each in seen.partitions if each.lag}
    consumer = connect(reader_config(kafka) | ONE_RECORD)
    try:
        consumer.assign([TopicPartition(seen.topic, index, offset) for index, offset in waiting.items()])
        first = _first(consumer, seen.topic, set(waiting), deadline)
    finally:
        consumer.close()
    if first is None:
        return replace(seen, ages_denied=True)
    return replace(seen, partitions=tuple(_aged(each, first.get(each.partition)) for each in seen.partitions))


def _aged(standing: PartitionLag, message: Message | None) -> PartitionLag:
    if message is None:
        return standing
    if (error := message.error()) is not None:
        # A reader of what is committed sees the end where a transaction is open, too.
        ended = is_end(error) and (message.offset() or 0) >= standing.end
        return replace(standing, only_markers=ended)
    _, timestamp_ms = message.timestamp()
    return replace(standing, oldest_ms=timestamp_ms if timestamp_ms >= 0 else None)


def _first(consumer: Consumer, topic: str, waiting: set[int], deadline: Deadline) -> dict[int, Message] | None:
    """Return the first that comes of each partition, a record or the word that there is none; None if it is denied."""
    found: dict[int, Message] = {}
    while waiting - set(found) and not deadline.over:
        message = consumer.poll(min(LISTEN_S, deadline.remaining_s))
        if message is None:
            continue
        error, index = message.error(), message.partition()
        # That we may not use the group which librdkafka wants a name for is no matter.
        if error is not None and denies_topic(error):
            return None
        if index in waiting and (error is None or means(error, Meaning.NO_RECORD)):
            found.setdefault(index, message)
            consumer.pause([TopicPartition(topic, index)])
    return found


def _partitions(admin: AdminClient, topic: str) -> list[int]:
    ask: Any = admin
    # Asked for metadata instead, brokers that are set up so would create the topic.
    future = ask.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic]
    try:
        return [partition.id for partition in future.result().partitions]
    except KafkaException as exception:
        if means(error_of(exception), Meaning.NO_TOPIC):
            raise no_topic(topic) from None
        raise _refusal(error_of(exception), "", topic) from None


def _offsets(
    admin: AdminClient, places: list[TopicPartition], spec: OffsetSpec, group: str, isolation: IsolationLevel = END
) -> dict[int, int]:
    futures = offsets(admin, places, spec, isolation=isolation, patience_s=TIMEOUT_S)
    return {place.index: _answered(future.result, group, place.topic).offset for place, future in futures.items()}


def _owners(members: Iterable[Any], topic: str) -> dict[int, str]:
    return {
        place.partition: f"{member.client_id}@{member.host.lstrip('/')}"
        for member in members
        for place in (member.assignment.topic_partitions if member.assignment else ())
        if place.topic == topic
    }


def _answered(ask: Callable[[], Answer], group: str, topic: str) -> Answer:
    """Return the answer; whatever else is said, librdkafka has tried again."""
    try:
        return ask()
    except KafkaException as exception:
        raise _refusal(error_of(exception), group, topic) from None


def _refusal(error: KafkaError, group: str, topic: str) -> Denied | BrokerLost:
    if means(error, Meaning.DENIED):
        what = f"group {group}" if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else f"topic {topic}"
        return Denied(f"the brokers deny Describe on {what}", remedy="grant it: sluice topics acls --role monitoring")
    return no_broker(f"no broker answers: {error.str()}")
