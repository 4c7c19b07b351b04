"""The real loop and batcher in virtual time: a source, a road and a committer that take as long as they are told.

Nothing is waited for and nothing is noisy, so that rules of cutting batches can be compared to the millisecond. A
device judges one batch after the other; what comes before it (fetch, decode) is one queue, too, but at least a latency.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from random import Random

from sluice.core.records import Message, Partition, Record
from sluice.moderation.values import Judged, Judgement
from sluice.stream.batch import Batch
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.loop import Loop, Pace
from sluice.stream.outcome import Outcome
from tests.support.books import books
from tests.support.outcomes import judged

PARTITION = Partition("images", 0)
PATTERN = judged(Record(PARTITION, 0, 0, None, b""))
MAX_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Service:
    """How long things take, in milliseconds: a pass of n pictures `pass_ms + n * image_ms`, a commit `commit_ms`.

    `prepare_ms` is what a picture takes of all decoders together, `latency_ms` what a batch takes there at least.
    A `fixed` pass has the shape of the next power of two and takes as long as if it were full.
    """

    name: str
    pass_ms: float
    image_ms: float
    commit_ms: float
    prepare_ms: float = 0.0
    latency_ms: float = 0.0
    fixed: bool = False

    def scored_s(self, pictures: int) -> float:
        """Return the seconds of a pass."""
        shape = 1 << (pictures - 1).bit_length() if self.fixed else pictures
        return (self.pass_ms + self.image_ms * shape) / 1000

    def capacity(self, max_records: int) -> float:
        """Return the events a second of a device that is never without a full batch."""
        return max_records / self.scored_s(max_records)


@dataclass(slots=True)
class World:
    """Source, road and committer of one loop. `arrivals_s` are the moments at which records come, in order."""

    service: Service
    arrivals_s: Sequence[float]
    now_s: float = 0.0
    polled: int = 0
    busy_s: float = 0.0
    ages_s: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    commits: int = 0
    assignment: Collection[Partition] = (PARTITION,)
    _paused: bool = False
    _prepared_s: float = 0.0
    _free_s: float = 0.0
    _due: list[tuple[float, int, Future[Sequence[Outcome]], list[Judgement]]] = field(default_factory=list)
    _tickets: "count[int]" = field(default_factory=count)

    def advance(self, seconds: float) -> None:
        """Let time pass; what gets finished meanwhile is."""
        self.now_s += seconds
        while self._due and self._due[0][0] <= self.now_s:
            _, _, future, outcomes = heappop(self._due)
            future.set_result(outcomes)

    def subscribe(self, **_: object) -> None:
        """Join nothing."""

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return what has come, or wait for the next."""
        if self._paused or self.polled == len(self.arrivals_s):
            self.advance(timeout_s)
            return []
        wait_s = self.arrivals_s[self.polled] - self.now_s
        if wait_s > 0:
            self.advance(min(wait_s, timeout_s))
        records: list[Record] = []
        while (
            self.polled < len(self.arrivals_s) and self.arrivals_s[self.polled] <= self.now_s and len(records) < limit
        ):
            records.append(Record(PARTITION, self.polled, 0, None, b""))
            self.polled += 1
        return records

    def pause(self) -> None:
        """Let nothing come."""
        self._paused = True

    def resume(self) -> None:
        """Let come what does."""
        self._paused = False

    def group_metadata(self) -> None:
        """Return nothing: nobody looks inside."""

    def serve(self) -> None:
        """Nothing is reported here."""

    def close(self) -> None:
        """Leave nothing."""

    def launch(self, batch: Batch) -> Future[Sequence[Outcome]]:
        """Prepare the batch and queue it at the device."""
        size = len(batch.records)
        self._prepared_s = max(self._prepared_s, self.now_s) + size * self.service.prepare_ms / 1000
        ready_s = max(self._prepared_s, self.now_s + self.service.latency_ms / 1000)
        scored_s = self.service.scored_s(size)
        self._free_s = max(ready_s, self._free_s) + scored_s
        self.busy_s += scored_s
        self.batches.append(size)
        future: Future[Sequence[Outcome]] = Future()
        outcomes: list[Judgement] = [outcome(record) for record in batch.records]
        heappush(self._due, (self._free_s, next(self._tickets), future, outcomes))
        return future

    def commit(self, messages: Sequence[Message], *_: object) -> None:
        """Take the time of a commit and note how old each event then is."""
        self.advance(self.service.commit_ms / 1000)
        self.commits += 1
        self.ages_s += [self.now_s - self.arrivals_s[int(message.value)] for message in messages]


def outcome(record: Record) -> Judged:
    """Return the smallest outcome there is; its message names the offset."""
    return replace(PATTERN, record=record, messages=(Message("", b"", str(record.offset).encode()),))


def played(world: World, batcher: Batcher, pace: Pace) -> World:
    """Turn a loop until everything that comes has landed."""
    loop = Loop(
        source=world,
        committer=world,
        start_batch=world.launch,
        batcher=batcher,
        fuse=Fuse(1.0, 1000, 1000),
        pace=pace,
        clock=lambda: world.now_s,
        sleep=world.advance,
        metrics=books(),
    )
    while len(world.ages_s) < len(world.arrivals_s):
        loop.turn()
    return world


def poisson(rate: float, events: int, seed: int = 1) -> list[float]:
    """Return moments at which events come, independent of each other, `rate` a second."""
    rng, at_s, moments = Random(seed), 0.0, []
    for _ in range(events):
        at_s += rng.expovariate(rate)
        moments.append(at_s)
    return moments
