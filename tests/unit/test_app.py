"""The wiring's own promises."""

import threading
import time
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from sluice.app import Opening, batch_threads, consumer
from sluice.bus import topics
from sluice.bus.client import Config, OnError, admin_config, open_admin, open_producer
from sluice.core.domain import Job
from sluice.core.errors import BadSettings, DeviceLost
from sluice.models.lane import Answers, Lane, Pulse
from sluice.settings import Kafka, Media, Settings, Topics


def test_a_hung_lane_does_not_keep_the_process_from_leaving() -> None:
    started = threading.Event()

    def hang(_jobs: Sequence[Job]) -> Answers:
        started.set()
        threading.Event().wait()
        return []

    lane = Lane(hang, (), Pulse(time.monotonic), timeout_s=120)
    with batch_threads(2, lane, patience_s=0.1) as threads:
        waiting = [threads.submit(lambda: lane.submit([]).result()) for _ in range(2)]
        assert started.wait(60)
    for each in waiting:
        with pytest.raises(DeviceLost):
            each.result(0)


@pytest.mark.embedded
def test_a_predecessors_transaction_is_ended_before_the_models_load(embedded_address: str) -> None:
    said: list[str] = []

    def producer(config: Config, on_error: OnError) -> Producer:
        said.append("producer")
        return open_producer(config, on_error)

    def lane(*_: object, **__: object) -> Lane:
        said.append("models")
        raise BadSettings("seen enough")

    kafka, small = Kafka(bootstrap_servers=embedded_address), Topics(replication_factor=1, min_insync_replicas=1)
    topics.create(open_admin(admin_config(kafka), lambda _: None), topics.specs(small, Media()))
    opening = Opening(producer=producer, lane=lane)
    with pytest.raises(BadSettings, match="seen enough"), consumer(Settings(kafka=kafka, topics=small), opening):
        pass
    assert said == ["producer", "models"]
