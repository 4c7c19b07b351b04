"""Poison: a record that kills the process, again at every start. Which one it is shows in what was in flight each time.

A record that was in flight when the process died is a suspect. Suspects of `deaths_before_alone` deaths travel one by
one, and one that is alone in flight in `deaths_alone` further deaths is guilty: it is rejected unseen. A process may
also be killed for other reasons than a record; that convicts no record unless it happens each time within the moments
in which the very same record is alone in flight.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sluice.core.errors import DeviceLost, Fatal, Poisonous
from sluice.core.log_events import log_event
from sluice.core.records import JournalEntry, OffsetRange, Partition, Record
from sluice.stream.batch import Batch
from sluice.stream.outcome import Outcome, next_offsets
from sluice.stream.ports import Journal


@dataclass(frozen=True, slots=True)
class Suspects:
    """Which records were in flight when the process died, and how often. A value, like the fuse.

    `ranges` are disjoint and in order.
    """

    deaths_before_alone: int
    deaths_alone: int
    ranges: tuple[OffsetRange, ...] = ()

    def alone(self, record: Record) -> bool:
        """Whether `record` must travel alone."""
        span = self._holding(record)
        return span is not None and span.deaths >= self.deaths_before_alone

    def rejection(self, record: Record) -> Poisonous | None:
        """Return why `record` is rejected unseen, None if it is not."""
        span = self._holding(record)
        if span is None or span.alone < self.deaths_alone:
            return None
        if span.deaths < self.deaths_before_alone + self.deaths_alone:
            return None
        return Poisonous(span.deaths, span.alone)

    def after_death(self, flying: Sequence[OffsetRange]) -> "Suspects":
        """Return the suspects after the process died with `flying` in flight."""
        return replace(self, ranges=tuple(_counted(self.ranges, flying)))

    def after(self, outcomes: Sequence[Outcome]) -> "Suspects":
        """Return the suspects once `outcomes` are committed: neither these nor the records before them are any more."""
        if not self.ranges:
            return self
        done = next_offsets(outcomes)
        left = (replace(span, first=max(span.first, done.get(span.partition, 0))) for span in self.ranges)
        return replace(self, ranges=tuple(span for span in left if span.first < span.end))

    def _holding(self, record: Record) -> OffsetRange | None:
        return next((s for s in self.ranges if s.partition == record.partition and s.covers(record.offset)), None)


NO_SUSPECTS = Suspects(1, 1)


def ranges_of(batches: Iterable[Batch]) -> tuple[OffsetRange, ...]:
    """Return where the records of `batches` stand in the log: a range for each partition of each batch."""
    return tuple(_range(batch, partition) for batch in batches for partition in sorted(batch.partitions))


def _range(batch: Batch, partition: Partition) -> OffsetRange:
    offsets = [record.offset for record in batch.records if record.partition == partition]
    return OffsetRange(partition, offsets[0], offsets[-1] + 1)


def _counted(known: Sequence[OffsetRange], flying: Sequence[OffsetRange]) -> Iterator[OffsetRange]:
    """Yield disjoint ranges: those of `known`, with a death more wherever one of `flying` lies."""
    alone = sum(span.end - span.first for span in flying) == 1
    old, new = _by_partition(known), _by_partition(flying)
    for partition in sorted({*old, *new}):
        before, after = old.get(partition, []), new.get(partition, [])
        known_at, flying_at = _covering(before), _covering(after)
        edges = sorted({edge for span in (*before, *after) for edge in (span.first, span.end)})
        for first, end in pairwise(edges):
            span, died = known_at(first) or OffsetRange(partition, first, end), flying_at(first) is not None
            if died or span.deaths:
                deaths, by_itself = span.deaths + died, span.alone + (died and alone)
                yield OffsetRange(partition, first, end, deaths, by_itself)


def _by_partition(spans: Iterable[OffsetRange]) -> dict[Partition, list[OffsetRange]]:
    found: dict[Partition, list[OffsetRange]] = {}
    for span in spans:
        found.setdefault(span.partition, []).append(span)
    return found


def _covering(spans: Iterable[OffsetRange]) -> Callable[[int], OffsetRange | None]:
    """Return what finds the range that an offset lies in, for offsets that only grow."""
    left = deque(sorted(spans, key=lambda span: span.first))

    def find(offset: int) -> OffsetRange | None:
        while left and left[0].end <= offset:
            left.popleft()
        return left[0] if left and left[0].covers(offset) else None

    return find


def _silent(_: JournalEntry) -> None:
    pass


@dataclass(slots=True)
class PoisonDetector:
    """Keeps the journal true to what is in flight, and the suspects to what is committed."""

    suspects: Suspects = NO_SUSPECTS
    journal: Journal = _silent
    _noted: tuple[tuple[Batch, ...], Suspects] | None = None

    @classmethod
    def resumed(cls, suspects: Suspects, last: JournalEntry, journal: Journal) -> "PoisonDetector":
        """Go on from the notes of the last life: with something on the road it did not leave, it died."""
        suspects = replace(suspects, ranges=last.suspects)
        if last.flying:
            suspects = suspects.after_death(last.flying)
            records = (f"{s.partition.topic}/{s.partition.index}/{s.first}..{s.end - 1}" for s in last.flying)
            log_event("died_in_flight", records=" ".join(records))
        watch = cls(suspects, journal)
        watch.note(())
        return watch

    def note(self, batches: tuple[Batch, ...]) -> None:
        """Write down what is in flight, if that has changed. Before it takes off: afterwards may be too late."""
        noted = (batches, self.suspects)
        if noted != self._noted:
            self._noted = noted
            self.journal(JournalEntry(ranges_of(batches), self.suspects.ranges))

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Suspect no longer what is committed."""
        self.suspects = self.suspects.after(outcomes)

    def leave(self, error: Fatal | None = None) -> None:
        """Write down that nothing is on the road, and nothing further: how this life ends is no record's doing.

        Only a lost device may be: its errors stick, so it ends the process, whatever caused them.
        """
        if not isinstance(error, DeviceLost):
            self.note(())
            self.journal = _silent
