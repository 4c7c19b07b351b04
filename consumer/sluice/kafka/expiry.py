"""Images that were deleted before they were read: found by asking the brokers where a partition begins.

Offsets that are left out prove nothing, for the markers of transactions and compaction leave some out, too. A group
that has committed nothing begins at what is there: what was deleted before was never its own.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, Protocol

from sluice.core.errors import ImagesExpired
from sluice.core.log_events import log_event
from sluice.core.metrics import Observe
from sluice.core.records import Partition, Record
from sluice.kafka.offset_lookup import Place

EVERY_S = 1.0
AGAIN_S = 0.2
"""Seconds between two questions: about gaps, and about partitions that are held."""

LONG_S = 10.0
"""A partition held for so many seconds is logged, and again after as many."""

NAMED = 3
"""So many partitions are named."""

_logger = logging.getLogger(__name__)


class Question(Protocol):
    """What was asked about partitions."""

    @property
    def done(self) -> bool:
        """Whether the answer is there."""

    @property
    def trouble(self) -> str:
        """What the brokers said, once `found` was asked for, where they did not tell; empty where they did."""

    def found(self) -> Mapping[Partition, Place]:
        """Return the answer, without the partitions of which it is not known."""


class Expiry:
    """Holds a new partition until its place is known, and tells of what was deleted. One thread: the one that polls.

    `turn` raises ImagesExpired if that is asked for.
    """

    def __init__(
        self,
        inquire: Callable[[Collection[Partition]], Question],
        then: Literal["tell", "stop"],
        observe: Observe,
        clock: Callable[[], float],
    ) -> None:
        self._inquire = inquire
        self._then = then
        self._observe = observe
        self._clock = clock
        self._held: dict[Partition, float] = {}  # since when
        self._next: dict[Partition, int] = {}
        self._gaps: dict[Partition, list[range]] = {}  # unread offsets since the last question
        self._question: Question | None = None
        self._in_question: dict[Partition, list[range]] = {}
        self._ask_at_s = 0.0
        self._say_at_s = 0.0
        self._refusal = ""

    def next(self, partition: Partition) -> int:
        """Return where reading goes on in a partition that was let go."""
        return self._next[partition]

    @property
    def held(self) -> Collection[Partition]:
        """The partitions that may not flow yet."""
        return self._held.keys()

    @property
    def trouble(self) -> str:
        """Why nothing has been read of some partitions for long, empty where that is not so."""
        now_s = self._clock()
        long = sorted(
            (since, place.topic, place.index) for place, since in self._held.items() if now_s - since >= LONG_S
        )
        if not long:
            return ""
        named = ", ".join(f"{topic}/{index}" for _, topic, index in long[:NAMED]) + ", ..." * (len(long) > NAMED)
        said = self._refusal or "no answer"
        return (
            f"the brokers have not said for {now_s - long[0][0]:.0f} s where to begin in {named}, so it waits: {said}"
        )

    def take(self, partitions: Collection[Partition]) -> None:
        """Hold partitions that are ours from now on; an answer that is under way is older than that."""
        self.drop(partitions)
        self._held |= dict.fromkeys(partitions, self._clock())
        self._ask_at_s = 0.0

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions."""
        for partition in partitions:
            self._held.pop(partition, None)
            self._next.pop(partition, None)
        self._recall()
        self._gaps = {partition: gaps for partition, gaps in self._gaps.items() if partition not in partitions}

    def passed(self, records: Iterable[Record]) -> None:
        """Note records that were read, in their order."""
        for record in records:
            self.read(record.partition, record.offset)

    def read(self, partition: Partition, offset: int, *, records: int = 1) -> None:
        """Note that reading came to `offset`, where so many records are: one, or none at the end."""
        expected = self._next.get(partition, offset)
        if offset > expected:
            self._gaps.setdefault(partition, []).append(range(expected, offset))
        elif offset < expected:
            _tell_of_reset(partition, expected, offset)
        self._next[partition] = offset + records

    def turn(self) -> Collection[Partition]:
        """Take an answer that has come, and ask if there is something to ask; return the partitions that may flow."""
        released: set[Partition] = set()
        if self._question and self._question.done:
            found, self._refusal, self._question = self._question.found(), self._question.trouble, None
            released = {partition for partition in self._held if partition in found}
            self._settle(found, released)
        waits = self._held or self._gaps
        if waits and not self._question and self._clock() >= self._ask_at_s:
            self._ask_at_s = self._clock() + (AGAIN_S if self._held else EVERY_S)
            self._in_question, self._gaps = self._gaps, {}
            self._question = self._inquire(self._held.keys() | self._in_question.keys())
        self._say()
        return released

    def _say(self) -> None:
        if self._held and self._clock() >= self._say_at_s and (trouble := self.trouble):
            self._say_at_s = self._clock() + LONG_S
            _logger.warning("kafka: %s", trouble)

    def _settle(self, found: Mapping[Partition, Place], released: Collection[Partition]) -> None:
        gaps, self._in_question = self._in_question, {}
        lost: list[tuple[Partition, range]] = []
        for partition in released:
            del self._held[partition]
            committed, start = found[partition].committed, found[partition].start
            if committed is not None and committed > found[partition].end:
                _tell_of_reset(partition, committed, start)
                committed = start
            self._next[partition] = start if committed is None else max(committed, start)
            self._observe("sluice.records.expired", 0, _labels(partition))  # a series that begins at 0 shows its first
            lost.append((partition, range(start if committed is None else committed, start)))
        for partition, unread in gaps.items():
            if partition in found:
                start = found[partition].start
                lost += [(partition, range(gap.start, min(gap.stop, start))) for gap in unread]
            else:
                self._gaps[partition] = unread + self._gaps.get(partition, [])
        self._report([(partition, gone) for partition, gone in lost if gone])

    def _report(self, lost: Collection[tuple[Partition, range]]) -> None:
        for partition, gone in lost:
            self._observe("sluice.records.expired", len(gone), _labels(partition))
            log_event(
                "images_expired",
                topic=partition.topic, partition=partition.index, first=gone[0], last=gone[-1], count=len(gone),
            )  # fmt: skip
        if lost and self._then == "stop":
            said = ", ".join(f"{place.topic}/{place.index}: {gone[0]} to {gone[-1]}" for place, gone in lost)
            raise ImagesExpired(
                f"images were deleted before they were read ({said})",
                setting="kafka.expired_images",
                remedy="raise retention.ms of the topic, and set kafka.expired_images=tell to go on",
            )

    def _recall(self) -> None:
        """Ask again about what is asked now."""
        for partition, gaps in self._in_question.items():
            self._gaps[partition] = gaps + self._gaps.get(partition, [])
        self._in_question, self._question = {}, None


def _labels(partition: Partition) -> dict[str, str]:
    return {"topic": partition.topic, "partition": str(partition.index)}


def _tell_of_reset(partition: Partition, expected: int, found: int) -> None:
    log_event("position_reset", topic=partition.topic, partition=partition.index, expected=expected, found=found)
