"""How far a group is behind, told from outside, on the embedded broker and on Apache Kafka."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, BrokerLost
from sluice.kafka.client import admin_config, consumer_config, open_admin, open_consumer
from sluice.kafka.group_lag import GroupLag, PartitionLag, backlog, with_ages
from sluice.kafka.group_offsets import Commits
from sluice.settings import Kafka
from tests.support.brokers import EMBEDDED, KAFKA

PATIENCE_S = 60.0
FIRST_MS = (time.time_ns() // 1_000_000_000 - 3600) * 1000  # older ones may be deleted at once


@pytest.fixture(params=[pytest.param("embedded", marks=EMBEDDED), pytest.param("kafka", marks=KAFKA)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    return Kafka(bootstrap_servers=request.getfixturevalue(f"{request.param}_address"), group_id=uuid.uuid4().hex)


@pytest.fixture
def admin(kafka: Kafka) -> AdminClient:
    return open_admin(admin_config(kafka), lambda _: None)


@pytest.fixture
def topic(kafka: Kafka, admin: AdminClient) -> str:
    """Return the name of a topic that is this test's own."""
    return made(kafka, admin)


def made(kafka: Kafka, admin: AdminClient) -> str:
    """Make a topic with records 0, 2, 4 in partition 0 and 1, 3 in partition 1, a second apart, none in partition 2."""
    name = f"images-{uuid.uuid4().hex}"
    for future in admin.create_topics([NewTopic(name, 3, 1)]).values():
        future.result()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(5):
        producer.produce(name, b"%d" % number, partition=number % 2, timestamp=FIRST_MS + 1000 * number)
    assert producer.flush(PATIENCE_S) == 0
    return name


def seen_by(admin: AdminClient, kafka: Kafka, topic: str) -> GroupLag:
    """Look at offsets and owners only."""
    with closing(Commits(kafka, stable=False)) as commits:
        return backlog(admin, commits.ask, kafka.group_id, topic)


def look(kafka: Kafka, admin: AdminClient, topic: str) -> GroupLag:
    """Look as `sluice lag` does."""
    deadline = Deadline.after(PATIENCE_S, time.monotonic)
    seen = with_ages(
        seen_by(admin, kafka, topic), kafka, lambda config: open_consumer(config, lambda _: None), deadline
    )
    assert not deadline.over
    return seen


@contextmanager
def member(kafka: Kafka, topic: str) -> Iterator[Consumer]:
    """Join the group and own all partitions."""
    consumer = Consumer(consumer_config(kafka) | {"client.id": "replica-1"})
    consumer.subscribe([topic])
    deadline = Deadline.after(PATIENCE_S, time.monotonic)
    while not consumer.assignment() and not deadline.over:
        consumer.poll(0.05)
    try:
        yield consumer
    finally:
        consumer.close()


def test_all_waits_for_a_group_that_nobody_knows(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    seen = look(kafka, admin, topic)
    assert seen.partitions == (
        PartitionLag(0, None, 0, 3, oldest_ms=FIRST_MS),
        PartitionLag(1, None, 0, 2, oldest_ms=FIRST_MS + 1000),
        PartitionLag(2, None, 0, 0),
    )
    assert (seen.lag, seen.oldest_ms, seen.known) == (5, FIRST_MS, False)


def test_what_is_committed_waits_no_longer_and_members_own_partitions(
    kafka: Kafka, admin: AdminClient, topic: str
) -> None:
    with member(kafka, topic) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 1), TopicPartition(topic, 1, 2)], asynchronous=False)
        seen = look(kafka, admin, topic)
    owner = "replica-1@127.0.0.1"
    assert seen.partitions == (
        PartitionLag(0, 1, 0, 3, owner, oldest_ms=FIRST_MS + 2000),
        PartitionLag(1, 2, 0, 2, owner),
        PartitionLag(2, None, 0, 0, owner),
    )
    assert (seen.state, seen.lag, seen.known) == ("STABLE", 2, True)


@pytest.mark.kafka
def test_members_of_a_group_that_the_brokers_assign_own_partitions_too(kafka_address: str) -> None:
    kafka = Kafka(bootstrap_servers=kafka_address, group_id=uuid.uuid4().hex, group_protocol="consumer")
    admin = open_admin(admin_config(kafka), lambda _: None)
    topic = made(kafka, admin)
    with member(kafka, topic):
        seen = seen_by(admin, kafka, topic)
    assert [standing.owner for standing in seen.partitions] == ["replica-1@127.0.0.1"] * 3


def test_looking_joins_no_group_and_commits_nothing(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    with member(kafka, topic) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    before = look(kafka, admin, topic)
    assert (before.state, before.known) == ("EMPTY", True)
    assert look(kafka, admin, topic) == before
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    assert [name for name in groups if name.startswith(kafka.group_id)] == [kafka.group_id]


def test_who_reads_nothing_sees_all_but_the_ages(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    seen = seen_by(admin, kafka, topic)
    assert (seen.lag, seen.oldest_ms) == (5, None)


def test_the_marker_of_a_transaction_is_not_waited_for(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, b"5", partition=2)
    producer.commit_transaction(PATIENCE_S)
    with member(kafka, topic) as consumer:
        consumer.commit(
            offsets=[TopicPartition(topic, index, end) for index, end in ((0, 3), (1, 2), (2, 1))], asynchronous=False
        )
    seen = look(kafka, admin, topic)
    assert (seen.lag, seen.oldest_ms) == (0, None)


def test_a_topic_that_is_not_there_names_the_command_that_makes_it(kafka: Kafka, admin: AdminClient) -> None:
    with pytest.raises(BadSettings, match=r"topic nowhere does not exist.*sluice topics create"):
        seen_by(admin, kafka, "nowhere")


def test_without_a_broker_nothing_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.kafka.group_lag.TIMEOUT_S", 0.3)
    kafka = Kafka(bootstrap_servers="127.0.0.1:1", group_id="g")
    admin = open_admin(admin_config(kafka), lambda _: None)
    with pytest.raises(BrokerLost, match=r"kafka\.bootstrap_servers"):
        seen_by(admin, kafka, "images")


@pytest.mark.parametrize(
    ("committed", "start", "lag", "expired"),
    [(None, 4, 6, 0), (7, 4, 3, 0), (2, 4, 6, 2), (12, 4, 6, 0), (10, 4, 0, 0)],
)
def test_out_of_range_reading_starts_anew_and_what_was_deleted_is_told(
    committed: int | None, start: int, lag: int, expired: int
) -> None:
    standing = PartitionLag(0, committed, start, 10)
    assert (standing.lag, standing.expired) == (lag, expired)
