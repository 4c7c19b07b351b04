"""The loop: poll, cut, launch, land from the head. One thread owns it, and with it both Kafka handles.

- Back-pressure is the length of one deque of flights: full means pause and keep polling, not full means resume.
- Batches grow with the load: what waits is cut at once while the lane would run short, else only full batches are.
- Order per partition is kept because only the head lands.
- A landing is one transaction: every message and offset of all finished flights at the head, or nothing.
- Retry is the next turn: a flight leaves the deque only after its commit.
- A rebalance is a set: revoked partitions go into `flight.lost`, and landing skips their records.
- What is on the road stands in a journal before it takes off: records that were there whenever the process died
  travel alone, one flight at a time.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from itertools import takewhile

from sluice.core.batcher import Batcher
from sluice.core.books import Books
from sluice.core.deadletter import Fuse
from sluice.core.domain import Batch, FillReason, Flight, Partition, Record
from sluice.core.errors import Fatal
from sluice.core.landing import Landing
from sluice.core.outage import Outage
from sluice.core.poison import Watch
from sluice.core.pressure import Pressure
from sluice.core.seams import Committer, Road, Source


@dataclass(frozen=True, slots=True)
class Pace:
    """How many flights there are, and how the loop waits, in seconds.

    `ahead`: with fewer flights unfinished than this, a partial batch takes off. Two: one is scored, one is decoded
    meanwhile, so the lane never waits; a third would only be smaller for it (`python -m tests.bench batching`).
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
    """Moves records from a source through a road to a committer, exactly once."""

    source: Source
    committer: Committer
    road: Road
    batcher: Batcher
    fuse: InitVar[Fuse]
    pace: Pace
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    books: Books
    each_turn: Callable[[], None] = lambda: None
    watch: Watch = field(default_factory=Watch)
    flights: deque[Flight] = field(default_factory=deque)
    pressure: Pressure = field(init=False)
    outage: Outage = field(init=False)
    landing: Landing = field(init=False)

    def __post_init__(self, fuse: Fuse) -> None:
        self.pressure = Pressure(self.source, self.pace.full_grace_s, self.clock, self.books.observe)
        self.outage = Outage(self.pace.retry_pause_s, self.clock, self.books.observe)
        self.landing = Landing(self.source, self.committer, fuse, self.books)

    def run(self, stopping: Callable[[], bool]) -> int:
        """Turn until `stopping` says so, then drain; return how many flights were left behind.

        Raises Fatal errors as they come. Afterwards nothing lands any more: leaving the group revokes partitions, and
        a fenced member that committed once more would open a producer and fence its successor.
        """
        self.source.subscribe(on_assign=self.books.assigned, on_revoke=self._revoke, on_lost=self._lose)
        try:
            while not stopping():
                self.turn()
            self.drain()
            return len(self.flights)
        except Fatal as error:
            self.watch.leave(error)
            raise
        finally:
            self.flights.clear()

    def turn(self) -> None:
        """Do each of the loop's duties once; never blocks for longer than a poll or a transaction."""
        self.each_turn()
        self._fill()
        self._note()
        self._land()
        self._retry()
        self.books.turn(self._waiting)

    def drain(self) -> None:
        """Land what is in flight, within the drain timeout; what was only polled goes to the next owner."""
        self.watch.leave()
        self.source.pause()
        deadline = self.clock() + self.pace.drain_timeout_s
        while self.flights and self.clock() < deadline:
            self.each_turn()
            with self.books.time.during("poll"):
                self.source.poll(1, self.pace.busy_poll_s)
            self._land()
            self._retry()
            self.books.turn(self._waiting)

    @property
    def _full(self) -> bool:
        """Whether no further flight may start; a suspect waits until it is alone, and then nobody joins it."""
        return bool(self.flights) and (
            len(self.flights) >= self.pace.max_flights
            or self.flights[-1].batch.reason is FillReason.ALONE
            or self.batcher.alone(self.watch.suspects)
        )

    def _fill(self) -> None:
        """Launch what comes; of a backlog as much as there is room for, since the landing after it may take long."""
        while self._poll() and not self._full:
            self._launch()
        self._launch()

    def _poll(self) -> bool:
        """Poll once, if the deque lets us; return whether a whole batch came, so that more may be there at once."""
        full, busy = self._full and self.batcher.full, bool(self.flights or self.batcher)
        with self.books.time.during("backpressure" if full else "poll" if busy else "idle"):
            if not self.pressure.polls(full=full):
                self.sleep(self.pace.busy_poll_s)
                return False
            started = self.clock()
            records = self.source.poll(
                self.batcher.max_records, self.pace.busy_poll_s if busy else self.pace.idle_poll_s
            )
        self.books.polled(records, self.clock() - started)
        self.batcher.add(records)
        return len(records) == self.batcher.max_records

    def _launch(self) -> None:
        while not self._full and (batch := self._cut()):
            self._note(batch)
            self.flights.append(Flight(batch, self.road(batch)))
            self.books.observe("sluice.batch.records", len(batch.records), {"reason": batch.reason})
        self.books.observe("sluice.flights", len(self.flights), {})

    def _cut(self) -> Batch | None:
        unfinished = sum(not flight.finished for flight in self.flights)
        return self.batcher.cut(self.clock(), self.watch.suspects, greedy=unfinished < self.pace.ahead)

    def _note(self, *launching: Batch) -> None:
        self.watch.note((*(flight.batch for flight in self.flights if not flight.outcomes.done()), *launching))

    def _land(self) -> None:
        """Commit all finished flights at the head in one transaction; on an abort they stay for the next turn."""
        finished = list(takewhile(lambda flight: flight.finished, self.flights))
        if not finished:
            return
        outcomes = [outcome for flight in finished for outcome in flight.ours]
        if outcomes and not self.landing.done(outcomes):
            return
        self.watch.landed(outcomes)
        for _ in finished:
            self.flights.popleft()

    def _retry(self) -> None:
        """Launch again the flights that a dependency stopped, once the pause is over."""
        held = self.outage.over(self.flights)
        if held:
            self._note(*(flight.batch for flight in held))
        for flight in held:
            flight.outcomes = self.road(flight.batch)

    def _waiting(self) -> Iterator[Record]:
        """Yield what was polled and has not landed, in the log's order."""
        for flight in self.flights:
            yield from flight.waiting
        yield from self.batcher

    def _revoke(self, partitions: frozenset[Partition]) -> None:
        self._land()
        self._give_up(partitions, "revoked")

    def _lose(self, partitions: frozenset[Partition]) -> None:
        self._give_up(partitions, "lost")

    def _give_up(self, partitions: frozenset[Partition], kind: str) -> None:
        self.books.gone(partitions, kind)
        self.batcher.drop(partitions)
        for flight in self.flights:
            flight.lost |= partitions
