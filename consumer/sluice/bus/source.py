"""The input topic as this member of the group sees it: the sole owner of the Consumer.

It keeps an assignment of its own, filled in the rebalance callbacks, because librdkafka's cannot be asked for while a
rebalance is under way. All callbacks run inside `poll` and `close`, on the one thread that owns the handle.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from time import time_ns
from typing import Literal, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from sluice.bus.client import DENIED, OnError, error_of
from sluice.bus.owner import Owner
from sluice.bus.reachable import Reachable
from sluice.core.domain import GroupMetadata, Headers, Partition, Record
from sluice.core.errors import Denied, Fatal
from sluice.core.spans import polled

OnPartitions = Callable[[frozenset[Partition]], None]
Protocol = Literal["classic", "consumer"]

_logger = logging.getLogger(__name__)


def _nothing(_: frozenset[Partition]) -> None:
    pass


class KafkaSource:
    """Satisfies `seams.Source`; `connect` makes the Consumer and tells it whom to report errors to."""

    def __init__(
        self,
        connect: Callable[[OnError], Consumer],
        topic: str,
        *,
        protocol: Protocol,
        connect_deadline_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._owner = Owner("consumer")
        self._reachable = Reachable(topic, connect_deadline_s, clock)
        self._consumer = connect(self._reachable.on_error)
        self._topic = topic
        self._incremental = protocol == "consumer"
        self._assigned: set[Partition] = set()
        self._taken: set[Partition] = set()  # revoked or lost during the present poll
        self._fresh: set[Partition] = set()  # assigned during the present poll
        self._paused = False
        self._on_revoke: OnPartitions = _nothing
        self._on_lost: OnPartitions = _nothing
        self._on_assign: OnPartitions = _nothing
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
        when we may not read it, Fatal when a rebalance fails.
        """
        self._owner.check()
        self._reachable.check(self._consumer)
        self._taken.clear()
        began_ns = time_ns()
        try:
            first = self._consumer.poll(timeout_s)
            # One call drains what is prefetched: releasing the interpreter lock once per record would cost far more.
            messages = [first, *self._consumer.consume(limit - 1, 0)] if first is not None and limit > 1 else [first]
        except KafkaException as exception:
            # Raised by a step of a rebalance, and whatever this poll had already taken from the log went with it.
            self._report(error_of(exception))
            raise Fatal(f"kafka: a rebalance failed: {error_of(exception).str()}") from None
        finally:
            self._start_fresh()
        # A message without bytes is falsy, since its length is its value's; it is a record like any other.
        records = [record_of(message) for message in messages if message is not None and not self._failed(message)]
        if records:
            self._reachable.seen()
            polled(self._topic, len(records), began_ns)
        # A partition may be taken after some of its records were drained and before this call ended.
        return [record for record in records if record.partition not in self._taken]

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
            self._consumer.resume(_handles(self._assigned))

    @property
    def assignment(self) -> Collection[Partition]:
        """The partitions that are ours now."""
        return frozenset(self._assigned)

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
        (consumer.incremental_assign if self._incremental else consumer.assign)(handles)
        partitions = frozenset(_partition(handle) for handle in handles)
        self._assigned |= partitions
        # Paused until this poll is over: what it drains is then of the old term alone. librdkafka may or may not carry
        # a pause over from an earlier assignment, so it is said for every partition.
        consumer.pause(handles)
        self._fresh |= partitions
        self._on_assign(partitions)

    def _revoke(self, consumer: Consumer, handles: list[TopicPartition]) -> None:
        self._give_up(consumer, handles, self._on_revoke)

    def _lose(self, consumer: Consumer, handles: list[TopicPartition]) -> None:
        self._give_up(consumer, handles, self._on_lost)

    def _give_up(self, consumer: Consumer, handles: list[TopicPartition], report: OnPartitions) -> None:
        partitions = frozenset(_partition(handle) for handle in handles)
        self._taken |= partitions
        report(partitions)
        self._assigned -= partitions
        for partition in partitions:
            self.reached.pop(partition, None)
        if self._incremental:
            consumer.incremental_unassign(handles)
        else:
            consumer.unassign()

    def _start_fresh(self) -> None:
        """Let the partitions assigned during the last poll flow, unless all are paused."""
        handles = _handles(self._fresh & self._assigned)
        self._fresh.clear()
        if handles and not self._paused:
            self._consumer.resume(handles)

    def _failed(self, message: KafkaMessage) -> bool:
        error = message.error()
        if not error:
            return False
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
            partition = Partition(message.topic() or "", message.partition() or 0)
            if partition not in self._taken:
                self.reached[partition] = message.offset() or 0
        else:
            self._report(error)
        return True

    def _report(self, error: KafkaError) -> None:
        """Sort out an error: what will not pass ends the process, the rest librdkafka tries again by itself."""
        if error.code() in DENIED:
            raise Denied(f"kafka: {error.str()}; grant Read on topic {self._topic} and the group: sluice topics acls")
        if error.fatal():
            raise Fatal(f"kafka: {error.str()}")
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._reachable.missing()
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
