"""What waits: how many records of each partition have no committed verdict, for how long, and when none will.

Lag is the end of the partition less the first offset that is not settled. Settled is what we committed, what was
committed before we came, and what is no record: a transactional producer's commit markers take offsets of their own,
so an end that is past the last record by a marker is no lag once reading has come there.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import nan

from sluice.core.metrics import Observe
from sluice.core.records import Partition, Record
from sluice.stream.outcome import Outcome
from sluice.stream.ports import AskEnds, PartitionEnd

NEVER_S = 604_800.0
"""A week stands for never: OpenTelemetry takes no infinity."""

_EVERY_S = 1.0
_WINDOW_S = 60.0
_SOONEST_S = 10.0  # lag is heard of now and then, and steps


@dataclass(slots=True)
class _Ours:
    """What is known of a partition of ours; times are seconds since the epoch.

    Whatever waits in it unread came after `since_s`, when it was ours at last or was last seen with nothing waiting.
    """

    since_s: float
    committed: Record | None = None
    emptied: bool = False

    def older_s(self) -> float:
        """Return when the oldest record that waits unread was made, or a moment before."""
        if self.committed is None or self.committed.timestamp_ms < 0:
            return self.since_s
        committed_s = self.committed.timestamp_ms / 1000
        return max(committed_s, self.since_s) if self.emptied else committed_s


@dataclass(slots=True)
class _Seen:
    """The records of a partition that were polled and are not committed: the first, and the offset where they end."""

    first: Record
    end: int


@dataclass(slots=True)
class LagReporter:
    """Reports lag by partition. `clock` is monotonic, `now_s` the calendar's, both in seconds."""

    ask_ends: AskEnds
    group: str
    observe: Observe
    clock: Callable[[], float]
    now_s: Callable[[], float]
    _ours: dict[Partition, _Ours] = field(default_factory=dict)
    _history: deque[tuple[float, int]] = field(default_factory=deque)
    """The sum of all lag over the last minute, oldest first."""
    _look_at_s: float = 0.0

    def add(self, partitions: Collection[Partition]) -> None:
        """Report `partitions` from now on."""
        self._ours |= {partition: _Ours(self.now_s()) for partition in partitions}
        self._changed()

    def drop(self, partitions: Collection[Partition]) -> None:
        """Tell of `partitions` no more: they are another member's, and a last value would be a lie for ever."""
        for partition in partitions:
            self._ours.pop(partition, None)
            self._observe(partition, nan, nan)
        self._changed()

    def committed(self, outcomes: Iterable[Outcome]) -> None:
        """Note what is committed, in its order."""
        for partition, record in {outcome.record.partition: outcome.record for outcome in outcomes}.items():
            if ours := self._ours.get(partition):
                ours.committed = record

    def report(self, waiting: Callable[[], Iterable[Record]]) -> None:
        """Report, if it is time to. `waiting` yields what was polled and is not committed, in its order."""
        if self.clock() < self._look_at_s:
            return
        self._look_at_s = self.clock() + _EVERY_S
        seen, ends = _seen(waiting()), self.ask_ends(self._ours)
        lags = [
            lag
            for partition, ours in self._ours.items()
            if (lag := self._one(partition, ours, ends.get(partition), seen.get(partition))) is not None
        ]
        if len(lags) == len(self._ours):  # a sum over some of them would seem to grow when the others are known
            self.observe("sluice.lag.drain_time", self._drain_s(sum(lags)), {})

    def _one(self, partition: Partition, ours: _Ours, end: PartitionEnd | None, seen: _Seen | None) -> int | None:
        """Tell of one partition; return its lag, None while that is unknown."""
        lag, now_s = _lag(end, seen, ours.committed), self.now_s()
        if lag is None:
            return None
        if lag == 0:
            ours.since_s, ours.emptied = now_s, True
        timed = seen is not None and seen.first.timestamp_ms >= 0
        oldest_s = seen.first.timestamp_ms / 1000 if seen and timed else ours.older_s()
        self._observe(partition, lag, max(0.0, now_s - oldest_s) if lag else 0.0)
        return lag

    def _changed(self) -> None:
        self._history.clear()  # lag that came or went with a partition neither arrived nor landed
        self._look_at_s = 0.0
        self.observe("sluice.partitions.assigned", len(self._ours), {})
        self.observe("sluice.lag.drain_time", nan, {})

    def _observe(self, partition: Partition, lag: float, age_s: float) -> None:
        place = {"topic": partition.topic, "partition": str(partition.index)}
        self.observe("kafka.consumer_group.lag", lag, {**place, "group": self.group})
        self.observe("sluice.lag.age", age_s, place)

    def _drain_s(self, lag: int) -> float:
        """Return the seconds until nothing waits, if lag shrinks on as in the last minute; NaN if it is too early."""
        now = self.clock()
        self._history.append((now, lag))
        while now - self._history[0][0] > _WINDOW_S:
            self._history.popleft()
        then, before = self._history[0]
        if not lag:
            return 0.0
        if now - then < _SOONEST_S:
            return nan
        return min(NEVER_S, lag * (now - then) / (before - lag)) if before > lag else NEVER_S


def _seen(waiting: Iterable[Record]) -> Mapping[Partition, _Seen]:
    seen: dict[Partition, _Seen] = {}
    for record in waiting:
        span = seen.setdefault(record.partition, _Seen(record, 0))
        span.end = record.next_offset
    return seen


def _lag(end: PartitionEnd | None, seen: _Seen | None, committed: Record | None) -> int | None:
    """Return how many records wait; None while no broker has said how far the partition reaches, or where we began."""
    if end is None:
        return None
    if seen:
        return max(end.end, seen.end) - seen.first.offset
    known = [end.settled] if end.settled is not None else []
    known += [committed.next_offset] if committed else []
    return max(0, end.end - max(known)) if known else None
