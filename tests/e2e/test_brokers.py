"""The real `sluice run` while others change records, partitions, transactions and groups of its brokers."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_admin,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
)
from sluice_sim.options import Options, Shares
from sluice_sim.stream import Stream
from tests.chaos.feed import now, small
from tests.chaos.stage import Stage
from tests.chaos.worker import SLUICE, Worker
from tests.e2e.test_health import asked, events, until
from tests.e2e.test_scrape import Figures, once, summed
from tests.support.brokers import KAFKA
from tests.support.ports import free_port

pytestmark = [*KAFKA, pytest.mark.timeout(900)]

PATIENCE_S = 60.0
WITHIN_S = 240.0
SOON_S = 100.0  # librdkafka's own refresh would take 300
INLINE = Shares(hostile=0, by_file=0, by_http=0)


class World:
    """A stage of one partition with a port for scrapes, and what others do there."""

    def __init__(self, address: str, folder: Path) -> None:
        self.port = free_port()
        given = {
            "SLUICE_TELEMETRY__HTTP_PORT": str(self.port),
            "SLUICE_TELEMETRY__LAG_EVERY_S": "0.2",
            "SLUICE_KAFKA__METADATA_REFRESH_S": "1",
        }
        self.stage = replace(Stage(address, folder, partitions=1), given=given).set_up()
        self.topic = self.stage.topics.images
        self.admin: AdminClient = open_admin(admin_config(self.stage.kafka), lambda _: None)
        self._events = iter(small(Stream(Options(events=None, pictures=8, shares=INLINE), now=now)))

    def publish(self, count: int, partition: int = 0, producer: Producer | None = None) -> None:
        """Publish sound images."""
        producer = producer or open_producer(plain_producer_config(self.stage.kafka), lambda _: None)
        for _ in range(count):
            producer.produce(self.topic, next(self._events).value, partition=partition)
        assert producer.flush(PATIENCE_S) == 0

    def delete(self, before: int) -> None:
        """Delete what lies below an offset."""
        for done in self.admin.delete_records([TopicPartition(self.topic, 0, before)]).values():
            done.result(PATIENCE_S)

    def commit(self, offset: int) -> None:
        """Let the group stand at an offset."""
        with closing(open_consumer(consumer_config(self.stage.kafka), lambda _: None)) as consumer:
            consumer.commit(offsets=[TopicPartition(self.topic, 0, offset)], asynchronous=False)

    def grow(self, partitions: int) -> None:
        """Add partitions."""
        for done in self.admin.create_partitions([NewPartitions(self.topic, partitions)]).values():
            done.result(PATIENCE_S)

    def run(self, *command: str, **given: str) -> subprocess.CompletedProcess[str]:
        """Run another command as this consumer's settings have it."""
        environment = {**self.stage.environment("worker-1"), **given}
        return subprocess.run(
            [SLUICE, *command], env=environment, cwd=self.stage.folder, capture_output=True, text=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip

    def lag(self) -> dict[str, Any]:
        """Return the first partition's row of `sluice lag`, and what it notes."""
        seen = self.run("lag", "--json")
        row: dict[str, Any] = json.loads(seen.stdout)["partitions"][0]
        return row | {"notes": seen.stderr}


@pytest.fixture
def world(kafka_address: str, tmp_path: Path) -> World:
    return World(kafka_address, tmp_path)


def expired(figures: Figures) -> float:
    return summed(figures, "sluice_records_expired_total")


def judged(figures: Figures) -> float:
    return summed(figures, "sluice_verdicts_total")


def ranges(worker: Worker) -> list[tuple[int, int]]:
    return [(line["first"], line["last"]) for line in events(worker) if line["event"] == "images_expired"]


def test_what_others_do_to_the_topic_is_told_counted_and_read_within_seconds(world: World) -> None:
    world.publish(30)
    world.commit(10)
    world.delete(20)
    seen = world.lag()
    assert seen["expired"] == 10
    assert "10 records of partition 0 were deleted before their verdict" in seen["notes"]
    with Worker(world.stage) as worker:
        found = once(world.port, worker, lambda found: judged(found) == 10 and expired(found) > 0)
        assert expired(found) == 10
        assert ranges(worker) == [(10, 19)]
        deleted_while_it_runs(world, worker)
        added_partitions(world, worker)
        open_transaction(world, worker)
        worker.send(signal.SIGHUP)
        assert worker.wait() == 0
        assert [line["left"] for line in events(worker) if line["event"] == "drained"] == [0]


def deleted_while_it_runs(world: World, worker: Worker) -> None:
    worker.send(signal.SIGSTOP)
    world.publish(1)  # a fetch that is under way brings this
    world.publish(40)
    world.delete(61)
    world.publish(1)
    worker.send(signal.SIGCONT)
    found = once(world.port, worker, lambda found: judged(found) + expired(found) == 62)
    assert 10 + 10 <= expired(found) <= 10 + 31
    assert ranges(worker)[-1][1] == 60
    world.publish(1)
    once(world.port, worker, lambda found: judged(found) + expired(found) == 63)


def added_partitions(world: World, worker: Worker) -> None:
    world.grow(3)
    for partition in (1, 1, 2, 2):
        world.publish(1, partition)
    began = monotonic()
    once(world.port, worker, lambda found: judged(found) + expired(found) == 67)
    assert monotonic() - began < SOON_S


def open_transaction(world: World, worker: Worker) -> None:
    kafka = world.stage.kafka.model_copy(update={"transactional_id": f"others-{world.topic}"})
    others = open_producer(producer_config(kafka) | {"transaction.timeout.ms": 600_000}, lambda _: None)
    others.init_transactions(PATIENCE_S)
    others.begin_transaction()
    world.publish(1, 0, others)
    world.publish(20)
    found = once(world.port, worker, lambda found: summed(found, "kafka_consumer_group_lag") == 21)
    before = expired(found)
    seen = world.lag()
    assert (seen["lag"], seen["undecided"]) == (21, 21)
    assert "wait until an open transaction ends" in seen["notes"]
    others.abort_transaction(PATIENCE_S)
    found = once(world.port, worker, lambda found: judged(found) + expired(found) == 87)
    assert expired(found) == before, "the image of the aborted transaction was told as deleted"
    once(world.port, worker, lambda found: summed(found, "kafka_consumer_group_lag") == 0)


def test_who_wants_to_decide_about_deleted_images_is_stopped_with_75_and_a_scrape_sees_why(world: World) -> None:
    world.publish(30)
    world.commit(10)
    world.delete(20)
    given = {"SLUICE_KAFKA__EXPIRED_IMAGES": "stop", "SLUICE_TELEMETRY__LINGER_S": "200"}
    with Worker(replace(world.stage, given={**world.stage.given, **given})) as worker:
        found = once(world.port, worker, lambda found: expired(found) > 0)
        assert (expired(found), judged(found)) == (10, 0)
        _, checks = until("/readyz", 503, world.port, worker, saying="ImagesExpired")
        assert not checks["judging"]["ok"]
        worker.send(signal.SIGTERM)
        assert worker.wait() == 75
        said = worker.log.read_text()
        assert f"images were deleted before they were read ({world.topic}/0: 10 to 19)" in said
        assert "kafka.expired_images=tell" in said
    assert world.lag()["committed"] == 10


@contextmanager
def strangers(world: World) -> Iterator[None]:
    """Let a consumer with another assignor be in the group."""
    config = {
        "bootstrap.servers": world.stage.address,
        "group.id": world.stage.kafka.group_id,
        "partition.assignment.strategy": "cooperative-sticky",
        "client.id": "stranger",
    }
    with closing(Consumer(config)) as consumer:
        consumer.subscribe([world.topic])
        deadline = monotonic() + PATIENCE_S
        while not consumer.assignment():
            consumer.poll(0.1)
            assert monotonic() < deadline
        yield


def test_a_group_that_refuses_us_is_never_ready_and_left_with_77_and_the_doctor_sees_it(world: World) -> None:
    world.publish(3)
    given = {**world.stage.given, "SLUICE_KAFKA__CONNECT_DEADLINE_S": "10"}
    with strangers(world), Worker(replace(world.stage, given=given)) as worker:
        _, checks = until("/readyz", 503, world.port, worker, saying="refuses us")
        assert checks["judging"]["ok"]
        assert world.stage.kafka.group_id in checks["group"]["found"]
        assert "kafka.group_id" in checks["group"]["found"]
        assert asked(world.port, "/livez")[0] == 200
        assert not worker.ready
        assert worker.wait(WITHIN_S) == 77
        assert "ready" not in [line["event"] for line in events(worker)]
        assert re.search(r"kafka\.group_id: group \S+ refuses us: .*another assignor", worker.log.read_text())
        rows = world.run("doctor").stdout
        assert re.search(r"stranger@127\.0\.0\.1.*cooperative-sticky", rows)


def test_a_transaction_that_the_brokers_do_not_allow_is_named_before_models_load(world: World) -> None:
    ended = world.run("run", SLUICE_KAFKA__TRANSACTION_TIMEOUT_S="1200", SLUICE_MODELS__BUNDLE="openai")
    assert ended.returncode == 78
    assert "kafka.transaction_timeout_s is 1200, the brokers allow at most 900" in ended.stderr
    assert "models" not in ended.stderr
