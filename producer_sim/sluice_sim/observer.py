"""The observer: reads what came out, committed records only, and keeps the ledger. It joins no group."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from sluice_schemas import DeadLetter, Quality, Source, Verdict
from sluice_schemas.errors import WireError
from sluice_schemas.wire import decode
from sluice_sim.broker import Broker, BrokerUnusable, Topics, opened, partitions
from sluice_sim.ledger import Ledger, Sighting
from sluice_sim.report import Report
from sluice_sim.truth import Place, Sent

Truths = Callable[[], Iterable[Sent]]
"""Gives the records sent since the last call; `TruthReader` and `Inbox` are such."""

_MOST: Final = 2000  # records a poll takes


class Observer:
    """Call `poll` often, from one thread, and `report` when you like; a context manager that closes the consumer.

    Raises BrokerUnusable when no broker answers or an output topic is not there. It reads from the beginning, so
    it may start at any time; records that answer another run are counted as strangers and otherwise ignored.
    """

    def __init__(self, broker: Broker, truths: Truths, *, topics: Topics = Topics()) -> None:  # noqa: B008 - frozen
        self._truths = truths
        self._ledger = Ledger()
        self._read: dict[str, Callable[[Message], Sighting]] = {
            topics.verdicts: _verdict,
            topics.quality: _quality,
            topics.dead_letters: _dead_letter,
        }
        self._consumer = opened(
            Consumer,
            broker.config(
                group_id="sluice-sim-observer",  # librdkafka wants one; nothing is subscribed or committed under it
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                queued_max_messages_kbytes=64 * 1024,
            ),
        )
        self._assign()

    def poll(self, timeout_s: float = 0.0) -> int:
        """Take in what was sent and what came out since the last call; return how many output records it was.

        Waits at most `timeout_s` for the first one.
        """
        for sent in self._truths():
            self._ledger.sent(sent)
        first = self._consumer.poll(timeout_s)
        messages = [first, *self._consumer.consume(_MOST - 1, 0)] if first is not None else []
        for message in messages:
            self._take(message)
        return len(messages)

    @property
    def outstanding(self) -> int:
        """How many of the records known to be sent are not yet answered in full."""
        return self._ledger.outstanding

    @property
    def furthest(self) -> Mapping[int, int]:
        """The highest offset of each input partition that anything answered."""
        return self._ledger.furthest

    def report(self) -> Report:
        """Sum up what has been seen so far."""
        return self._ledger.report()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _assign(self) -> None:
        try:
            known = partitions(self._consumer, self._read)
        except BrokerUnusable:
            self.close()
            raise
        self._consumer.assign(
            [TopicPartition(topic, index, OFFSET_BEGINNING) for topic, indexes in known.items() for index in indexes]
        )

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal() or not _passing(error):
                raise BrokerUnusable(f"reading {message.topic()}: {error.str()}")
            return
        try:
            self._ledger.saw(self._read[str(message.topic())](message))
        except WireError:
            self._ledger.unreadable()


def _passing(error: KafkaError) -> bool:
    """Tell whether librdkafka gets over it by itself."""
    names = ("_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_PARTITION_EOF")
    return error.retriable() or error.code() in {getattr(KafkaError, name) for name in names}


def _verdict(message: Message) -> Sighting:
    verdict = decode(message.value(), Verdict)
    return Sighting(
        "verdict",
        image_id=verdict.image_id,
        status=verdict.status,
        reason=verdict.indeterminate_reason,
        sha256=verdict.image_sha256,
        **_places(message, verdict.source),
    )


def _quality(message: Message) -> Sighting:
    quality = decode(message.value(), Quality)
    return Sighting(
        "quality",
        image_id=quality.image_id,
        sha256=quality.image_sha256,
        cosine=quality.clip.cosine if quality.clip else None,
        **_places(message, quality.source),
    )


def _dead_letter(message: Message) -> Sighting:
    letter = decode(message.value(), DeadLetter)
    return Sighting("dead_letter", image_id=letter.image_id, **_places(message, letter.source))


def _places(message: Message, source: Source) -> dict[str, Any]:
    return {
        "place": Place(str(message.topic()), message.partition() or 0, message.offset() or 0),
        "source": Place(source.topic, source.partition, source.offset),
        "timestamp_ms": message.timestamp()[1],
    }
