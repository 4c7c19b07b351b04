"""The loop's duties one by one, against the broker in memory."""

import random
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, DeviceLost, Fenced, TooManyDeadLetters
from sluice.core.records import Partition, Record
from sluice.stream.batch import Batch
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.loop import Loop, Pace
from sluice.stream.outcome import Outcome
from sluice.stream.ports import Duty
from tests.support.books import books
from tests.support.fake_bus import FakeCluster, FakeCommitter, FakeSource, Fate
from tests.support.outcomes import VERDICTS, judged, rejected


class Bench:
    """One loop, one partition, flights that finish when the test says so."""

    def __init__(self, *, max_flights: int = 2, max_run: int = 1000) -> None:
        self.cluster = FakeCluster(1, random.Random(0))
        self.partition = self.cluster.partitions[0]
        self.source: FakeSource = self.cluster.join("m")
        self.now = 0.0
        self.seen: list[tuple[str, float, dict[str, str]]] = []
        self.roads: deque[tuple[Batch, Future[Sequence[Outcome]]]] = deque()
        self.loop = Loop(
            source=self.source,
            committer=self.cluster.producer("t"),
            start_batch=self.road,
            batcher=Batcher(max_records=2, max_bytes=1000),
            fuse=Fuse(1.0, 1000, max_run),
            pace=Pace(max_flights=max_flights, drain_timeout_s=1.0, retry_pause_s=5.0),
            clock=lambda: self.now,
            sleep=self.sleep,
            metrics=books(
                observe=lambda name, value, labels: self.seen.append((name, value, dict(labels))),
                clock=lambda: self.now,
            ),
        )

    def start(self, records: int) -> None:
        for _ in range(records):
            self.cluster.append(b"k", b"v")
        self.source.subscribe(on_revoke=self.loop._revoke, on_lost=self.loop._lose)
        self.turns(12)

    def append(self, records: int, *, turns: int = 2) -> None:
        for _ in range(records):
            self.cluster.append(b"k", b"v")
        self.turns(turns)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def road(self, batch: Batch) -> Future[Sequence[Outcome]]:
        future: Future[Sequence[Outcome]] = Future()
        self.roads.append((batch, future))
        return future

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.1
            self.loop.turn()

    def activities(self) -> dict[str, float]:
        """Return the seconds of each activity that took any."""
        spent: defaultdict[str, float] = defaultdict(float)
        for name, value, labels in self.seen:
            if name == "sluice.activity.time":
                spent[labels["activity"]] += value
        return {activity: seconds for activity, seconds in spent.items() if seconds}

    def finish(self) -> None:
        batch, future = self.roads.popleft()
        future.set_result([judged(record) for record in batch.records])

    def paused(self) -> bool:
        return self.source._paused

    @property
    def launched(self) -> list[list[int]]:
        return [[record.offset for record in batch.records] for batch, _ in self.roads]

    @property
    def published(self) -> list[bytes]:
        return [message.value for message in self.cluster.committed_messages(VERDICTS)]


def test_a_full_deque_pauses_and_a_landing_resumes() -> None:
    bench = Bench()
    bench.start(20)
    assert len(bench.loop.flights) == 2
    assert bench.paused()
    bench.finish()
    bench.turns(2)
    assert not bench.paused()
    assert bench.published == [b"0/0", b"0/1"]


def test_every_second_of_a_loop_is_told_by_what_it_did() -> None:
    bench = Bench()
    poll, commit = bench.source.poll, bench.loop.committer.commit

    def wait(limit: int, timeout_s: float) -> list[Record]:
        bench.now += timeout_s
        return poll(limit, timeout_s)

    def take_long(*given: Any) -> None:
        bench.now += 32.0
        commit(*given)

    vars(bench.source)["poll"], vars(bench.loop.committer)["commit"] = wait, take_long
    bench.start(0)
    idle = bench.activities()
    bench.append(2)
    flying = bench.activities()
    bench.finish()
    bench.turns(1)
    bench.append(8, turns=100)
    full = bench.activities()
    assert set(idle) == {"idle", "work"}
    assert set(flying) == {"idle", "work", "poll"}
    assert full["commit"] == pytest.approx(32.0)
    assert full["backpressure"] > 0.2
    assert sum(full.values()) == pytest.approx(bench.now, abs=0.3)


def test_a_deque_full_for_a_moment_does_not_pause() -> None:
    bench = Bench()
    bench.start(0)
    for _ in range(8):
        bench.cluster.append(b"k", b"v")
    while len(bench.loop.flights) < 2 or not bench.loop.batcher.full:
        bench.loop.turn()
    bench.loop.turn()
    assert not bench.paused()
    bench.turns(5)
    assert bench.paused()


def test_a_partial_batch_takes_off_at_once_while_fewer_than_two_flights_are_unfinished() -> None:
    bench = Bench(max_flights=4)
    bench.start(1)
    bench.append(1)
    assert bench.launched == [[0], [1]]


def test_behind_two_unfinished_flights_only_full_batches_take_off() -> None:
    bench = Bench(max_flights=4)
    bench.start(4)
    bench.append(1)
    assert bench.launched == [[0, 1], [2, 3]]
    bench.append(1)
    assert bench.launched == [[0, 1], [2, 3], [4, 5]]


def test_a_partial_batch_takes_off_as_soon_as_one_of_two_flights_is_finished_even_if_that_cannot_land() -> None:
    bench = Bench(max_flights=4)
    bench.start(5)
    batch, second = bench.roads[1]
    second.set_result([judged(record) for record in batch.records])
    bench.turns(1)
    assert bench.launched == [[0, 1], [2, 3], [4]]
    assert bench.published == []


def test_a_flight_that_waits_for_a_dependency_is_unfinished_so_that_what_comes_meanwhile_gathers() -> None:
    bench = Bench(max_flights=4)
    bench.start(5)
    for _ in range(2):
        bench.roads.popleft()[1].set_exception(DependencyDown("store"))
    bench.turns(3)
    assert bench.launched == []
    assert len(bench.loop.batcher) == 1


def test_a_backlog_gives_every_flight_a_batch_in_one_turn_since_the_landing_after_it_may_take_long() -> None:
    bench = Bench(max_flights=3)
    bench.start(0)
    bench.append(20, turns=1)
    assert bench.launched == [[0, 1], [2, 3], [4, 5]]
    assert len(bench.loop.batcher) == 2


def test_nothing_lands_before_the_head() -> None:
    bench = Bench()
    bench.start(4)
    second = bench.roads[1]
    second[1].set_result([judged(record) for record in second[0].records])
    bench.turns(3)
    assert bench.published == []
    bench.finish()
    bench.turns(1)
    assert bench.published == [b"0/0", b"0/1", b"0/2", b"0/3"]


def test_an_aborted_landing_is_tried_again_and_publishes_once() -> None:
    bench = Bench()
    fates = deque([Fate.ABORT, Fate.ABORT, Fate.COMMIT])
    bench.cluster.fate = fates.popleft
    bench.start(2)
    bench.finish()
    bench.turns(2)
    assert bench.published == []
    assert bench.cluster.committed_offset(bench.partition) is None
    bench.turns(1)
    assert bench.published == [b"0/0", b"0/1"]
    assert bench.cluster.committed_offset(bench.partition) == 2


def test_a_dependency_that_is_down_delays_the_flight_and_loses_nothing() -> None:
    bench = Bench()
    bench.start(2)
    for _ in range(2):
        bench.roads.popleft()[1].set_exception(DependencyDown("store"))
        bench.turns(10)
        assert len(bench.roads) == 0
        assert bench.published == []
        bench.now += 5.0
        bench.turns(2)
    bench.finish()
    bench.turns(1)
    assert bench.published == [b"0/0", b"0/1"]
    assert ("sluice.dependency.down", 1, {"dependency": "store"}) in bench.seen
    waits = [value for name, value, labels in bench.seen if name == "sluice.dependency.waiting"]
    assert waits == [1, 0], "it was waited for through every try, until one went well"


def test_the_fuse_stops_the_loop_before_anything_of_the_landing_is_published() -> None:
    bench = Bench(max_run=1)
    bench.start(2)
    batch, future = bench.roads.popleft()
    future.set_result([rejected(record) for record in batch.records])
    with pytest.raises(TooManyDeadLetters):
        bench.turns(1)
    assert ("sluice.fuse.level", 1, {}) in bench.seen
    assert bench.published == []
    assert bench.cluster.committed_offset(bench.partition) is None


def test_finished_flights_land_while_the_partitions_are_still_ours() -> None:
    bench = Bench()
    bench.start(2)
    bench.finish()
    bench.cluster.rebalance()
    bench.source.poll(1, 0.0)
    assert bench.published == [b"0/0", b"0/1"]


def test_a_record_of_a_lost_partition_is_never_landed() -> None:
    bench = Bench()
    bench.start(2)
    bench.loop._lose(frozenset({Partition("images", 0)}))
    bench.finish()
    bench.turns(1)
    assert bench.published == []
    assert not bench.loop.flights


def test_draining_lands_what_is_in_flight_and_leaves_the_rest_to_the_next_owner() -> None:
    bench = Bench()
    bench.start(9)
    while bench.roads:
        bench.finish()
    bench.loop.drain()
    assert bench.published == [b"0/0", b"0/1", b"0/2", b"0/3"]
    assert bench.cluster.committed_offset(bench.partition) == 4


def test_draining_gives_up_at_its_deadline() -> None:
    bench = Bench()
    bench.start(2)
    bench.loop.duties = [Duty("test", lambda: bench.sleep(0.3))]
    bench.loop.drain()
    assert bench.loop.flights
    assert bench.published == []


def test_a_fenced_member_lands_nothing_on_its_way_out() -> None:
    bench = Bench()
    fates = deque([Fate.CRASH_BEFORE])
    bench.cluster.fate = lambda: fates.popleft() if fates else Fate.COMMIT
    for _ in range(2):
        bench.cluster.append(b"k", b"v")

    def finish_when_launched() -> None:
        bench.now += 0.1
        if bench.roads:
            bench.finish()

    bench.loop.duties = [Duty("test", finish_when_launched)]
    with pytest.raises(Fenced):
        bench.loop.run(lambda: False)
    bench.source.close()
    assert bench.published == []


def test_a_failed_watch_leaves_the_loop() -> None:
    bench = Bench()
    bench.start(0)

    def hung() -> None:
        raise DeviceLost("the inference worker hangs")

    bench.loop.duties = [Duty("test", hung)]
    with pytest.raises(DeviceLost):
        bench.turns(1)


def test_a_flight_that_is_ours_no_more_does_not_hold_up_the_others_by_its_dependency() -> None:
    bench = Bench()
    bench.start(4)
    bench.roads.popleft()[1].set_exception(DependencyDown("store"))
    bench.loop.flights[0].lost |= {bench.partition}
    bench.finish()
    bench.turns(1)
    assert bench.published == [b"0/2", b"0/3"]
    assert not bench.loop.flights


def test_each_turn_serves_the_committer_and_does_every_duty_and_so_does_a_drain() -> None:
    bench, done = Bench(), list[str]()
    bench.start(2)
    bench.loop.duties = [Duty("one", lambda: done.append("one")), Duty("two", lambda: done.append("two"))]
    committer = bench.loop.committer
    assert isinstance(committer, FakeCommitter)
    before = committer.served
    bench.turns(3)
    assert (committer.served - before, done) == (3, ["one", "two"] * 3)
    bench.loop.duties = [Duty("time passes", lambda: bench.sleep(0.4))]
    bench.loop.drain()
    assert committer.served - before == 3 + 3, "a second of draining, 0.4 s a turn"
