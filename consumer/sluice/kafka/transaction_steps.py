"""The steps of a transaction before its end, each under one deadline. They raise KafkaException, whatever happens."""

from collections.abc import Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from sluice.core.deadline import Deadline
from sluice.core.records import GroupMetadata, Message, Offsets
from sluice.kafka.errors import QUEUE_FULL, TIMED_OUT, error_of

BREATH_S = 0.05  # between two tries of the same step; callbacks are served meanwhile

Undelivered = list[tuple[str, KafkaError]]
"""Topics that took a message and gave it up, each with the reason."""


def produce(producer: Producer, message: Message, undelivered: Undelivered, deadline: Deadline) -> None:
    """Hand a message over; whether it arrives shows in `undelivered`, later."""
    headers: Any = list(message.headers)
    note = partial(_note, undelivered)
    while True:
        try:
            producer.produce(message.topic, message.value, message.key, headers=headers, on_delivery=note)
        except BufferError:  # librdkafka's queue is full; it empties while we serve callbacks
            if deadline.over:
                raise KafkaException(KafkaError(QUEUE_FULL, retriable=True)) from None
            producer.poll(BREATH_S)
        except KafkaException as exception:
            undelivered.append((message.topic, error_of(exception)))
            raise
        else:
            return


def send_offsets(producer: Producer, offsets: Offsets, group: GroupMetadata, deadline: Deadline) -> None:
    """Send them in a thread that is left behind at the deadline, for librdkafka keeps none (librdkafka#5456).

    It waits for ever when the group's coordinator is refused some times in a row. While it does, this producer can do
    nothing else, not even abort; so it is in doubt, and its successor fences whatever comes of it.
    """
    positions = [TopicPartition(place.topic, place.index, offset) for place, offset in offsets.items()]
    answers: SimpleQueue[KafkaError | None] = SimpleQueue()

    def send() -> None:
        try:
            producer.send_offsets_to_transaction(positions, group)
            answers.put(None)
        except KafkaException as exception:
            answers.put(error_of(exception))

    Thread(target=send, name="offsets", daemon=True).start()
    try:
        error = answers.get(timeout=deadline.remaining_s)
    except Empty:
        error = KafkaError(TIMED_OUT, "offsets are overdue", retriable=True)
    if error is not None:
        raise KafkaException(error)


def flush(producer: Producer, undelivered: Sequence[object], deadline: Deadline) -> None:
    """Wait for the deliveries before the commit is asked for: up to here an outage leaves no doubt."""
    while producer.flush(BREATH_S) and not undelivered:
        if deadline.over:
            raise KafkaException(KafkaError(TIMED_OUT, "deliveries are overdue", retriable=True))


def _note(undelivered: Undelivered, error: KafkaError | None, message: KafkaMessage) -> None:
    if error:
        undelivered.append((message.topic() or "", error))
