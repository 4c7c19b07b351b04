"""The display services of the pages, run against a broker through all that may stand in a verdict topic."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from sluice_schemas import Mode, PolicyRef, Source, Status, Timings, Verdict, encode
from tests.support.displays import Display, Restarting, code_of, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS = 3


def verdict(image_id: str, status: Status) -> bytes:
    return encode(
        Verdict(
            verdict_id=uuid4(),
            image_id=image_id,
            image_sha256=hashlib.sha256(b"bytes").hexdigest(),
            status=status,
            policy=PolicyRef("p", 1, "d"),
            preprocess_digest="d",
            source=Source("images.generated.v1", 0, 0),
            timings_ms=Timings(),
            produced_at=NOW,
            mode=Mode.ENFORCE,
        )
    )


ALLOW = verdict("i", Status.ALLOW)
LATER = b"\xc3\x01" + UUID(int=7).bytes[-8:] + ALLOW[10:] + b"\x02x"


class Log:
    """A verdict topic of its own, and who writes it and reads it."""

    def __init__(self, address: str) -> None:
        self.address, self.topic = address, f"verdicts.{uuid4().hex}"
        self.admin = AdminClient({"bootstrap.servers": address})
        self.displays: list[Display] = []
        self._producer = Producer({"bootstrap.servers": address})
        self.make()

    def make(self) -> None:
        until(self._made, "the topic is there")

    def _made(self) -> bool:
        made = self.admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic]
        return made.exception(60) is None

    def widen(self, partitions: int) -> None:
        """Add partitions; only a new producer knows of them at once."""
        self.admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(60)
        self._producer = Producer({"bootstrap.servers": self.address})

    def send(self, image_id: str, status: Status, **more: Any) -> None:
        self.put(verdict(image_id, status), image_id.encode(), **more)

    def put(self, value: bytes | None, key: bytes | None, **more: Any) -> None:
        self._producer.produce(self.topic, value, key, **more)
        assert self._producer.flush(60) == 0

    def display(self, kind: type[Display] = Display, **more: Any) -> Display:
        made = kind(self.address, self.topic, **more)
        self.displays.append(made)
        return made.start()


ON_EMBEDDED = pytest.param("embedded", marks=pytest.mark.embedded)
ON_KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(params=[ON_EMBEDDED, ON_KAFKA])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    found = Log(request.getfixturevalue(f"{request.param}_address"))
    yield found
    for display in found.displays:
        display.stop()


KINDS = pytest.mark.parametrize("kind", [Display, Restarting])


def test_the_example_is_short() -> None:
    assert len([line for line in code_of("README.md").splitlines() if line.strip()]) <= 32


@KINDS
def test_only_allowed_bytes_are_shown_and_none_before_the_topic_was_read(kind: type[Display], log: Log) -> None:
    log.send("shown", Status.ALLOW)
    log.send("hidden", Status.BLOCK)
    assert not kind(log.address, log.topic).shows("shown")
    display = log.display(kind)
    asked = [("shown", b"bytes"), ("shown", b"other bytes"), ("hidden", b"bytes"), ("unknown", b"bytes")]
    assert [display.shows(*question) for question in asked] == [True, False, False, False]


@KINDS
@pytest.mark.parametrize("log", [ON_EMBEDDED], indirect=True)  # what a record holds is no broker's affair
@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(None, (), id="tombstone"),
        pytest.param(b"", (), id="no bytes"),
        pytest.param(b"garbage", (), id="garbage"),
        pytest.param(LATER, (), id="later schema"),
        pytest.param(b"\0\0\0\0\7" + ALLOW[10:], (), id="framing of a registry"),
        pytest.param(ALLOW[10:], (("__value_schema_id", b"\1" + bytes(16)),), id="schema in a header"),
        pytest.param(ALLOW[10:], (("__value_schema_id", None), ("__value_schema_id", b"\xff")), id="two schemas"),
    ],
)
def test_what_cannot_be_read_hides_its_image_and_ends_nothing(
    kind: type[Display], value: bytes | None, headers: Any, log: Log
) -> None:
    for image_id in ("i", "behind", "last"):
        log.send(image_id, Status.ALLOW, partition=0)
    display = log.display(kind)
    assert all(map(display.shows, ("i", "behind", "last")))
    log.put(value, b"i", headers=list(headers), partition=0)
    log.put(value, None, headers=list(headers), partition=0)
    log.send("behind", Status.BLOCK, partition=0)
    until(lambda: not display.shows("behind"), "the BLOCK behind it is known")
    assert [display.shows(image_id) for image_id in ("i", "behind", "last")] == [False, False, True]
    assert display.alive


@KINDS
def test_what_is_blocked_is_not_shown_by_any_replica_nor_after_a_restart(kind: type[Display], log: Log) -> None:
    images = [f"image-{number}" for number in range(30)]
    for image_id in images:
        log.send(image_id, Status.ALLOW)
    first = log.display(kind)
    assert all(map(first.shows, images))
    second = log.display(kind)
    for image_id in images:
        log.send(image_id, Status.BLOCK)
    until(lambda: not any(map(first.shows, images)), "the first replica shows none of them")
    until(lambda: not any(map(second.shows, images)), "the second replica shows none of them")
    log.send("new", Status.ALLOW)
    until(lambda: first.shows("new") and second.shows("new"), "both read on")
    first.stop()
    again = log.display(kind, **({"before": first} if kind is Restarting else {}))
    assert again.shows("new")
    assert not any(map(again.shows, images))


@KINDS
def test_a_partition_that_is_added_is_read(kind: type[Display], log: Log) -> None:
    log.send("i", Status.ALLOW, partition=0)
    display = log.display(kind)
    assert display.shows("i")
    log.widen(PARTITIONS + 1)
    log.send("i", Status.BLOCK, partition=PARTITIONS)
    until(lambda: not display.shows("i"), "the image is hidden")
    log.send("new", Status.ALLOW, partition=PARTITIONS)
    until(lambda: display.shows("new"), "the new partition is read")
    assert not display.shows("i")


@KINDS
def test_nothing_is_shown_once_the_follower_is_dead(kind: type[Display], log: Log) -> None:
    log.send("i", Status.ALLOW)
    display = log.display(kind)
    assert display.shows("i")
    display.stop()
    assert not display.shows("i")


@KINDS
def test_of_a_topic_made_anew_nothing_old_is_shown(kind: type[Display], log: Log) -> None:
    for image_id in ("i", "gone"):
        log.send(image_id, Status.ALLOW, partition=0)
    display = log.display(kind)
    log.admin.delete_topics([log.topic])[log.topic].result(60)
    until(lambda: not display.shows("i"), "nothing of the topic is shown")
    log.make()
    log.send("i", Status.ALLOW, partition=0)
    until(lambda: display.shows("i"), "the new topic is read")
    assert not display.shows("gone")
