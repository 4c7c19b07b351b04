"""The loop against a transactional broker in memory, over thousands of random schedules.

A schedule moves partitions, evicts members, kills them, aborts and crashes transactions, takes dependencies down, and
finishes flights in any order; a record may be poison, which kills whoever has it on the road. Whatever happens: every
record exactly once, in order per partition, and its offset with it; poison is rejected after a few deaths, and no
innocent record for being near when somebody died. No record waits for company while a member is short of work.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import pytest

from sluice.core.errors import DependencyDown, Fenced
from sluice.core.records import JournalEntry, Partition, Record
from sluice.stream.batch import Batch
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.loop import Loop, Pace
from sluice.stream.outcome import Outcome
from sluice.stream.poison import PoisonDetector, Suspects
from tests.support.books import books
from tests.support.fake_bus import FakeCluster, Fate
from tests.support.outcomes import VERDICTS, judged, rejected

SEEDS = 3_000
SHARDS = 10
POISON_SEEDS = 600
BEFORE_ALONE, ALONE = 2, 2
LoopType = type[Loop]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let the loop log nothing: to keep a hundred thousand lines costs more than all that is tested."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class Launched(NamedTuple):
    """A batch on the road of a member."""

    member: str
    batch: Batch
    outcomes: Future[Sequence[Outcome]]


class Death(NamedTuple):
    """What a member had in flight when it died, what of that was not finished, and the poison it died of, if any."""

    member: str
    flying: frozenset[Record]
    unfinished: frozenset[Record]
    cause: Record | None


class World:
    """Some members on one cluster, driven by one seed; members that die are replaced, as a supervisor would.

    Of the records, `poisonous` (a share) kill whoever has them on the road.
    """

    def __init__(self, seed: int, loop_type: LoopType = Loop, *, poisonous: float = 0.0) -> None:
        self.poisonous = poisonous
        self.poison: set[Record] = set()
        self.condemned: list[Record] = []
        self.deaths: list[Death] = []
        self.journals: dict[str, JournalEntry] = {}
        self.rng = random.Random(seed)
        self.loop_type = loop_type
        self.cluster = FakeCluster(self.rng.randint(1, 4), self.rng)
        self.cluster.fate = self._fate
        self.calm = False
        self.now = 0.0
        self.pending: list[Launched] = []
        self.members = {f"m{index}": self._start(f"m{index}") for index in range(self.rng.randint(1, 3))}

    def run(self, turns: int) -> None:
        """Play the random part, then let everything settle."""
        for _ in range(turns):
            self._step()
        self.calm = True
        for _ in range(400 + 100 * len(self.poison)):
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
        def keep(notes: JournalEntry) -> None:
            self.journals[name] = notes

        def road(batch: Batch) -> Future[Sequence[Outcome]]:
            outcomes: Future[Sequence[Outcome]] = Future()
            self.pending.append(Launched(name, batch, outcomes))
            return outcomes

        def observe(metric: str, *_: object) -> None:
            if metric == "sluice.flights":  # as soon as all is launched
                check_greed(loop)

        suspects, last = Suspects(BEFORE_ALONE, ALONE), self.journals.get(name, JournalEntry())
        loop = self.loop_type(
            source=self.cluster.join(name),
            committer=self.cluster.producer(name),
            start_batch=road,
            batcher=Batcher(max_records=self.rng.randint(1, 5), max_bytes=1_000),
            fuse=Fuse(1.0, 10_000, 10_000),
            pace=Pace(max_flights=self.rng.randint(1, 4), drain_timeout_s=5.0, retry_pause_s=1.0),
            clock=lambda: self.now,
            sleep=lambda _: None,
            metrics=books(observe=observe),
            poison=PoisonDetector.resumed(suspects, last, keep),
        )
        loop.source.subscribe(on_revoke=loop._revoke, on_lost=loop._lose)
        return loop

    def _fate(self) -> Fate:
        if self.calm:
            return Fate.COMMIT
        return self.rng.choices(list(Fate), weights=[80, 15, 2, 3])[0]

    def _step(self) -> None:
        self.now += self.rng.random() * 0.4
        what = self.rng.random()
        if what < 0.25:
            for _ in range(self.rng.randint(1, 6)):
                record = self.cluster.append(bytes([self.rng.randrange(8)]), b"value")
                if self.poisonous and self.rng.random() < self.poisonous:
                    self.poison.add(record)
        elif what < 0.45:
            self._finish_one()
        elif what < 0.48:
            self.cluster.rebalance()
        elif what < 0.50:
            self.cluster.evict(self.rng.choice(list(self.members)))
        elif what < 0.51:
            self._die(self.rng.choice(list(self.members)))
        else:
            self._turn(self.rng.choice(list(self.members)))

    def _turn(self, name: str) -> None:
        try:
            self.members[name].turn()
            self.now += 0.2
        except Fenced as error:
            self.members[name].poison.leave(error)
            self._replace(name)

    def _die(self, name: str, cause: Record | None = None) -> None:
        flying = (record for flight in self.members[name].flights for record in flight.batch.records)
        unfinished = (
            record for launched in self.pending if launched.member == name for record in launched.batch.records
        )
        self.deaths.append(Death(name, frozenset(flying), frozenset(unfinished), cause))
        self._replace(name)

    def _replace(self, name: str) -> None:
        self.pending = [launched for launched in self.pending if launched.member != name]
        self.cluster.evict(name)
        self.members[name] = self._start(name)

    def _finish_one(self) -> None:
        if not self.pending:
            return
        launched = self.pending[self.rng.randrange(len(self.pending))]
        batch, future = launched.batch, launched.outcomes
        poison = [record for record in batch.records if record in self.poison]
        if poison and not batch.rejection:
            self._die(launched.member, poison[0])
            return
        self.pending.remove(launched)
        if batch.rejection:
            self.condemned += batch.records
            future.set_result([rejected(record, batch.rejection.reason) for record in batch.records])
        elif not self.calm and self.rng.random() < 0.1:
            future.set_exception(DependencyDown("store"))
        else:
            future.set_result([(rejected if self.rng.random() < 0.2 else judged)(r) for r in batch.records])

    def _finish_all(self) -> None:
        while self.pending:
            self._finish_one()


def check_greed(loop: Loop) -> None:
    """Whoever may launch has left nothing behind, or has enough under way and less than a batch left."""
    working = [f for f in loop.flights if not f.outcomes.done() or (f.outcomes.exception() and not f.gone)]
    if loop.batcher and not loop._full:
        assert len(working) >= loop.pace.ahead, "short of work, and records wait"
        assert not loop.batcher.full, "a full batch waits"


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
    check_blame(world)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_record_exactly_once_and_in_order(shard: int) -> None:
    for seed in range(shard, SEEDS, SHARDS):
        try:
            play(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def check_blame(world: World) -> None:
    """Poison is condemned, after no more deaths than the settings say; and nobody without as many."""
    condemned = set(world.condemned)
    assert condemned >= world.poison, f"not condemned: {world.poison - condemned}"
    deaths = Counter((death.member, death.cause) for death in world.deaths if death.cause)
    assert max(deaths.values(), default=0) <= BEFORE_ALONE + ALONE, deaths
    for record in condemned:
        mine = [death for death in world.deaths if record in death.flying]
        by_member = Counter(death.member for death in mine)
        alone = Counter(death.member for death in mine if death.unfinished <= {record})
        assert any(by_member[m] >= BEFORE_ALONE + ALONE and alone[m] >= ALONE for m in by_member), f"innocent: {record}"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_poison_is_rejected_after_a_few_deaths_and_nobody_else_for_them(shard: int) -> None:
    met = 0
    for seed in range(shard, POISON_SEEDS, SHARDS):
        world = World(seed, poisonous=0.03)
        try:
            world.run(turns=120)
            check(world)
            check_blame(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        met += len(world.poison)
    assert met > 60


class ForgetsWhatWasLost(Loop):
    """A loop that lands flights of revoked partitions."""

    def _lose(self, partitions: frozenset[Partition]) -> None:
        self.batcher.drop(partitions)


class LandsOutOfOrder(Loop):
    """A loop that lands whichever flight is finished."""

    def _commit_finished(self) -> None:
        self.flights.rotate(-1 if len(self.flights) > 1 and not self.flights[0].outcomes.done() else 0)
        super()._commit_finished()


class ForgetsAbortedFlights(Loop):
    """A loop that takes a flight off the deque before its commit."""

    def _commit_finished(self) -> None:
        before = [flight for flight in self.flights if flight.outcomes.done()]
        super()._commit_finished()
        if self.flights and before and self.flights[0] is before[0] and not before[0].outcomes.exception():
            self.flights.popleft()


class WaitsForCompany(Loop):
    """A loop that launches full batches only."""

    def _cut(self) -> Batch | None:
        return self.batcher.cut(self.clock(), self.poison.suspects, greedy=False)


@pytest.mark.parametrize("broken", [ForgetsWhatWasLost, LandsOutOfOrder, ForgetsAbortedFlights, WaitsForCompany])
def test_a_broken_loop_is_caught(broken: Callable[..., Loop]) -> None:
    caught = 0
    for seed in range(60):
        try:
            play(seed, broken)  # type: ignore[arg-type]  # a subclass, seen as its constructor
        except AssertionError:
            caught += 1
    assert caught >= 5
