"""Everything a consumer published, taken apart into the parts that may hold different things."""

from collections.abc import Iterator
from dataclasses import asdict, replace

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from sluice_schemas import DeadLetter, decode
from sluice_sim.broker import Broker

WITHIN_S = 60.0


def published(broker: Broker, topic: str, partitions: int) -> list[Message]:
    """Return every committed record of a topic, from its beginning to its present end."""
    reading = {"group_id": "reader", "isolation_level": "read_committed", "enable_partition_eof": True}
    consumer = Consumer(broker.config(**reading, enable_auto_commit=False))
    try:
        consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
        return list(_to_the_end(consumer, partitions))
    finally:
        consumer.close()


def headers_of(message: Message) -> bytes:
    """Return the headers of a record, names and values."""
    return b"\n".join(f"{name}=".encode() + bytes(value or b"") for name, value in message.headers() or [])  # type: ignore[arg-type, str-unpack]


def letter_of(message: Message) -> DeadLetter:
    """Return the dead letter in a record."""
    return decode(message.value(), DeadLetter)


def remainder(letter: DeadLetter) -> bytes:
    """Return a letter without the parts of the original record that it carries."""
    return repr(asdict(replace(letter, key=None, value=None, headers=()))).encode()


def _to_the_end(consumer: Consumer, partitions: int) -> Iterator[Message]:
    ended: set[int] = set()
    while len(ended) < partitions:
        found = consumer.poll(WITHIN_S)
        assert found is not None, "the broker falls silent"
        error = found.error()
        if error is None:
            yield found
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error.str()
            ended.add(found.partition() or 0)
