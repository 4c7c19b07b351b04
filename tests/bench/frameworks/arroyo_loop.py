"""sentry-arroyo, at least once: offsets are committed once a second, of what was delivered."""

import os
import signal
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from arroyo.backends.kafka import (
    KafkaConsumer,
    KafkaProducer,
    build_kafka_configuration,
    build_kafka_consumer_configuration,
)
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import (
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    Produce,
    RunTask,
    Unfold,
)
from arroyo.types import Commit, Message, Partition, Topic, Value

from .ends import CONSUMER, PRODUCER, Ends
from .work import Output, Place, Work


class ByOutput(NamedTuple):
    """A producer as `Produce` wants one, whose outputs say themselves which topic is theirs."""

    producer: Any
    topics: Mapping[str, Topic]

    def produce(self, _destination: Topic, output: Output) -> Any:
        """Publish it; an output has a key, a value and headers, and arroyo asks a payload for no more."""
        return self.producer.produce(self.topics[output.topic], output)


class Factory(ProcessingStrategyFactory):  # type: ignore[misc]  # it is not installed where types are checked
    """Judge, unfold into two outputs, publish both, commit."""

    def __init__(self, work: Work, producer: ByOutput) -> None:
        self._work = work
        self._producer = producer

    def create_with_partitions(self, commit: Commit, partitions: Mapping[Partition, int]) -> ProcessingStrategy:
        """Set the steps up."""
        del partitions
        anywhere = next(iter(self._producer.topics.values()))
        publish = Produce(self._producer, anywhere, CommitOffsets(commit))
        return RunTask(self._judge, Unfold(_values, publish))

    def _judge(self, message: Message) -> tuple[Output, Output]:
        record = message.value
        timestamp_ms = int(record.timestamp.timestamp() * 1000)
        place = Place(record.partition.topic.name, record.partition.index, record.offset, timestamp_ms)
        return self._work.judged(record.payload.value, place)


def main() -> None:
    """Run until SIGTERM."""
    ends = Ends.of(os.environ)
    brokers = {"bootstrap.servers": ends.brokers}
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {**CONSUMER, **brokers},
            ends.group,
            auto_offset_reset="earliest",
            queued_min_messages=CONSUMER["queued.min.messages"],
            queued_max_messages_kbytes=CONSUMER["queued.max.messages.kbytes"],
        )
    )
    producer = KafkaProducer(build_kafka_configuration({**PRODUCER, **brokers}), use_simple_futures=True)
    topics = {name: Topic(name) for name in (ends.verdicts, ends.quality)}
    factory = Factory(Work.between(ends), ByOutput(producer, topics))
    processor = StreamProcessor(consumer, Topic(ends.images), factory)
    signal.signal(signal.SIGTERM, lambda *_: processor.signal_shutdown())
    processor.run()
    producer.close().result()


def _values(outputs: Iterable[Output]) -> list[Value]:
    return [Value(output, {}) for output in outputs]


if __name__ == "__main__":
    main()
