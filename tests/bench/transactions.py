"""What a landing costs: by its size, by how many partitions it writes to, and by librdkafka's pause between tries.

A landing is one transaction of the product's committer: for each event a verdict and a quality event of real sizes,
with the offsets of a real member of the group. The measure of all is what needs no transaction: an idempotent producer
that is flushed, and a synchronous commit of offsets, after every 500 events.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from zlib import crc32

from confluent_kafka import TopicPartition

from sluice.core.records import Message, Offsets, Partition
from sluice.kafka.client import (
    Config,
    consumer_config,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
)
from sluice.kafka.committer import KafkaCommitter
from sluice.kafka.source import KafkaSource
from sluice.settings import Batching, Topics
from tests.bench.outputs import outputs
from tests.bench.rates import Rates, Work, in_turn
from tests.bench.rig import joined, stage
from tests.chaos.stage import Stage

SIZES = (1, 8, 32, 64, 128, 256, 512)
PLAIN_SIZE = 500
PLAIN = "no transaction, 500"
PARTITIONS = 6
MANY = 96
LARGEST = Batching().max_records * Batching().max_flights  # what production's settings land at once
TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Topics, a member of the group that reads them, and what is to be published; made by `desk`."""

    ground: Stage
    source: KafkaSource
    events: Sequence[tuple[Message, ...]]

    def landing(self, size: int, *, events: Sequence[tuple[Message, ...]] = (), changes: Config | None = None) -> Work:
        """Return the product's way to publish so many events and their offsets: one transaction."""
        messages = [message for event in (events or self.events)[:size] for message in event]
        kafka = self.ground.kafka.model_copy(update={"transactional_id": f"{self.ground.name}-{time.monotonic_ns()}"})
        connect = partial(open_producer, producer_config(kafka) | (changes or {}))
        committer = KafkaCommitter(connect, timeout_s=TIMEOUT_S, clock=time.monotonic, observe=lambda *_: None)

        def work() -> int:
            self.source.poll(1, 0)
            committer.commit(messages, self.offsets(size), self.source.group_metadata())
            return size

        return work

    def plain(self) -> Work:
        """Return the way without transactions."""
        messages = [message for event in self.events[:PLAIN_SIZE] for message in event]
        producer = open_producer(plain_producer_config(self.ground.kafka), lambda _: None)
        committing = open_consumer(
            consumer_config(self.ground.kafka.model_copy(update={"group_id": f"plain-{self.ground.name}"})),
            lambda _: None,
        )
        positions = [TopicPartition(place.topic, place.index, at) for place, at in self.offsets(PLAIN_SIZE).items()]

        def work() -> int:
            for message in messages:
                producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
            if producer.flush(TIMEOUT_S):
                raise AssertionError("not delivered")
            committing.commit(offsets=positions, asynchronous=False)
            return PLAIN_SIZE

        return work

    def offsets(self, size: int) -> Offsets:
        """Return what a landing of so many events commits."""
        return {Partition(self.ground.topics.images, index): size for index in range(min(size, PARTITIONS))}


@contextmanager
def desk(address: str, folder: Path, *, partitions: int = PARTITIONS) -> Iterator[Desk]:
    """Set up topics and join their group."""
    ground = stage(address, folder, partitions=partitions)
    names = ground.topics
    topics = Topics(images=names.images, verdicts=names.verdicts, quality=names.quality)
    with joined(consumer_config(ground.kafka), names.images) as source:
        while not source.assignment:
            source.poll(1, 0.1)
        yield Desk(ground, source, list(outputs(max(SIZES), topics)))


def by_size(address: str, folder: Path) -> Rates:
    """Land 1 to 512 events at once; the last way pauses between tries as librdkafka does by itself."""
    with desk(address, folder) as at:
        ways = {str(size): at.landing(size) for size in SIZES}
        ways |= {"64, retry.backoff.ms 100": at.landing(64, changes={"retry.backoff.ms": 100}), PLAIN: at.plain()}
        return in_turn("events in a landing", ways, base=PLAIN)


def by_partitions(address: str, folder: Path) -> Rates:
    """Land the most events whose keys are of few partitions or of many: a commit writes a marker to each."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(desk(address, folder, partitions=each)) for each in (PARTITIONS, MANY))
        ways = {
            f"over {PARTITIONS} of {PARTITIONS}": few.landing(LARGEST),
            f"over {MANY} of {MANY}": many.landing(LARGEST),
            f"over {PARTITIONS} of {MANY}": many.landing(LARGEST, events=keyed(many.events, range(PARTITIONS), MANY)),
        }
        return in_turn(f"partitions a landing of {LARGEST} writes to", ways, base=f"over {PARTITIONS} of {PARTITIONS}")


def keyed(events: Sequence[tuple[Message, ...]], wanted: Sequence[int], partitions: int) -> list[tuple[Message, ...]]:
    """Give the events keys that librdkafka, which takes their CRC-32, sends to the partitions wanted."""
    keys = (b"%032x" % number for number in count())
    fitting = (key for key in keys if crc32(key) % partitions in wanted)
    return [tuple(replace(message, key=key) for message in event) for event, key in zip(events, fitting, strict=False)]
