"""Lag as real brokers let it be known: committed before we came, read to the end, past a transaction's marker."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from sluice.core.records import Partition
from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_admin,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
)
from sluice.kafka.end_offsets import EndOffsets
from sluice.kafka.group_offsets import AskCommits, Commits
from sluice.kafka.source import KafkaSource
from sluice.settings import Kafka
from sluice.stream.ports import PartitionEnd
from tests.support.brokers import EMBEDDED, KAFKA
from tests.support.expiries import expiry_of

PATIENCE_S = 60.0


@pytest.fixture(params=[pytest.param("embedded", marks=EMBEDDED), pytest.param("kafka", marks=KAFKA)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    address = request.getfixturevalue(f"{request.param}_address")
    return Kafka(bootstrap_servers=address, group_id=f"lag-{uuid.uuid4().hex[:8]}", transactional_id=uuid.uuid4().hex)


@pytest.fixture
def commits(kafka: Kafka) -> Iterator[AskCommits]:
    with closing(Commits(kafka)) as commits:
        yield commits.ask


@pytest.fixture
def place(kafka: Kafka) -> Partition:
    """Return the one partition of a new topic."""
    place = Partition(f"images-{uuid.uuid4().hex[:8]}", 0)
    admin = open_admin(admin_config(kafka), lambda _: None)
    for made in admin.create_topics([NewTopic(place.topic, 1, 1)]).values():
        made.result(PATIENCE_S)
    return place


@pytest.fixture
def source(kafka: Kafka, place: Partition) -> Iterator[KafkaSource]:
    connect = partial(open_consumer, consumer_config(kafka))
    made = KafkaSource(connect, place.topic, kafka, expiry=expiry_of(kafka), clock=time.monotonic)
    with closing(made):
        made.subscribe(on_revoke=lambda _: None, on_lost=lambda _: None)
        yield made


def known(
    ends: EndOffsets, place: Partition, source: KafkaSource | None = None, *, settled: int | None = None
) -> PartitionEnd:
    """Ask, and read, until so much is settled."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if source:
            source.poll(10, 0.02)
        found = ends([place]).get(place)
        if found and found.settled == settled:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_what_was_committed_before_is_settled_and_what_came_since_is_not(
    kafka: Kafka, place: Partition, commits: AskCommits
) -> None:
    producer = open_producer(plain_producer_config(kafka), lambda _: None)
    for _ in range(5):
        producer.produce(place.topic, b"v")
    assert producer.flush(PATIENCE_S) == 0
    ends = EndOffsets.of(kafka, commits, {}, every_s=0.1, clock=time.monotonic)
    assert known(ends, place) == PartitionEnd(5, None)
    with closing(open_consumer(consumer_config(kafka), lambda _: None)) as consumer:
        consumer.commit(offsets=[TopicPartition(place.topic, place.index, 3)], asynchronous=False)
    assert known(ends, place, settled=3) == PartitionEnd(5, 3)


def test_the_marker_of_a_transaction_is_settled_once_reading_has_passed_it(
    kafka: Kafka, place: Partition, source: KafkaSource, commits: AskCommits
) -> None:
    producer = open_producer(producer_config(kafka), lambda _: None)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(place.topic, b"v")
    producer.commit_transaction(PATIENCE_S)
    ends = EndOffsets.of(kafka, commits, source.reached, every_s=0.1, clock=time.monotonic)
    assert known(ends, place, source, settled=6) == PartitionEnd(6, 6)
