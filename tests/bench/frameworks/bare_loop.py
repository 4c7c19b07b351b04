"""Exactly once by hand: consume many, produce all, send the offsets, commit. What every framework is measured by.

It is no consumer to keep: an error ends it, and it knows neither broken images nor dead letters nor back-pressure.
"""

import os
import signal
from threading import Event

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from .ends import BATCH, CONSUMER, PRODUCER, Ends
from .work import Place, Work

TIMEOUT_S = 30.0


def main() -> None:
    """Run until SIGTERM."""
    ends = Ends.of(os.environ)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = Consumer(
        {
            **CONSUMER,
            "bootstrap.servers": ends.brokers,
            "group.id": ends.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer(
        {
            **PRODUCER,
            "bootstrap.servers": ends.brokers,
            "transactional.id": ends.transactional_id,
            "delivery.report.only.error": True,
        }
    )
    producer.init_transactions(TIMEOUT_S)
    consumer.subscribe([ends.images])
    work = Work.between(ends)
    while not stop.is_set():
        if messages := consumer.consume(BATCH, 0.1):
            land(messages, work, consumer, producer)
    consumer.close()


def land(messages: list[Message], work: Work, consumer: Consumer, producer: Producer) -> None:
    """Judge a batch and publish it with its offsets, in one transaction."""
    next_offsets: dict[tuple[str, int], int] = {}
    producer.begin_transaction()
    for message in messages:
        if error := message.error():
            raise KafkaException(error)
        place = Place.of(message)
        for output in work.judged(message.value(), place):
            producer.produce(output.topic, output.value, output.key, headers=list(output.headers))
        next_offsets[place.topic, place.partition] = place.offset + 1
    positions = [TopicPartition(topic, index, offset) for (topic, index), offset in next_offsets.items()]
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
    producer.commit_transaction()


if __name__ == "__main__":
    main()
