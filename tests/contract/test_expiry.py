"""Images deleted before they were read, partitions added, and groups that refuse us: as real brokers show it."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from sluice.core.errors import BadSettings, Denied, ImagesExpired
from sluice.core.records import Record
from sluice.kafka import broker_limits, cluster_checks
from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_admin,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
)
from sluice.kafka.group_lag import GroupLag, backlog
from sluice.kafka.group_offsets import Commits
from sluice.kafka.preflight import check
from sluice.kafka.source import KafkaSource
from sluice.settings import Kafka, Topics
from tests.support.brokers import EMBEDDED, KAFKA
from tests.support.expiries import expiry_of

PATIENCE_S = 60.0
SOON_S = 20.0


class World:
    """A topic of one partition, and a group of this test's own."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.topic = f"images-{uuid.uuid4().hex[:8]}"
        self.admin: AdminClient = open_admin(admin_config(kafka), lambda _: None)
        self.expired: list[float] = []
        for made in self.admin.create_topics([NewTopic(self.topic, 1, 1)]).values():
            made.result(PATIENCE_S)

    def publish(self, count: int, partition: int = 0) -> None:
        producer = open_producer(plain_producer_config(self.kafka), lambda _: None)
        for _ in range(count):
            producer.produce(self.topic, b"v", partition=partition)
        assert producer.flush(PATIENCE_S) == 0

    def commit(self, offset: int) -> None:
        with closing(open_consumer(consumer_config(self.kafka), lambda _: None)) as consumer:
            consumer.commit(offsets=[TopicPartition(self.topic, 0, offset)], asynchronous=False)

    def delete(self, before: int) -> None:
        for done in self.admin.delete_records([TopicPartition(self.topic, 0, before)]).values():
            done.result(PATIENCE_S)

    def backlog(self) -> GroupLag:
        with closing(Commits(self.kafka)) as commits:
            return backlog(self.admin, commits.ask, self.kafka.group_id, self.topic)

    @contextmanager
    def source(self, then: Literal["tell", "stop"] = "tell") -> Iterator[KafkaSource]:
        expiry = expiry_of(self.kafka, lambda _, count, __: self.expired.extend([count] if count else []), then)
        connect = partial(open_consumer, consumer_config(self.kafka))
        with closing(KafkaSource(connect, self.topic, self.kafka, expiry=expiry, clock=time.monotonic)) as source:
            source.subscribe(on_revoke=lambda _: None, on_lost=lambda _: None)
            yield source


def read(source: KafkaSource, until: Callable[[list[Record]], bool], patience_s: float = PATIENCE_S) -> list[Record]:
    """Poll until something is so."""
    records: list[Record] = []
    deadline = time.monotonic() + patience_s
    while not until(records):
        assert time.monotonic() < deadline, [(record.partition.index, record.offset) for record in records]
        records += source.poll(1000, 0.05)
    return records


def settings(address: str, **more: Any) -> Kafka:
    name = uuid.uuid4().hex[:8]
    return Kafka(bootstrap_servers=address, group_id=f"expiry-{name}", transactional_id=f"expiry-{name}", **more)


@pytest.fixture
def world(kafka_address: str) -> World:
    return World(settings(kafka_address))


@pytest.fixture(params=[pytest.param("embedded", marks=EMBEDDED), pytest.param("kafka", marks=KAFKA)])
def either(request: pytest.FixtureRequest) -> World:
    return World(settings(request.getfixturevalue(f"{request.param}_address")))


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_was_deleted_while_the_group_was_away_is_told(kafka_address: str, protocol: str) -> None:
    world = World(settings(kafka_address, group_protocol=protocol))
    world.publish(40)
    world.commit(10)
    world.delete(30)
    with world.source() as source:
        records = read(source, lambda records: len(records) == 10)
    assert [record.offset for record in records] == list(range(30, 40))
    assert world.expired == [20]


@pytest.mark.kafka
def test_a_group_that_wants_to_decide_reads_nothing_behind_what_was_deleted(world: World) -> None:
    world.publish(40)
    world.commit(10)
    world.delete(30)
    with world.source("stop") as source, pytest.raises(ImagesExpired, match="10 to 29"):
        read(source, bool)


@pytest.mark.kafka
def test_what_is_deleted_before_we_come_to_it_is_told(world: World) -> None:
    world.publish(1)
    with world.source() as source:
        read(source, lambda records: len(records) == 1)
        source.pause()
        world.publish(40)
        world.delete(31)
        source.resume()
        records = read(source, lambda records: any(record.offset == 40 for record in records))
        missing = set(range(1, 41)) - {record.offset for record in records}
        read(source, lambda _: sum(world.expired) == len(missing))


@pytest.mark.kafka
def test_a_partition_of_which_all_was_deleted_is_told(world: World) -> None:
    world.publish(30)
    world.commit(10)
    world.delete(30)
    with world.source() as source:
        read(source, lambda _: bool(source.reached))
    assert world.expired == [20]


def test_a_group_without_a_commit_begins_at_what_is_there(either: World) -> None:
    either.publish(5)
    with either.source() as source:
        assert len(read(source, lambda records: len(records) == 5)) == 5
    assert either.expired == []


@pytest.mark.kafka
def test_the_markers_of_transactions_are_no_loss(world: World) -> None:
    producer = open_producer(producer_config(world.kafka), lambda _: None)
    producer.init_transactions(PATIENCE_S)
    for _ in range(5):
        producer.begin_transaction()
        producer.produce(world.topic, b"v")
        producer.commit_transaction(PATIENCE_S)
    with world.source() as source:
        read(source, lambda _: set(source.reached.values()) == {10})
        turns = iter(range(40))
        read(source, lambda _: next(turns, None) is None)
    assert world.expired == []


@pytest.mark.kafka
def test_partitions_that_are_added_are_read_within_seconds(kafka_address: str) -> None:
    world = World(settings(kafka_address, metadata_refresh_s=1.0))
    world.publish(1)
    with world.source() as source:
        read(source, lambda records: len(records) == 1)
        for done in world.admin.create_partitions([NewPartitions(world.topic, 3)]).values():
            done.result(PATIENCE_S)
        for index in (1, 1, 2, 2):
            world.publish(1, index)
        read(source, lambda records: sum(record.partition.index > 0 for record in records) == 4, SOON_S)


@pytest.mark.kafka
def test_a_group_of_another_assignor_is_left_after_the_deadline_and_the_doctor_knows(kafka_address: str) -> None:
    world = World(settings(kafka_address, connect_deadline_s=2.0))
    other = Consumer({
        "bootstrap.servers": kafka_address,
        "group.id": world.kafka.group_id,
        "partition.assignment.strategy": "cooperative-sticky",
        "client.id": "other",
    })  # fmt: skip
    with closing(other):
        other.subscribe([world.topic])
        while not other.assignment():
            other.poll(0.05)
        found = cluster_checks.group(world.admin, world.kafka.group_id)
        assert found == cluster_checks.Group(("other@127.0.0.1",), "classic", "cooperative-sticky")
        with world.source() as source, pytest.raises(Denied, match=r"kafka\.group_id"):
            read(source, lambda _: not source.trouble)


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_without_partitions_is_let_in(kafka_address: str, protocol: str) -> None:
    world = World(settings(kafka_address, group_protocol=protocol))
    with world.source() as first:
        read(first, lambda _: not first.trouble)
        with world.source() as second:

            def both(_: list[Record]) -> bool:
                first.poll(1, 0.0)
                return not (first.trouble or second.trouble)

            read(second, both)
            assert len(first.assignment) + len(second.assignment) <= 1


@pytest.mark.kafka
def test_a_session_that_the_brokers_do_not_allow_is_named(kafka_address: str) -> None:
    world = World(settings(kafka_address, session_timeout_s=3600.0, max_poll_interval_s=3600.0))
    with world.source() as source, pytest.raises(BadSettings, match=r"kafka\.session_timeout_s"):
        read(source, lambda _: not source.trouble)


@pytest.mark.kafka
def test_the_brokers_tell_how_long_a_transaction_may_take(world: World) -> None:
    allowed = broker_limits.limits(world.admin, PATIENCE_S)
    assert allowed["transaction.max.timeout.ms"] == 900_000
    assert list(broker_limits.beyond(world.kafka, allowed)) == []
    asked = world.kafka.model_copy(update={"transaction_timeout_s": 1200.0})
    with pytest.raises(BadSettings, match=r"kafka\.transaction_timeout_s is 1200, the brokers allow at most 900"):
        check(asked, Topics(images=world.topic), time.monotonic)


@pytest.mark.kafka
def test_images_behind_an_open_transaction_wait(world: World) -> None:
    producer = open_producer(producer_config(world.kafka), lambda _: None)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"v")
    assert producer.flush(PATIENCE_S) == 0
    world.publish(20)
    seen = world.backlog()
    assert [(each.lag, each.undecided) for each in seen.partitions] == [(21, 21)]
    producer.commit_transaction(PATIENCE_S)
    seen = world.backlog()
    assert [(each.lag, each.undecided) for each in seen.partitions] == [(22, 0)]
