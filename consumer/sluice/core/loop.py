"""The loop: poll, cut, launch, land from the head. One thread owns it, and with it both Kafka handles.

- Back-pressure is the length of one deque of flights: full means pause and keep polling, not full means resume.
- Order per partition is kept because only the head lands.
- A landing is one transaction: every message and offset of all finished flights at the head, or nothing.
- Retry is the next turn: a flight leaves the deque only after its commit.
- A rebalance is a set: revoked partitions go into `flight.lost`, and landing skips their records.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice.core.batcher import Batcher
from sluice.core.deadletter import Fuse
from sluice.core.domain import Flight, Outcome, Partition, Rejected
from sluice.core.errors import DependencyDown, TransactionAborted
from sluice.core.seams import Committer, Observe, Road, Source

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How the loop waits, in seconds.

    `full_grace_s`: a deque full for less than this does not pause, because pausing makes librdkafka throw its
    prefetched messages away. Not polling for so short a time is far below every Kafka timeout.
    """

    max_flights: int
    drain_timeout_s: float
    retry_pause_s: float
    idle_poll_s: float = 0.1
    busy_poll_s: float = 0.005
    full_grace_s: float = 0.25


@dataclass(slots=True)
class Loop:
    """Moves records from a source through a road to a committer, exactly once."""

    source: Source
    committer: Committer
    road: Road
    batcher: Batcher
    fuse: Fuse
    pace: Pace
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    observe: Observe
    each_turn: Callable[[], None] = lambda: None
    flights: deque[Flight] = field(default_factory=deque)
    _full_since: float | None = None
    _retry_at: float = 0.0

    def run(self, stopping: Callable[[], bool]) -> int:
        """Turn until `stopping` says so, then drain; return how many flights were left behind.

        Raises Fatal errors as they come. Afterwards nothing lands any more: leaving the group revokes partitions, and
        a fenced member that committed once more would open a producer and fence its successor.
        """
        self.source.subscribe(on_revoke=self._revoke, on_lost=self._lose)
        try:
            while not stopping():
                self.turn()
            self.drain()
            return len(self.flights)
        finally:
            self.flights.clear()

    def turn(self) -> None:
        """Do each of the loop's duties once; never blocks for longer than a poll or a transaction."""
        self.each_turn()
        self._poll()
        self._launch()
        self._land()
        self._retry()

    def drain(self) -> None:
        """Land what is in flight, within the drain timeout; what was only polled goes to the next owner."""
        self.source.pause()
        deadline = self.clock() + self.pace.drain_timeout_s
        while self.flights and self.clock() < deadline:
            self.each_turn()
            self.source.poll(1, self.pace.busy_poll_s)
            self._land()
            self._retry()

    @property
    def _full(self) -> bool:
        return len(self.flights) >= self.pace.max_flights

    def _poll(self) -> None:
        if not self._flow():
            self.sleep(self.pace.busy_poll_s)
            return
        wait_s = self.pace.busy_poll_s if self.flights or self.batcher else self.pace.idle_poll_s
        records = self.source.poll(self.batcher.max_records, wait_s)
        self.batcher.add(records, self.clock())
        if records:
            self.observe("records.polled", len(records), {})

    def _flow(self) -> bool:
        """Pause or resume as the deque asks; return whether to poll, which waits only while full for a moment."""
        if not (self._full and self.batcher.full):
            if self._full_since is not None:
                self._full_since = None
                self.source.resume()
                self.observe("paused", 0, {})
            return True
        now = self.clock()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < self.pace.full_grace_s:
            return False
        self.source.pause()
        self.observe("paused", 1, {})
        return True

    def _launch(self) -> None:
        while not self._full and (batch := self.batcher.cut(self.clock())):
            self.flights.append(Flight(batch, self.road(batch)))
            self.observe("batch.records", len(batch.records), {"reason": batch.reason})
        self.observe("flights", len(self.flights), {})

    def _land(self) -> None:
        """Commit all finished flights at the head in one transaction; on an abort they stay for the next turn."""
        landing: list[Flight] = []
        outcomes: list[Outcome] = []
        for flight in self.flights:
            down = _down(flight)
            if not flight.outcomes.done() or (down and not flight.gone):
                break
            landing.append(flight)
            if not down:
                outcomes += [o for o in flight.outcomes.result() if o.record.partition not in flight.lost]
        if not landing:
            return
        fuse = self.fuse.after(outcomes)
        started = self.clock()
        if outcomes:
            offsets = {outcome.record.partition: outcome.record.next_offset for outcome in outcomes}
            messages = [message for outcome in outcomes for message in outcome.messages]
            try:
                self.committer.commit(messages, offsets, self.source.group_metadata())
            except TransactionAborted:
                self.observe("transactions.aborted", 1, {})
                return
        self.fuse = fuse
        for _ in landing:
            self.flights.popleft()
        self.observe("landing.seconds", self.clock() - started, {})
        self._count(outcomes)

    def _retry(self) -> None:
        """Launch again the flights that a dependency stopped, once the pause is over."""
        down = [(flight, error) for flight in self.flights if (error := _down(flight)) and not flight.gone]
        now = self.clock()
        if not down:
            self._retry_at = 0.0
        elif not self._retry_at:
            error = down[0][1]
            self._retry_at = now + self.pace.retry_pause_s
            self.observe("dependency.down", 1, {"dependency": error.dependency})
            _logger.warning("%s; trying again in %g s, records wait", error, self.pace.retry_pause_s)
        elif now >= self._retry_at:
            self._retry_at = 0.0
            for flight, _ in down:
                flight.outcomes = self.road(flight.batch)

    def _revoke(self, partitions: frozenset[Partition]) -> None:
        self._land()
        self._lose(partitions)

    def _lose(self, partitions: frozenset[Partition]) -> None:
        self.observe("rebalances", 1, {})
        self.batcher.drop(partitions)
        for flight in self.flights:
            flight.lost |= partitions

    def _count(self, outcomes: list[Outcome]) -> None:
        for status, count in Counter(outcome.verdict.status for outcome in outcomes).items():
            self.observe("verdicts", count, {"status": status})
        ages = [o.verdict.produced_at - o.verdict.source.timestamp for o in outcomes if o.verdict.source.timestamp]
        if ages:
            self.observe("event_age.seconds", max(ages).total_seconds(), {})
        rejected = (outcome.verdict for outcome in outcomes if isinstance(outcome, Rejected))
        for reason, count in Counter(verdict.indeterminate_reason or "" for verdict in rejected).items():
            self.observe("dead_letters", count, {"reason": reason})


def _down(flight: Flight) -> DependencyDown | None:
    """Return what stopped the flight, if a dependency did."""
    error = flight.outcomes.exception() if flight.outcomes.done() else None
    return error if isinstance(error, DependencyDown) else None
