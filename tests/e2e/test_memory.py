"""With every partition full of large pictures, the consumer's memory stays below what its settings add up to."""

import sys
from pathlib import Path

import pytest

from sluice.settings import MIB, Batching, Kafka, Settings
from tests.bench.memory import Load, measure
from tests.support.brokers import KAFKA

pytestmark = [*KAFKA, pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")]

SMALL = Settings(
    kafka=Kafka(queued_max_kbytes=16 * 1024, consumer_options={"fetch.max.bytes": 8_000_000}),
    batching=Batching(max_records=8, max_bytes=4 * MIB, max_flights=2),
)


def test_memory_with_every_partition_full_stays_below_its_bound(kafka_address: str, tmp_path: Path) -> None:
    """The bound is less than the backlog: a consumer that prefetched all it can would pass it."""
    measured = measure(tmp_path, kafka_address, Load(partitions=16, events_each=24, picture_s=0.25, verdicts=40), SMALL)
    assert measured.bound - measured.rest < measured.backlog_bytes
    assert measured.rest + SMALL.kafka.queued_max_kbytes * 1024 < measured.peak < measured.bound, measured.as_text()
