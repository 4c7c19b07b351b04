"""Poison: a record that kills the process, again at every start. Which one it is shows in what was in flight each time.

Whoever was in flight when the process died is a suspect. Suspects of `deaths_before_alone` deaths travel one by one,
and one that is alone in flight in `deaths_alone` further deaths is guilty: it is rejected unseen. A process may also
be killed by somebody who means no record in particular; that convicts nobody unless it happens each time within the
moments in which the very same record is alone in flight.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sluice.core.domain import Batch, Notes, Outcome, Partition, Record, Span, next_offsets
from sluice.core.errors import DeviceLost, Fatal, Poisonous
from sluice.core.events import tell
from sluice.core.seams import Journal


@dataclass(frozen=True, slots=True)
class Suspects:
    """Which records were in flight when the process died, and how often. A value, like the fuse.

    `spans` are disjoint and in order.
    """

    deaths_before_alone: int
    deaths_alone: int
    spans: tuple[Span, ...] = ()

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

    def after_death(self, flying: Sequence[Span]) -> "Suspects":
        """Return the suspects after the process died with `flying` in flight."""
        return replace(self, spans=tuple(_counted(self.spans, flying)))

    def after(self, outcomes: Sequence[Outcome]) -> "Suspects":
        """Return the suspects once `outcomes` have landed: whoever landed is none any more, nor is who came before."""
        if not self.spans:
            return self
        done = next_offsets(outcomes)
        left = (replace(span, first=max(span.first, done.get(span.partition, 0))) for span in self.spans)
        return replace(self, spans=tuple(span for span in left if span.first < span.end))

    def _holding(self, record: Record) -> Span | None:
        return next((s for s in self.spans if s.partition == record.partition and s.covers(record.offset)), None)


NOBODY = Suspects(1, 1)


def spans_of(batches: Iterable[Batch]) -> tuple[Span, ...]:
    """Return where the records of `batches` stand in the log: a span for each partition of each batch."""
    return tuple(_span(batch, partition) for batch in batches for partition in sorted(batch.partitions))


def _span(batch: Batch, partition: Partition) -> Span:
    offsets = [record.offset for record in batch.records if record.partition == partition]
    return Span(partition, offsets[0], offsets[-1] + 1)


def _counted(known: Sequence[Span], flying: Sequence[Span]) -> Iterator[Span]:
    """Yield disjoint spans: those of `known`, with a death more wherever one of `flying` lies."""
    alone = sum(span.end - span.first for span in flying) == 1
    old, new = _by_partition(known), _by_partition(flying)
    for partition in sorted({*old, *new}):
        before, after = old.get(partition, []), new.get(partition, [])
        known_at, flying_at = _covering(before), _covering(after)
        edges = sorted({edge for span in (*before, *after) for edge in (span.first, span.end)})
        for first, end in pairwise(edges):
            span, died = known_at(first) or Span(partition, first, end), flying_at(first) is not None
            if died or span.deaths:
                deaths, by_itself = span.deaths + died, span.alone + (died and alone)
                yield Span(partition, first, end, deaths, by_itself)


def _by_partition(spans: Iterable[Span]) -> dict[Partition, list[Span]]:
    found: dict[Partition, list[Span]] = {}
    for span in spans:
        found.setdefault(span.partition, []).append(span)
    return found


def _covering(spans: Iterable[Span]) -> Callable[[int], Span | None]:
    """Return what finds the span that an offset lies in, for offsets that only grow."""
    left = deque(sorted(spans, key=lambda span: span.first))

    def find(offset: int) -> Span | None:
        while left and left[0].end <= offset:
            left.popleft()
        return left[0] if left and left[0].covers(offset) else None

    return find


def _silent(_: Notes) -> None:
    pass


@dataclass(slots=True)
class Watch:
    """Keeps the journal true to what is on the road, and the suspects to what has landed."""

    suspects: Suspects = NOBODY
    journal: Journal = _silent
    _noted: tuple[tuple[Batch, ...], Suspects] | None = None

    @classmethod
    def resumed(cls, suspects: Suspects, last: Notes, journal: Journal) -> "Watch":
        """Go on from the notes of the last life: with something on the road it did not leave, it died."""
        suspects = replace(suspects, spans=last.suspects)
        if last.flying:
            suspects = suspects.after_death(last.flying)
            records = (f"{s.partition.topic}/{s.partition.index}/{s.first}..{s.end - 1}" for s in last.flying)
            tell("died_in_flight", records=" ".join(records))
        watch = cls(suspects, journal)
        watch.note(())
        return watch

    def note(self, batches: tuple[Batch, ...]) -> None:
        """Write down what is on the road, if that has changed. Before it takes off: afterwards may be too late."""
        noted = (batches, self.suspects)
        if noted != self._noted:
            self._noted = noted
            self.journal(Notes(spans_of(batches), self.suspects.spans))

    def landed(self, outcomes: Sequence[Outcome]) -> None:
        """Suspect what has landed no more."""
        self.suspects = self.suspects.after(outcomes)

    def leave(self, error: Fatal | None = None) -> None:
        """Write down that nothing is on the road, and nothing further: how this life ends is no record's doing.

        Only a lost device may be: its errors stick, so it ends the process whoever brought them about.
        """
        if not isinstance(error, DeviceLost):
            self.note(())
            self.journal = _silent
