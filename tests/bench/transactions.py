"""Sixty-four messages in one transaction on Apache Kafka: librdkafka's retry pause of 100 ms against ours of 5 ms.

Needs KAFKA_HOME. A transaction that follows another at once is told CONCURRENT_TRANSACTIONS until the last one's
markers are written, and librdkafka then waits `retry.backoff.ms`.
"""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sluice.bus.client import open_admin, open_producer, producer_config
from sluice.bus.committer import KafkaCommitter
from sluice.bus.topics import create, specs
from sluice.core.domain import Message
from sluice.settings import Kafka, Media, Topics
from tests.bench.measure import Ratio, Way, side_by_side
from tests.support.brokers import apache_kafka

MESSAGES = 64
MESSAGE_BYTES = 1500


def ratios() -> Iterator[Ratio]:
    """Measure both pauses against one broker."""
    with tempfile.TemporaryDirectory() as folder, apache_kafka(Path(folder)) as address:
        topics = Topics(partitions=3, replication_factor=1, min_insync_replicas=1)
        create(open_admin({"bootstrap.servers": address}, lambda _: None), specs(topics, Media()))
        ways = {f"{pause_ms} ms": _way(address, topics.verdicts, pause_ms) for pause_ms in (100, 5)}
        yield side_by_side("a transaction of 64 verdicts, by retry.backoff.ms", ways, calls=30, rounds=7)


def _way(address: str, topic: str, pause_ms: int) -> Way:
    kafka = Kafka(bootstrap_servers=address, transactional_id=f"bench-{pause_ms}")
    config = producer_config(kafka) | {"retry.backoff.ms": pause_ms}
    committer = KafkaCommitter(
        partial(open_producer, config), timeout_s=15, clock=time.monotonic, observe=lambda *_: None
    )
    messages = [Message(topic, str(number).encode(), b"x" * MESSAGE_BYTES) for number in range(MESSAGES)]
    return lambda: committer.commit(messages, {}, None)
