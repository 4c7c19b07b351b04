"""One face for three brokers, so that one suite can ask all of them the same questions."""

import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Protocol

from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from sluice.core.deadline import Deadline
from sluice.core.errors import Fenced
from sluice.core.records import Headers, Message, Partition, Record
from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_admin,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
    reader_config,
)
from sluice.kafka.committer import KafkaCommitter
from sluice.kafka.reader import Reader
from sluice.kafka.source import KafkaSource
from sluice.settings import Kafka
from sluice.stream.ports import Committer, Source
from tests.support.expiries import expiry_of
from tests.support.fake_bus import FakeCluster, FakeSource, Fate

PARTITIONS = 3
PATIENCE_S = 120.0
Diary = list[tuple[str, str, Partition]]
OUT = "out"


class Bus(Protocol):
    """An input topic of three partitions, an output topic, and a group."""

    out: str
    checks_generations: bool

    def publish(self, count: int, headers: Headers = ()) -> None:
        """Append records with values b"0", b"1", ... and keys that spread over all partitions."""

    def publish_value(self, value: bytes | None) -> None:
        """Append one record with this value."""

    def member(self, *, patience_s: float = 60.0) -> Source:
        """Make a member that the group gives up when it does not poll for so long."""

    def producer(self, transactional_id: str) -> Committer:
        """Make a producer that is ready for its first transaction."""

    def crash(self, transactional_id: str, values: list[bytes]) -> None:
        """Let a producer write these values and die before its commit."""

    def give_up(self, member: Source) -> None:
        """Let the group give up a member that does not poll; it is one that `member(patience_s=...)` made."""

    def published(self) -> list[bytes]:
        """Return the values a `read_committed` reader finds in the output topic."""

    def committed(self) -> int:
        """Return the sum of the group's committed offsets."""

    def close(self) -> None:
        """Let all members leave."""


class FakeBus:
    """The broker in memory."""

    out = OUT
    checks_generations = True

    def __init__(self) -> None:
        self._cluster = FakeCluster(PARTITIONS, random.Random(1))
        self._names = (f"m{number}" for number in itertools.count())
        self._values = itertools.count()

    def publish(self, count: int, headers: Headers = ()) -> None:
        for number in itertools.islice(self._values, count):
            self._cluster.append(b"%d" % number, b"%d" % number, headers)

    def publish_value(self, value: bytes | None) -> None:
        self._cluster.append(b"k", value)

    def member(self, *, patience_s: float = 60.0) -> Source:
        del patience_s
        return self._cluster.join(next(self._names))

    def crash(self, transactional_id: str, values: list[bytes]) -> None:
        self._cluster.fate = lambda: Fate.CRASH_BEFORE
        with suppress(Fenced):
            self.producer(transactional_id).commit([Message(OUT, b"k", value) for value in values], {}, None)
        self._cluster.fate = lambda: Fate.COMMIT

    def give_up(self, member: Source) -> None:
        assert isinstance(member, FakeSource)
        self._cluster.evict(member.name)

    def producer(self, transactional_id: str) -> Committer:
        return self._cluster.producer(transactional_id)

    def published(self) -> list[bytes]:
        return [message.value for message in self._cluster.committed_messages(OUT)]

    def committed(self) -> int:
        return sum(self._cluster.committed_offset(partition) or 0 for partition in self._cluster.partitions)

    def close(self) -> None:
        """Nobody is really there."""


class KafkaBus:
    """A real broker and the real adapters; topics and group are this test's own."""

    def __init__(
        self, address: str, protocol: Literal["classic", "consumer"] = "classic", *, checks_generations: bool = True
    ) -> None:
        self.checks_generations = checks_generations
        name = uuid.uuid4().hex
        self._images, self.out = f"in-{name}", f"{OUT}-{name}"
        soon = {"heartbeat.interval.ms": 100} if protocol == "classic" else {}  # notice a rebalance at once
        self._kafka = Kafka(
            bootstrap_servers=address,
            group_id=f"group-{name}",
            group_protocol=protocol,
            connect_deadline_s=PATIENCE_S,
            consumer_options={**soon, "fetch.wait.max.ms": 50},
        )
        admin = open_admin(admin_config(self._kafka), _ignore)
        new = [NewTopic(topic, PARTITIONS, 1) for topic in (self._images, self.out)]
        for future in admin.create_topics(new, operation_timeout=PATIENCE_S).values():
            future.result()
        self._input = open_producer(plain_producer_config(self._kafka), _ignore)
        self._values = itertools.count()
        self._sources: list[KafkaSource] = []
        self.observed: list[tuple[str, float, dict[str, str]]] = []

    def publish(self, count: int, headers: Headers = ()) -> None:
        pairs: Any = [*headers]
        for number in itertools.islice(self._values, count):
            value = b"%d" % number
            self._input.produce(self._images, value, value, partition=number % PARTITIONS, headers=pairs)
        assert self._input.flush(PATIENCE_S) == 0

    def publish_value(self, value: bytes | None) -> None:
        self._input.produce(self._images, value, b"k")
        assert self._input.flush(PATIENCE_S) == 0

    def member(self, topic: str = "", *, patience_s: float = 60.0) -> KafkaSource:
        patience = {"session_timeout_s": min(patience_s, 10.0), "max_poll_interval_s": patience_s}
        kafka = self._kafka.model_copy(update=patience)
        connect = partial(open_consumer, consumer_config(kafka))
        source = KafkaSource(connect, topic or self._images, kafka, expiry=expiry_of(kafka), clock=time.monotonic)
        self._sources.append(source)
        return source

    def close(self) -> None:
        """Close what a test has not: a consumer left to the garbage collector may hang there, with all else."""
        for source in self._sources:
            source.close()

    def crash(self, transactional_id: str, values: list[bytes]) -> None:
        producer = open_producer(self._transactional(transactional_id), _ignore)
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.out, value, b"k")
        assert producer.flush(PATIENCE_S) == 0

    def give_up(self, member: Source) -> None:
        """Nothing to do: time does it."""

    def _transactional(self, transactional_id: str) -> dict[str, Any]:
        mine = {"transactional_id": f"{self._kafka.group_id}-{transactional_id}"}
        return producer_config(self._kafka.model_copy(update=mine))

    def producer(self, transactional_id: str) -> KafkaCommitter:
        committer = KafkaCommitter(
            partial(open_producer, self._transactional(transactional_id)),
            timeout_s=15.0,
            clock=time.monotonic,
            observe=lambda name, value, labels: self.observed.append((name, value, dict(labels))),
        )
        committer.open(PATIENCE_S)
        return committer

    def published(self) -> list[bytes]:
        reader = Reader(open_consumer(reader_config(self._kafka), _ignore), self.out)
        overdue = Deadline.after(PATIENCE_S, time.monotonic)
        values = [record.value or b"" for record in reader.records("earliest", follow=False, stopping=lambda: False)]
        assert not overdue.over
        reader.close()
        return values

    def committed(self) -> int:
        asking = open_consumer(consumer_config(self._kafka), _ignore)
        handles = [TopicPartition(self._images, index) for index in range(PARTITIONS)]
        offsets = [max(0, handle.offset) for handle in asking.committed(handles, timeout=PATIENCE_S)]
        asking.close()
        return sum(offsets)


class Member:
    """A member that polls when told to and writes down what happens to it."""

    def __init__(self, name: str, source: Source, diary: Diary) -> None:
        self.name = name
        self.source = source
        self.records: list[Record] = []
        self._diary = diary
        self.on_taken: Callable[[], None] = lambda: None
        source.subscribe(
            on_revoke=lambda partitions: self._take("revoked", partitions),
            on_lost=lambda partitions: self._take("lost", partitions),
        )

    def turn(self) -> None:
        """Poll once."""
        records = self.source.poll(10, 0.02)
        self.records += records
        self._note("received", {record.partition for record in records})

    def offsets(self) -> dict[Partition, int]:
        """Return what to commit for everything received."""
        return {record.partition: record.next_offset for record in self.records}

    def _take(self, how: str, partitions: frozenset[Partition]) -> None:
        self.on_taken()
        self._note(how, partitions)

    def _note(self, what: str, partitions: Iterable[Partition]) -> None:
        self._diary += [(what, self.name, partition) for partition in partitions]


def until(condition: Callable[[], bool], *members: Member) -> None:
    """Let the members poll in turns until the condition holds."""
    deadline = Deadline.after(PATIENCE_S, time.monotonic)
    while not condition():
        assert not deadline.over, "waited in vain"
        for member in members:
            member.turn()


def _ignore(_: object) -> None:
    pass
