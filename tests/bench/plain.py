"""What the loops that Sluice is compared with share: clients without transactions, set up as documentation does."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer

from sluice.settings import Settings


@contextmanager
def clients(settings: Settings) -> Iterator[tuple[Consumer, Producer]]:
    """Open a member of the group, subscribed, that commits when it is told to, and a producer."""
    brokers = {"bootstrap.servers": settings.kafka.bootstrap_servers}
    group = {"group.id": settings.kafka.group_id, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer({**brokers, **group})
    consumer.subscribe([settings.topics.images])
    try:
        yield consumer, Producer(brokers)
    finally:
        consumer.close()
