"""Reading topics without a group, and putting dead letters back: what `sluice tail` and `sluice dlq` stand on.

Always `read_committed`: what an aborted transaction wrote was never said.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, BrokerLost, Denied, Fatal
from sluice.core.records import Record
from sluice.kafka.errors import PURGE_QUEUE, Meaning, denies_topic, error_of, is_end, means, no_broker, no_topic
from sluice.kafka.source import record_of
from sluice_schemas import DeadLetter

Start = Literal["earliest", "latest"] | int
TIMEOUT_S = 15.0
POLL_S = 0.2
_GRANT = "grant it: sluice topics acls --role operator"


class Reader:
    """Reads one topic from a place on. `reader_config` says how the consumer has to be set up."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    def records(self, start: Start, *, follow: bool, stopping: Callable[[], bool]) -> Iterator[Record]:
        """Yield records of all partitions from `start` (an offset counts in every partition) to the present end.

        With `follow` it goes on past the end. `stopping` is asked about five times a second. Raises BadSettings when
        there is no such topic, Denied when we may not read it, BrokerLost when no broker answers.
        """
        open_ends = self._assign(start)
        while (open_ends or follow) and not stopping():
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield record_of(message)
            elif is_end(error):
                open_ends.discard(message.partition() or 0)
            elif denies_topic(error):
                raise self._denied()
            elif error.fatal():
                raise Fatal(f"kafka: {error.str()}")

    def close(self) -> None:
        """Release the consumer."""
        self._consumer.close()

    def _assign(self, start: Start) -> set[int]:
        """Set out in every partition and return their numbers."""
        try:
            topic = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
            if topic.error is not None and denies_topic(topic.error):
                raise self._denied()
            if topic.error is not None or not topic.partitions:
                raise no_topic(self._topic)
            handles = [TopicPartition(self._topic, index, self._offset(index, start)) for index in topic.partitions]
        except KafkaException as exception:
            raise no_broker(error_of(exception).str()) from None
        self._consumer.assign(handles)
        return set(topic.partitions)

    def _denied(self) -> Denied:
        return Denied(f"the brokers deny Read on topic {self._topic}", remedy=_GRANT)

    def _offset(self, index: int, start: Start) -> int:
        if isinstance(start, str):
            return OFFSET_BEGINNING if start == "earliest" else OFFSET_END
        low, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, index), timeout=TIMEOUT_S)
        return min(max(low, start), end)


def requeue(producer: Producer, letter: DeadLetter, topic: str, deadline: Deadline) -> None:
    """Publish the record of a dead letter again, as it came, and wait until the brokers have it.

    Raises BadSettings when the letter does not carry the record; Denied, Fatal or BrokerLost when it cannot be
    published.
    """
    if letter.value is None and letter.value_sha256 is not None:
        raise BadSettings(
            f"the dead letter of {letter.image_id} carries no value (dead_letters.include_inline_images was off or it "
            "was too large)",
            setting="dead_letters.include_inline_images",
            remedy="have its producer publish it again",
        )
    refused: list[KafkaError] = []
    headers: Any = [(header.key, header.value) for header in letter.headers]
    try:
        producer.produce(
            topic, letter.value, letter.key, headers=headers, on_delivery=lambda error, _: refused.extend(_some(error))
        )
        left = producer.flush(deadline.remaining_s)
    except (KafkaException, SystemError) as exception:  # the C extension raises the one, or the other caused by it
        cause = exception if isinstance(exception, KafkaException) else exception.__cause__
        if not isinstance(cause, KafkaException):
            raise
        refused.append(error_of(cause))
        left = 0
    if left:
        raise BrokerLost(f"no broker took the record of {letter.image_id} in time; it may be published or not")
    # Denied before it has an id, which takes a permission on the cluster, a producer may throw the record away without
    # a word of why.
    if refused and (means(refused[0], Meaning.DENIED) or refused[0].code() == PURGE_QUEUE):
        raise Denied(f"the brokers deny Write on topic {topic}", remedy=_GRANT)
    if refused:
        raise Fatal(f"topic {topic} refuses the record of {letter.image_id}: {refused[0].str()}")


def _some(error: KafkaError | None) -> list[KafkaError]:
    return [error] if error else []
