"""The loop with suspects: what it notes and when, and how it lets them travel."""

import random
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from sluice.core.errors import DependencyDown, DeviceLost, Fenced
from sluice.core.records import JournalEntry, OffsetRange
from sluice.stream.batch import Batch
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.loop import Loop, Pace
from sluice.stream.outcome import Outcome
from sluice.stream.poison import PoisonDetector, Suspects
from sluice.stream.ports import Duty
from tests.support.books import books
from tests.support.fake_bus import FakeCluster, Fate
from tests.support.outcomes import VERDICTS, judged, rejected


class Bench:
    """One loop over one partition of ten records, some of them suspects; flights finish when the test says so."""

    def __init__(self, *suspects: tuple[int, int, int, int]) -> None:
        self.cluster = FakeCluster(1, random.Random(0))
        (self.partition,) = self.cluster.partitions
        for _ in range(10):
            self.cluster.append(b"k", b"v")
        self.now = 0.0
        self.notes: list[JournalEntry] = []
        self.roads: deque[tuple[Batch, Future[Sequence[Outcome]]]] = deque()
        self.noted_at_launch: list[tuple[OffsetRange, ...]] = []
        spans = tuple(OffsetRange(self.partition, *numbers) for numbers in suspects)
        self.loop = Loop(
            source=self.cluster.join("m"),
            committer=self.cluster.producer("t"),
            start_batch=self.road,
            batcher=Batcher(max_records=2, max_bytes=1000),
            fuse=Fuse(1.0, 1000, 1000),
            pace=Pace(max_flights=2, drain_timeout_s=1.0, retry_pause_s=1.0),
            clock=lambda: self.now,
            sleep=self.sleep,
            metrics=books(),
            poison=PoisonDetector(Suspects(2, 2, spans), self.notes.append),
        )

    def road(self, batch: Batch) -> Future[Sequence[Outcome]]:
        future: Future[Sequence[Outcome]] = Future()
        self.roads.append((batch, future))
        self.noted_at_launch.append(self.notes[-1].flying if self.notes else ())
        return future

    def start(self) -> None:
        self.loop.source.subscribe(on_revoke=self.loop._revoke, on_lost=self.loop._lose)
        self.turns(12)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.1
            self.loop.turn()

    def finish(self) -> None:
        batch, future = self.roads.popleft()
        make = rejected if batch.rejection else judged
        future.set_result([make(record) for record in batch.records])

    def span(self, first: int, end: int) -> OffsetRange:
        return OffsetRange(self.partition, first, end)

    @property
    def on_the_road(self) -> list[list[int]]:
        return [[record.offset for record in batch.records] for batch, _ in self.roads]


def test_what_takes_off_is_noted_before_it_does() -> None:
    bench = Bench()
    bench.start()
    assert bench.noted_at_launch == [(bench.span(0, 2),), (bench.span(0, 2), bench.span(2, 4))]


def test_what_is_finished_is_on_the_road_no_more_even_if_it_cannot_land() -> None:
    bench = Bench()
    bench.cluster.fate = lambda: Fate.ABORT
    bench.start()
    bench.finish()
    bench.turns(1)
    assert bench.notes[-1].flying == (bench.span(2, 4),)
    assert bench.cluster.committed_offset(bench.partition) is None


def test_who_waits_for_a_dependency_is_not_on_the_road_and_is_noted_again_before_the_next_try() -> None:
    bench = Bench()
    bench.start()
    bench.roads.popleft()[1].set_exception(DependencyDown("store"))
    bench.turns(1)
    assert bench.notes[-1].flying == (bench.span(2, 4),)
    bench.turns(20)
    assert set(bench.noted_at_launch[-1]) == {bench.span(0, 2), bench.span(2, 4)}


def test_a_suspect_flies_with_nobody_before_and_nobody_after_it() -> None:
    bench = Bench((2, 4, 2, 0))
    seen = []
    bench.start()
    while bench.roads:
        seen.append(bench.on_the_road)
        bench.finish()
        bench.turns(3)
    assert seen == [[[0, 1]], [[2]], [[3]], [[4, 5], [6, 7]], [[6, 7], [8, 9]], [[8, 9]]]
    assert [int(m.value.split(b"/")[1]) for m in bench.cluster.committed_messages(VERDICTS)] == list(range(10))


def test_back_pressure_holds_while_a_suspect_flies() -> None:
    bench = Bench((0, 1, 2, 0))
    for _ in range(30):
        bench.cluster.append(b"k", b"v")
    bench.start()
    bench.turns(20)
    assert bench.on_the_road == [[0]]
    assert len(bench.loop.batcher) <= 2 * bench.loop.batcher.max_records


def test_back_pressure_holds_while_a_suspect_waits_for_others_to_land() -> None:
    bench = Bench((2, 3, 2, 0))
    for _ in range(30):
        bench.cluster.append(b"k", b"v")
    bench.start()
    bench.turns(20)
    assert bench.on_the_road == [[0, 1]]
    assert len(bench.loop.batcher) <= 2 * bench.loop.batcher.max_records


def test_the_condemned_is_rejected_once_and_suspected_no_more() -> None:
    bench = Bench((0, 1, 4, 2), (1, 2, 2, 0))
    bench.start()
    batch, _ = bench.roads[0]
    assert batch.rejection
    assert batch.rejection.reason == "poison"
    bench.finish()
    bench.turns(2)
    assert bench.roads[0][0].rejection is None
    assert bench.loop.poison.suspects.ranges == (OffsetRange(bench.partition, 1, 2, 2, 0),)
    assert bench.notes[-1].suspects == bench.loop.poison.suspects.ranges


def test_an_aborted_landing_keeps_the_suspects() -> None:
    bench = Bench((0, 1, 2, 0))
    bench.cluster.fate = lambda: Fate.ABORT
    bench.start()
    bench.finish()
    bench.turns(3)
    assert bench.loop.poison.suspects.ranges == (OffsetRange(bench.partition, 0, 1, 2, 0),)


def test_whoever_is_asked_to_leave_accuses_nobody_even_if_killed_while_it_drains() -> None:
    bench = Bench()
    bench.start()
    bench.loop.duties = [Duty("test", lambda: bench.sleep(0.3))]
    bench.loop.drain()
    assert bench.loop.flights
    assert bench.notes[-1] == JournalEntry()


@pytest.mark.parametrize(("error", "accused"), [(Fenced("newer"), False), (DeviceLost("assert"), True)])
def test_only_a_lost_device_accuses_who_was_in_flight(error: Exception, accused: bool) -> None:  # noqa: FBT001
    bench = Bench()

    def break_in_flight() -> None:
        if bench.roads:
            raise error

    bench.loop.duties = [Duty("test", break_in_flight)]
    with pytest.raises(type(error)):
        bench.loop.run(lambda: False)
    assert bool(bench.notes[-1].flying) is accused


def test_an_error_nobody_foresaw_accuses_who_was_in_flight() -> None:
    bench = Bench()

    def fail_in_flight() -> None:
        if bench.roads:
            raise ZeroDivisionError

    bench.loop.duties = [Duty("test", fail_in_flight)]
    with pytest.raises(ZeroDivisionError):
        bench.loop.run(lambda: False)
    assert bench.notes[-1].flying
