"""Topics are made as the settings want them, told apart from those that are not, read to their end and written to."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, BrokerLost, Fatal
from sluice.core.records import Record
from sluice.kafka import topics
from sluice.kafka.client import (
    admin_config,
    open_admin,
    open_consumer,
    open_producer,
    plain_producer_config,
    reader_config,
)
from sluice.kafka.reader import Reader, Start, requeue
from sluice.settings import Kafka, Media, Topics
from sluice_schemas import DeadLetter, DeadLetterError, Header, Source
from tests.support.brokers import EMBEDDED, KAFKA

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 120.0


@pytest.fixture(params=[pytest.param("embedded", marks=EMBEDDED), pytest.param("kafka", marks=KAFKA)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    return Kafka(bootstrap_servers=request.getfixturevalue(f"{request.param}_address"), group_id=uuid.uuid4().hex)


@pytest.fixture
def admin(kafka: Kafka) -> AdminClient:
    return open_admin(admin_config(kafka), ignore)


@pytest.fixture
def names() -> Topics:
    """Topics of this test alone, as one broker can hold them."""
    mark = uuid.uuid4().hex
    fields = ("images", "verdicts", "quality", "dead_letters", "feedback", "control")
    return Topics(
        **{field: f"{field}-{mark}" for field in fields}, partitions=2, replication_factor=1, min_insync_replicas=1
    )


@pytest.fixture
def reading(kafka: Kafka, admin: AdminClient, names: Topics) -> Iterator[Reader]:
    topics.create(admin, topics.specs(names, Media()))
    reader = Reader(open_consumer(reader_config(kafka), ignore), names.images)
    yield reader
    reader.close()


def ignore(_: object) -> None:
    pass


def soon() -> Deadline:
    return Deadline.after(PATIENCE_S, time.monotonic)


LETTER = DeadLetter(
    image_id="i",
    verdict_id=uuid.UUID(int=1),
    source=Source("t", 0, 1),
    error=DeadLetterError("s", "r", "m"),
    attempts=1,
    first_seen=NOW,
    worker="w",
    produced_at=NOW,
    key=b"k",
    value=b"v",
    headers=(Header("h", b"1"), Header("h", None)),
)


def read(reader: Reader, start: Start = "earliest") -> list[Record]:
    deadline = soon()
    records = list(reader.records(start, follow=False, stopping=lambda: deadline.over))
    assert not deadline.over
    return records


def test_missing_topics_are_found_made_and_then_found_right(admin: AdminClient, names: Topics) -> None:
    wanted = topics.specs(names, Media())
    assert [finding.problem for finding in topics.check(admin, wanted)] == ["does not exist"] * 6
    assert topics.create(admin, wanted) == [spec.name for spec in wanted]
    assert [finding.problem for finding in topics.check(admin, wanted)] == [""] * 6
    assert topics.create(admin, wanted) == []


def test_a_topic_that_is_not_as_wanted_is_found_with_what_to_do(admin: AdminClient, names: Topics) -> None:
    topics.create(admin, topics.specs(names, Media()))
    more = names.model_copy(update={"partitions": 3, "min_insync_replicas": 2})
    images, *_ = topics.check(admin, topics.specs(more, Media(max_event_bytes=9_000_000)))
    assert "has 2 partitions, 3 are wanted" in images.problem
    assert "min.insync.replicas is 1, 2 is wanted" in images.problem
    assert "max.message.bytes" in images.problem
    assert "--partitions 3" in images.fix


def test_more_copies_than_brokers_are_refused(admin: AdminClient, names: Topics) -> None:
    with pytest.raises(BadSettings, match=f"{names.images}.*topics.replication_factor"):
        topics.create(admin, topics.specs(names.model_copy(update={"replication_factor": 3}), Media()))


def test_a_dead_letters_record_is_published_again_as_it_came(kafka: Kafka, names: Topics, reading: Reader) -> None:
    producer = open_producer(plain_producer_config(kafka), ignore)
    requeue(producer, LETTER, names.images, soon())
    (record,) = read(reading)
    assert (record.key, record.value, record.headers) == (b"k", b"v", (("h", b"1"), ("h", None)))


def test_a_tombstone_is_put_back_as_a_tombstone(kafka: Kafka, names: Topics, reading: Reader) -> None:
    requeue(open_producer(plain_producer_config(kafka), ignore), replace(LETTER, value=None), names.images, soon())
    assert [record.value for record in read(reading)] == [None]


def test_a_dead_letter_that_does_not_carry_its_record_is_not_put_back(kafka: Kafka, names: Topics) -> None:
    producer = open_producer(plain_producer_config(kafka), ignore)
    with pytest.raises(BadSettings, match="carries no value"):
        requeue(producer, replace(LETTER, value=None, value_sha256="0" * 64), names.images, soon())


def test_a_record_the_brokers_refuse_is_an_error(kafka: Kafka, names: Topics, reading: Reader) -> None:
    producer = open_producer(plain_producer_config(kafka), ignore)
    with pytest.raises(Fatal, match="refuses"):
        requeue(producer, replace(LETTER, value=bytes(5_000_000)), names.images, soon())
    assert read(reading) == []


def test_a_reader_starts_where_it_is_told(kafka: Kafka, names: Topics, reading: Reader) -> None:
    producer = open_producer(plain_producer_config(kafka), ignore)
    for number in range(6):
        producer.produce(names.images, b"%d" % number, partition=number % 2)
    assert producer.flush(PATIENCE_S) == 0
    assert sorted(record.value or b"" for record in read(reading)) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert sorted(record.value or b"" for record in read(reading, 2)) == [b"4", b"5"]
    assert read(reading, "latest") == []


def test_a_reader_follows_past_the_end_until_it_is_stopped(kafka: Kafka, names: Topics, reading: Reader) -> None:
    producer = open_producer(plain_producer_config(kafka), ignore)
    producer.produce(names.images, b"first")
    assert producer.flush(PATIENCE_S) == 0
    seen: list[bytes | None] = []
    deadline = soon()
    for record in reading.records("earliest", follow=True, stopping=lambda: len(seen) == 2 or deadline.over):
        seen.append(record.value)
        if len(seen) == 1:
            producer.produce(names.images, b"second")
            producer.flush(PATIENCE_S)
    assert seen == [b"first", b"second"]


def test_reading_a_topic_that_is_not_there_names_the_command_that_makes_it(kafka: Kafka) -> None:
    reader = Reader(open_consumer(reader_config(kafka), ignore), "nowhere")
    with pytest.raises(BadSettings, match=r"topic nowhere does not exist.*sluice topics create"):
        read(reader)
    reader.close()


def test_without_a_broker_the_topics_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "TIMEOUT_S", 0.5)
    admin = open_admin(admin_config(Kafka(bootstrap_servers="127.0.0.1:1")), ignore)
    with pytest.raises(BrokerLost, match=r"kafka\.bootstrap_servers"):
        topics.check(admin, topics.specs(Topics(), Media()))
