"""What the loop's own thread runs: its turns, and Kafka's clients on librdkafka's cluster in memory."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from sluice.core.metrics import Observe, ObserveAll
from sluice.core.records import GroupMetadata, Message, Offsets, Record
from sluice.kafka.client import consumer_config, open_producer, plain_producer_config, producer_config
from sluice.kafka.committer import KafkaCommitter
from sluice.moderation.values import Judged, Judgement
from sluice.services.moderator.judging import CLOCKS
from sluice.settings import Kafka
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.loop import Loop, Pace
from sluice.stream.outcome import Outcome, next_offsets
from tests.bench.overhead_stages import BATCH, PLACE, TOPICS, Way, counting
from tests.bench.rig import joined
from tests.support.books import books
from tests.support.mock_cluster import MockCluster

PATIENCE_S = 30.0


class Idle:
    """A source of the same records again and again, and a committer of nothing."""

    assignment = frozenset({PLACE})

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.published = 0

    def subscribe(self, **_: object) -> None:
        """Do nothing."""

    pause = resume = close = subscribe

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return them all at once."""
        del limit, timeout_s
        return self.records

    def group_metadata(self) -> GroupMetadata:
        """Return none."""

    def serve(self) -> None:
        """Nothing is reported here."""

    def commit(self, messages: Sequence[Message], offsets: Offsets, group: GroupMetadata) -> None:
        """Count the messages."""
        del offsets, group
        self.published += len(messages)


def turning(outcomes: Sequence[Judgement], observe: Observe, observe_all: ObserveAll | None = None) -> Way:
    """Return what turns of the loop cost that launch and land as much as may fly, source and committer aside."""
    idle = Idle([outcome.record for outcome in outcomes])
    landed: Future[Sequence[Outcome]] = Future()
    landed.set_result(outcomes)
    loop = Loop(
        idle,
        idle,
        lambda _: landed,
        Batcher(max_records=BATCH, max_bytes=1 << 24),
        Fuse(0.05, 1000, 50),
        Pace(4, 20.0, 2.0),
        clock=CLOCKS.monotonic,
        sleep=time.sleep,
        metrics=books(observe=observe, observe_all=observe_all, clock=CLOCKS.monotonic, now_s=time.time),
    )
    each = len(outcomes[0].messages)

    def turn() -> int:
        before = idle.published
        loop.turn()
        return (idle.published - before) // each

    return turn


def fill(kafka: Kafka, topic: str, records: Iterable[Record], *, partitions: int = 1) -> None:
    """Publish records with their headers, spread evenly over the partitions."""
    producer = open_producer(plain_producer_config(kafka), lambda _: None)
    for number, record in enumerate(records):
        headers: Any = list(record.headers)
        producer.produce(topic, record.value, record.key, partition=number % partitions, headers=headers)
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0


@contextmanager
def on_kafka(records: Sequence[Record], outcomes: Sequence[Judged], observe: Observe) -> Iterator[dict[str, Way]]:
    """Yield the stages that the loop's thread runs on Kafka's clients. A landing has the messages of `outcomes`."""
    with MockCluster() as cluster, ExitStack() as stack:
        for topic in (TOPICS.images, TOPICS.verdicts, TOPICS.quality):
            cluster.create_topic(topic)
        kafka = Kafka(bootstrap_servers=cluster.address)
        fill(kafka, TOPICS.images, records)
        source = stack.enter_context(joined(consumer_config(kafka), TOPICS.images))
        connect = partial(open_producer, producer_config(kafka))
        committer = KafkaCommitter(connect, timeout_s=PATIENCE_S, clock=CLOCKS.monotonic, observe=observe)
        stack.callback(committer.close)
        committer.open(PATIENCE_S)
        source.poll(BATCH, PATIENCE_S)  # joins the group
        messages = [message for outcome in outcomes for message in outcome.messages]
        offsets = next_offsets(outcomes)

        def publish(said: Sequence[Message]) -> Callable[[], None]:
            return lambda: committer.commit(said, offsets, source.group_metadata())

        yield {
            "poll": lambda: len(source.poll(BATCH, PATIENCE_S)),
            "commit": counting(publish(()), len(outcomes)),
            "landing": counting(publish(messages), len(outcomes)),
        }
