"""The input topic as this member of the group sees it: the sole owner of the Consumer.

It keeps an assignment of its own, filled in the rebalance callbacks, because librdkafka's cannot be asked for while a
rebalance is under way. All callbacks run inside `poll` and `close`, on the one thread that owns the handle.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from time import time_ns
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from sluice.core.errors import Denied, Fatal
from sluice.core.records import GroupMetadata, Headers, Partition, Record
from sluice.kafka.client import OnError
from sluice.kafka.connectivity import Connectivity
from sluice.kafka.errors import Meaning, error_of, is_end, means
from sluice.kafka.expiry import Expiry
from sluice.kafka.membership import Membership
from sluice.kafka.thread_owner import ThreadOwner
from sluice.settings import Kafka
from sluice.stream.tracing import poll_span

OnPartitions = Callable[[frozenset[Partition]], None]

_logger = logging.getLogger(__name__)


def _nothing(_: frozenset[Partition]) -> None:
    pass


class KafkaSource:
    """Satisfies `ports.Source`; `connect` makes the Consumer and tells it whom to report errors to."""

    def __init__(
        self,
        connect: Callable[[OnError], Consumer],
        topic: str,
        kafka: Kafka,
        *,
        expiry: Expiry,
        clock: Callable[[], float],
    ) -> None:
        self._owner = ThreadOwner("consumer")
        self._reachable = Connectivity(topic, kafka.connect_deadline_s, clock)
        self._membership = Membership(kafka, clock)
        self._expiry = expiry
        self._consumer = connect(self._reachable.on_error)
        self._topic = topic
        self._incremental = kafka.group_protocol == "consumer"
        self._assigned: set[Partition] = set()
        self._taken: set[Partition] = set()  # revoked or lost during the present poll
        self._paused = False
        self._on_revoke: OnPartitions = _nothing
        self._on_lost: OnPartitions = _nothing
        self._on_assign: OnPartitions = _nothing
        self._leaked: set[Partition] = set()
        """Of these something came although they were held."""
        self.reached: dict[Partition, int] = {}
        """Where reading last found nothing further, by partition of ours: the offset at which it goes on."""

    def subscribe(self, *, on_revoke: OnPartitions, on_lost: OnPartitions, on_assign: OnPartitions = _nothing) -> None:
        """Join the group."""
        self._owner.check()
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._on_lost = on_lost
        self._consumer.subscribe([self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records, waiting at most `timeout_s` for the first; also serves rebalances.

        Raises BrokerLost when no broker answered within the deadline, BadSettings when the topic is not there, Denied
        when we may not read it or the group refuses us for too long, ImagesExpired if asked for, Fatal when a rebalance
        fails.
        """
        self._owner.check()
        self._reachable.check(self._consumer)
        self._membership.check(self._consumer)
        self._taken.clear()
        began_ns = time_ns()
        try:
            first = self._consumer.poll(timeout_s)
            # One call drains what is prefetched: releasing the interpreter lock once per record would cost far more.
            messages = [first, *self._consumer.consume(limit - 1, 0)] if first is not None and limit > 1 else [first]
        except KafkaException as exception:
            # Raised by a step of a rebalance, and whatever this poll had already taken from the log went with it.
            _sort_out(error_of(exception), self._topic, self._reachable, self._membership)
            raise Fatal(f"kafka: a rebalance failed: {error_of(exception).str()}") from None
        # A message without bytes is falsy, since its length is its value's; it is a record like any other.
        records = [record_of(message) for message in messages if message is not None and not self._failed(message)]
        if records:
            self._reachable.seen()
            poll_span(self._topic, len(records), began_ns)
        # A partition may be taken after some of its records were drained and before this call ended.
        ours = self._allowed([record for record in records if record.partition not in self._taken])
        self._expiry.passed(ours)
        self._release()
        return ours

    def pause(self) -> None:
        """Stop fetching from every assigned partition, those assigned later included; polling goes on."""
        self._owner.check()
        if not self._paused:
            self._paused = True
            self._consumer.pause(_handles(self._assigned))

    def resume(self) -> None:
        """Fetch again."""
        self._owner.check()
        if self._paused:
            self._paused = False
            self._consumer.resume(_handles(self._assigned - set(self._expiry.held)))

    @property
    def assignment(self) -> Collection[Partition]:
        """The partitions that are ours now."""
        return frozenset(self._assigned)

    @property
    def trouble(self) -> str:
        """Why the group has not let us in, or nothing can be read of all that is ours; empty while all is well."""
        return self._membership.trouble or (self._expiry.trouble if self._assigned <= set(self._expiry.held) else "")

    def group_metadata(self) -> GroupMetadata:
        """Fresh group metadata; every transaction needs its own (KIP-447)."""
        self._owner.check()
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group; `on_revoke` runs for what is still ours."""
        self._owner.check()
        self._consumer.close()

    def _assign(self, consumer: Consumer, handles: list[TopicPartition]) -> None:
        self._reachable.seen()
        self._membership.joined()
        (consumer.incremental_assign if self._incremental else consumer.assign)(handles)
        partitions = frozenset(_partition(handle) for handle in handles)
        self._assigned |= partitions
        # Paused until this poll is over, for what it drains is then of the old term alone, and until it is known what
        # was deleted. librdkafka may or may not carry a pause over, so it is said for every partition.
        consumer.pause(handles)
        self._expiry.take(partitions)
        self._on_assign(partitions)

    def _revoke(self, consumer: Consumer, handles: list[TopicPartition]) -> None:
        self._give_up(consumer, handles, lost=False)

    def _lose(self, consumer: Consumer, handles: list[TopicPartition]) -> None:
        self._give_up(consumer, handles, lost=True)

    def _give_up(self, consumer: Consumer, handles: list[TopicPartition], *, lost: bool) -> None:
        partitions = frozenset(_partition(handle) for handle in handles)
        self._taken |= partitions
        self._membership.left(lost=lost)
        (self._on_lost if lost else self._on_revoke)(partitions)
        self._assigned -= partitions
        self._expiry.drop(partitions)
        self._leaked -= partitions
        for partition in partitions:
            self.reached.pop(partition, None)
        if self._incremental:
            consumer.incremental_unassign(handles)
        else:
            consumer.unassign()

    def _allowed(self, records: list[Record]) -> list[Record]:
        """Return the records that no pause holds back. librdkafka rarely lets one through: it is read again later."""
        held = set(self._expiry.held)
        leaked: dict[Partition, int] = {}
        for record in records:
            if self._paused or record.partition in held:
                leaked.setdefault(record.partition, record.offset)
        if leaked:
            self._leaked |= held & leaked.keys()  # where these go on is known when they are let go
            self._seek({partition: offset for partition, offset in leaked.items() if partition not in held})
            self._consumer.pause(_handles(leaked))
        return [record for record in records if record.partition not in leaked]

    def _seek(self, places: Mapping[Partition, int]) -> None:
        try:
            for partition, offset in places.items():
                self._consumer.seek(TopicPartition(partition.topic, partition.index, offset))
        except KafkaException as exception:
            raise Fatal(f"kafka: what a pause let through cannot be read again: {error_of(exception).str()}") from None

    def _release(self) -> None:
        """Let the partitions flow of which it is known by now what was deleted, unless all are paused."""
        released = self._expiry.turn()
        self._seek({partition: self._expiry.next(partition) for partition in self._leaked & set(released)})
        self._leaked -= set(released)
        if released and not self._paused:
            self._consumer.resume(_handles(released))

    def _failed(self, message: KafkaMessage) -> bool:
        error = message.error()
        if not error:
            return False
        if is_end(error):
            partition = Partition(message.topic() or "", message.partition() or 0)
            if partition not in self._taken:
                self.reached[partition] = message.offset() or 0
                self._expiry.read(partition, self.reached[partition], records=0)
        else:
            _sort_out(error, self._topic, self._reachable, self._membership)
        return True


def _sort_out(error: KafkaError, topic: str, reachable: Connectivity, membership: Membership) -> None:
    """Raise what ends the process, for it will not pass; librdkafka tries the rest again by itself."""
    if means(error, Meaning.DENIED):
        raise Denied(f"kafka: {error.str()}", remedy=f"grant Read on topic {topic} and the group: sluice topics acls")
    membership.refused(error)
    if error.fatal():
        raise Fatal(f"kafka: {error.str()}")
    if means(error, Meaning.NO_TOPIC):
        reachable.missing()
    _logger.warning("kafka: %s; trying again", error.str())


def record_of(message: KafkaMessage) -> Record:
    """Return a received message as a value."""
    _, timestamp_ms = message.timestamp()
    return Record(
        Partition(message.topic() or "", message.partition() or 0),
        message.offset() or 0,
        timestamp_ms,
        message.key(),
        message.value(),
        _headers(message),
    )


def _headers(message: KafkaMessage) -> Headers:
    """Return the headers, none of them when one has a name that is not UTF-8: they are advice, the record is not."""
    try:
        return tuple(cast("list[tuple[str, bytes | None]]", message.headers() or []))
    except (UnicodeDecodeError, SystemError):  # the C extension raises the one, or the other caused by it
        return ()


def _partition(handle: TopicPartition) -> Partition:
    return Partition(handle.topic, handle.partition)


def _handles(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.index) for partition in partitions]
