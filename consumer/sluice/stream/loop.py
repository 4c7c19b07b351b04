"""The loop: poll, cut, launch, commit from the head. One thread owns it, and with it both Kafka handles.

- Back-pressure is the length of one deque of flights: full means pause and keep polling, not full means resume.
- Batches grow with the load: what waits is cut at once while the models would run short, else only full batches are.
- Order per partition is kept because only the head of the deque commits.
- A commit is one transaction: every message and offset of all finished flights at the head, or nothing.
- Retry is the next turn: a flight leaves the deque only after its commit.
- A rebalance is a set: revoked partitions go into `flight.lost`, and a commit skips their records.
- What is in flight stands in a journal before it is launched: records that were in flight whenever the process died
  travel alone, one flight at a time.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from sluice.core.errors import Fatal, TooManyDeadLetters, TransactionAborted
from sluice.core.log_events import log_event
from sluice.core.records import Partition, Record
from sluice.stream.batch import Batch, FillReason, Flight
from sluice.stream.batcher import Batcher
from sluice.stream.flow_control import Backpressure, RetryTimer
from sluice.stream.fuse import Fuse
from sluice.stream.loop_metrics import LoopMetrics
from sluice.stream.outcome import Outcome, next_offsets
from sluice.stream.poison import PoisonDetector
from sluice.stream.ports import Committer, Duty, Launch, Source


@dataclass(frozen=True, slots=True)
class Pace:
    """How many flights there are, and how the loop waits, in seconds.

    `ahead`: with fewer flights unfinished than this, a partial batch is launched. Two: one is scored, one is decoded
    meanwhile, so the models never wait; a third would only be smaller for it (`python -m tests.bench batching`).
    `full_grace_s`: a deque full for less than this does not pause.
    """

    max_flights: int
    drain_timeout_s: float
    retry_pause_s: float
    idle_poll_s: float = 0.1
    busy_poll_s: float = 0.005
    ahead: int = 2
    full_grace_s: float = 0.25


@dataclass(slots=True)
class Loop:
    """Moves records from a source, through what is launched, to a committer, exactly once."""

    source: Source
    committer: Committer
    start_batch: Launch
    batcher: Batcher
    fuse: Fuse
    pace: Pace
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    metrics: LoopMetrics
    duties: Sequence[Duty] = ()
    poison: PoisonDetector = field(default_factory=PoisonDetector)
    flights: deque[Flight] = field(default_factory=deque)
    backpressure: Backpressure = field(init=False)
    retries: RetryTimer = field(init=False)

    def __post_init__(self) -> None:
        self.backpressure = Backpressure(self.source, self.pace.full_grace_s, self.clock, self.metrics.observe)
        self.retries = RetryTimer(self.pace.retry_pause_s, self.clock, self.metrics.observe)
        self.metrics.observe("sluice.fuse.level", 0, {})

    def run(self, stopping: Callable[[], bool]) -> int:
        """Turn until `stopping` says so, then drain; return how many flights were left behind.

        Raises Fatal errors as they come. Afterwards nothing is committed any more: leaving the group revokes
        partitions, and a fenced member that committed once more would open a producer and fence its successor.
        """
        self.source.subscribe(on_assign=self.metrics.assigned, on_revoke=self._revoke, on_lost=self._lose)
        try:
            while not stopping():
                self.turn()
            self.drain()
            return len(self.flights)
        except Fatal as error:
            self.poison.leave(error)
            raise
        finally:
            self.flights.clear()

    def turn(self) -> None:
        """Do everything once; never blocks for longer than a poll or a transaction."""
        self._serve()
        self._fill()
        self._write_journal()
        self._commit_finished()
        self._retry()
        self.metrics.turn(self._waiting)

    def drain(self) -> None:
        """Commit what is in flight, within the drain timeout; what was only polled goes to the next owner."""
        self.poison.leave()
        self.source.pause()
        deadline = self.clock() + self.pace.drain_timeout_s
        while self.flights and self.clock() < deadline:
            self._serve()
            with self.metrics.time.during("poll"):
                self.source.poll(1, self.pace.busy_poll_s)
            self._commit_finished()
            self._retry()
            self.metrics.turn(self._waiting)

    def _serve(self) -> None:
        self.committer.serve()
        for duty in self.duties:
            duty.run()

    # Poll and launch

    def _fill(self) -> None:
        """Launch what comes; of a backlog as much as there is room for, since the commit after it may take long."""
        while self._poll() and not self._full:
            self._launch()
        self._launch()

    def _poll(self) -> bool:
        """Poll once if there is room; return whether a whole batch came, so that more may be there at once."""
        full, busy = self._full and self.batcher.full, bool(self.flights or self.batcher)
        self.backpressure.update(full=full)
        with self.metrics.time.during("backpressure" if full else "poll" if busy else "idle"):
            if self.backpressure.waiting:
                self.sleep(self.pace.busy_poll_s)
                return False
            started = self.clock()
            timeout_s = self.pace.busy_poll_s if busy else self.pace.idle_poll_s
            records = self.source.poll(self.batcher.max_records, timeout_s)
        self.metrics.polled(records, self.clock() - started)
        self.batcher.add(records)
        return len(records) == self.batcher.max_records

    @property
    def _full(self) -> bool:
        """Whether no further flight may start; a suspect waits until it is alone, and then no other joins it."""
        return bool(self.flights) and (
            len(self.flights) >= self.pace.max_flights
            or self.flights[-1].batch.reason is FillReason.ALONE
            or self.batcher.alone(self.poison.suspects)
        )

    def _launch(self) -> None:
        while not self._full and (batch := self._cut()):
            self._write_journal(batch)
            self.flights.append(Flight(batch, self.start_batch(batch)))
            self.metrics.observe("sluice.batch.records", len(batch.records), {"reason": batch.reason})
        self.metrics.observe("sluice.flights", len(self.flights), {})

    def _cut(self) -> Batch | None:
        unfinished = sum(not flight.finished for flight in self.flights)
        return self.batcher.cut(self.clock(), self.poison.suspects, greedy=unfinished < self.pace.ahead)

    def _write_journal(self, *launching: Batch) -> None:
        self.poison.note((*(flight.batch for flight in self.flights if not flight.outcomes.done()), *launching))

    # Commit

    def _commit_finished(self) -> None:
        """Commit all finished flights at the head; after an aborted transaction they stay for the next turn."""
        finished = list(takewhile(lambda flight: flight.finished, self.flights))
        outcomes = [outcome for flight in finished for outcome in flight.ours]
        try:
            if outcomes:
                self._commit(outcomes)
        except TransactionAborted as error:
            self.metrics.observe("sluice.transactions.aborted", 1, {})
            log_event("transaction_aborted", error=str(error))
            return
        for _ in finished:
            self.flights.popleft()

    def _commit(self, outcomes: Sequence[Outcome]) -> None:
        """Publish `outcomes` and commit their offsets, in one transaction.

        Raises TransactionAborted when neither happened, TooManyDeadLetters before anything is published, Fatal errors
        as they come.
        """
        fuse = self._fuse_after(outcomes)
        messages = [message for outcome in outcomes for message in outcome.messages]
        started = self.clock()
        with self.metrics.time.during("commit"):
            self.committer.commit(messages, next_offsets(outcomes), self.source.group_metadata())
        self.fuse = fuse
        self.poison.committed(outcomes)
        self.metrics.committed(outcomes, messages, self.clock() - started)

    def _fuse_after(self, outcomes: Sequence[Outcome]) -> Fuse:
        try:
            fuse = self.fuse.after(outcomes)
        except TooManyDeadLetters:
            self.metrics.observe("sluice.fuse.level", 1, {})
            raise
        self.metrics.observe("sluice.fuse.level", fuse.level(self.source.assignment), {})
        return fuse

    def _retry(self) -> None:
        """Launch again the flights that a dependency stopped, once the pause is over."""
        due = self.retries.take_due(self.flights)
        if due:
            self._write_journal(*(flight.batch for flight in due))
        for flight in due:
            flight.outcomes = self.start_batch(flight.batch)

    def _waiting(self) -> Iterator[Record]:
        """Yield what was polled and is not committed, in the log's order."""
        for flight in self.flights:
            yield from flight.waiting
        yield from self.batcher

    # Rebalances; called within `poll`

    def _revoke(self, partitions: frozenset[Partition]) -> None:
        self._commit_finished()
        self.metrics.gone(partitions, "revoked")
        self._give_up(partitions)

    def _lose(self, partitions: frozenset[Partition]) -> None:
        self.metrics.gone(partitions, "lost")
        self._give_up(partitions)

    def _give_up(self, partitions: frozenset[Partition]) -> None:
        self.batcher.drop(partitions)
        for flight in self.flights:
            flight.lost |= partitions
