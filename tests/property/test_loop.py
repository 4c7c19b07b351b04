"""The loop against a transactional broker in memory, over thousands of random schedules.

A schedule moves partitions, evicts members, aborts and crashes transactions, takes dependencies down, and finishes
flights in any order. Whatever happens: every record exactly once, in order per partition, and its offset with it.
"""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from sluice.core.batcher import Batcher
from sluice.core.deadletter import Fuse
from sluice.core.domain import Batch, Outcome, Partition
from sluice.core.errors import DependencyDown, Fenced
from sluice.core.loop import Loop, Pace
from tests.support.fake_bus import FakeCluster, Fate
from tests.support.outcomes import VERDICTS, judged, rejected

SEEDS = 3_000
SHARDS = 10
LoopType = type[Loop]


class World:
    """Some members on one cluster, driven by one seed; members that die are replaced, as a supervisor would."""

    def __init__(self, seed: int, loop_type: LoopType = Loop) -> None:
        self.rng = random.Random(seed)
        self.loop_type = loop_type
        self.cluster = FakeCluster(self.rng.randint(1, 4), self.rng)
        self.cluster.fate = self._fate
        self.calm = False
        self.now = 0.0
        self.pending: list[tuple[Batch, Future[list[Outcome]]]] = []
        self.members = {f"m{index}": self._start(f"m{index}") for index in range(self.rng.randint(1, 3))}

    def run(self, turns: int) -> None:
        """Play the random part, then let everything settle."""
        for _ in range(turns):
            self._step()
        self.calm = True
        for _ in range(400):
            self._finish_all()
            for name in list(self.members):
                self._turn(name)
            if self.done:
                return
        raise AssertionError("the world does not come to rest")

    @property
    def done(self) -> bool:
        ends = {p: self.cluster.end_offset(p) for p in self.cluster.partitions}
        return all((self.cluster.committed_offset(p) or 0) == end for p, end in ends.items())

    def _start(self, name: str) -> Loop:
        loop = self.loop_type(
            source=self.cluster.join(name),
            committer=self.cluster.producer(name),
            road=self._road,
            batcher=Batcher(max_records=self.rng.randint(1, 5), max_bytes=1_000, max_age_s=0.5),
            fuse=Fuse(1.0, 10_000, 10_000),
            pace=Pace(max_flights=self.rng.randint(1, 4), drain_timeout_s=5.0, retry_pause_s=1.0),
            clock=lambda: self.now,
            sleep=lambda _: None,
            observe=lambda *_: None,
        )
        loop.source.subscribe(on_revoke=loop._revoke, on_lost=loop._lose)
        return loop

    def _road(self, batch: Batch) -> Future[list[Outcome]]:
        outcomes: Future[list[Outcome]] = Future()
        self.pending.append((batch, outcomes))
        return outcomes

    def _fate(self) -> Fate:
        if self.calm:
            return Fate.COMMIT
        return self.rng.choices(list(Fate), weights=[80, 15, 2, 3])[0]

    def _step(self) -> None:
        self.now += self.rng.random() * 0.4
        what = self.rng.random()
        if what < 0.25:
            for _ in range(self.rng.randint(1, 6)):
                self.cluster.append(bytes([self.rng.randrange(8)]), b"value")
        elif what < 0.45:
            self._finish_one()
        elif what < 0.48:
            self.cluster.rebalance()
        elif what < 0.50:
            self.cluster.evict(self.rng.choice(list(self.members)))
        else:
            self._turn(self.rng.choice(list(self.members)))

    def _turn(self, name: str) -> None:
        try:
            self.members[name].turn()
            self.now += 0.2
        except Fenced:
            self.cluster.evict(name)
            self.members[name] = self._start(name)

    def _finish_one(self) -> None:
        if not self.pending:
            return
        batch, future = self.pending.pop(self.rng.randrange(len(self.pending)))
        if not self.calm and self.rng.random() < 0.1:
            future.set_exception(DependencyDown("store"))
        else:
            future.set_result([(rejected if self.rng.random() < 0.2 else judged)(r) for r in batch.records])

    def _finish_all(self) -> None:
        while self.pending:
            self._finish_one()


def check(world: World) -> None:
    """Every record has exactly one verdict, and verdicts stand in the order of their records."""
    seen = [message.value.decode() for message in world.cluster.committed_messages(VERDICTS)]
    expected = {
        f"{p.index}/{offset}" for p in world.cluster.partitions for offset in range(world.cluster.end_offset(p))
    }
    counts = Counter(seen)
    assert set(counts) == expected, f"lost {sorted(expected - set(counts))}"
    assert max(counts.values(), default=1) == 1, f"duplicated {[k for k, n in counts.items() if n > 1]}"
    for partition in world.cluster.partitions:
        offsets = [int(s.split("/")[1]) for s in seen if s.startswith(f"{partition.index}/")]
        assert offsets == sorted(offsets), f"reordered in {partition.index}: {offsets}"


def play(seed: int, loop_type: LoopType = Loop) -> None:
    world = World(seed, loop_type)
    world.run(turns=120)
    check(world)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_record_exactly_once_and_in_order(shard: int) -> None:
    for seed in range(shard, SEEDS, SHARDS):
        try:
            play(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


class ForgetsWhatWasLost(Loop):
    """A loop that lands flights of revoked partitions."""

    def _lose(self, partitions: frozenset[Partition]) -> None:
        self.batcher.drop(partitions)


class LandsOutOfOrder(Loop):
    """A loop that lands whichever flight is finished."""

    def _land(self) -> None:
        self.flights.rotate(-1 if len(self.flights) > 1 and not self.flights[0].outcomes.done() else 0)
        super()._land()


class ForgetsAbortedFlights(Loop):
    """A loop that takes a flight off the deque before its commit."""

    def _land(self) -> None:
        before = [flight for flight in self.flights if flight.outcomes.done()]
        super()._land()
        if self.flights and before and self.flights[0] is before[0] and not before[0].outcomes.exception():
            self.flights.popleft()


@pytest.mark.parametrize("broken", [ForgetsWhatWasLost, LandsOutOfOrder, ForgetsAbortedFlights])
def test_a_broken_loop_is_caught(broken: Callable[..., Loop]) -> None:
    caught = 0
    for seed in range(60):
        try:
            play(seed, broken)  # type: ignore[arg-type]  # a subclass, seen as its constructor
        except AssertionError:
            caught += 1
    assert caught >= 5
