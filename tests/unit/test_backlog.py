"""Lag in records and in seconds, and when none is left, on partitions that a test fills by hand."""

import math

import pytest

from sluice.core.records import Partition, Record
from sluice.stream.lag import NEVER_S, LagReporter
from sluice.stream.ports import PartitionEnd
from tests.support.outcomes import judged

ONE, TWO = Partition("t", 1), Partition("t", 2)
EPOCH_S = 1_700_000_000.0


class Bench:
    """Partitions, what was polled of them, and what was told last."""

    def __init__(self) -> None:
        self.now = 0.0
        self.known: dict[Partition, PartitionEnd] = {}
        self.waiting: list[Record] = []
        self.told: dict[tuple[str, str], float] = {}
        self.backlog = LagReporter(
            lambda _: self.known, "g", self.observe, lambda: self.now, lambda: EPOCH_S + self.now
        )

    def observe(self, name: str, value: float, labels: object) -> None:
        assert isinstance(labels, dict)
        assert labels.get("group", "g") == "g"
        key = (name, labels.get("partition", ""))
        if math.isnan(value):
            self.told.pop(key, None)
        else:
            self.told[key] = value

    def record(self, partition: Partition, offset: int, made_s: float) -> Record:
        return Record(partition, offset, round((EPOCH_S + made_s) * 1000), b"k", b"v")

    def poll(self, partition: Partition, offsets: range, made_s: float = 0.0) -> None:
        self.waiting += [self.record(partition, offset, made_s) for offset in offsets]

    def land(self, count: int) -> None:
        self.backlog.committed([judged(record) for record in self.waiting[:count]])
        del self.waiting[:count]

    def look(self, later_s: float = 1.0) -> None:
        self.now += later_s
        self.backlog.report(lambda: self.waiting)

    def lag(self, partition: Partition) -> tuple[float | None, float | None]:
        index = str(partition.index)
        return self.told.get(("kafka.consumer_group.lag", index)), self.told.get(("sluice.lag.age", index))

    def drain_s(self) -> float | None:
        return self.told.get(("sluice.lag.drain_time", ""))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.backlog.add([ONE])
    return made


def test_what_was_polled_waits_until_it_lands_since_its_oldest_record_was_made(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(20)}
    bench.poll(ONE, range(10, 14), made_s=-30.0)
    bench.look()
    assert bench.lag(ONE) == (10, 31.0)
    bench.land(3)
    bench.look()
    assert bench.lag(ONE) == (7, 32.0)


def test_what_waits_unread_is_as_old_as_what_landed_last_at_most(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(20)}
    bench.poll(ONE, range(10, 14), made_s=-30.0)
    bench.land(4)
    bench.look()
    assert bench.lag(ONE) == (6, 31.0)


def test_a_record_that_comes_after_an_idle_hour_is_not_an_hour_old(bench: Bench) -> None:
    bench.poll(ONE, range(10, 14))
    bench.land(4)
    bench.known = {ONE: PartitionEnd(14)}
    bench.look()
    assert bench.lag(ONE) == (0, 0.0)
    bench.look(3600.0)
    bench.known = {ONE: PartitionEnd(15)}
    bench.look(5.0)
    assert bench.lag(ONE) == (1, 5.0)


def test_before_anything_lands_lag_counts_from_what_was_committed_before(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(20, settled=15)}
    bench.look()
    assert bench.lag(ONE) == (5, 1.0)


@pytest.mark.parametrize("known", [{}, {ONE: PartitionEnd(20)}], ids=["no end", "no beginning"])
def test_what_nobody_knows_is_not_told(bench: Bench, known: dict[Partition, PartitionEnd]) -> None:
    bench.known = known
    bench.look()
    assert (bench.lag(ONE), bench.drain_s()) == ((None, None), None)


def test_an_end_that_is_older_than_what_was_polled_since_does_not_hide_it(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(10)}
    bench.poll(ONE, range(10, 14))
    bench.look()
    assert bench.lag(ONE)[0] == 4
    bench.land(4)
    bench.look()
    assert bench.lag(ONE) == (0, 0.0)


def test_a_commit_marker_is_no_lag_once_reading_has_passed_it(bench: Bench) -> None:
    bench.poll(ONE, range(10, 14))
    bench.land(4)
    bench.known = {ONE: PartitionEnd(15)}
    bench.look()
    assert bench.lag(ONE)[0] == 1
    bench.known = {ONE: PartitionEnd(15, settled=15)}
    bench.look()
    assert bench.lag(ONE) == (0, 0.0)


def test_a_record_without_a_time_counts_from_when_the_partition_came_to_us(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(14)}
    bench.waiting = [Record(ONE, 10, -1, b"k", b"v")]
    bench.look(7.0)
    assert bench.lag(ONE) == (4, 7.0)


def test_partitions_that_are_ours_no_more_are_told_no_more(bench: Bench) -> None:
    bench.backlog.add([TWO])
    bench.known = {ONE: PartitionEnd(20, 10), TWO: PartitionEnd(5, 5)}
    bench.look()
    assert (bench.lag(ONE)[0], bench.lag(TWO)[0], bench.told["sluice.partitions.assigned", ""]) == (10, 0, 2)
    bench.backlog.drop([ONE])
    bench.look()
    assert (bench.lag(ONE), bench.lag(TWO)[0], bench.told["sluice.partitions.assigned", ""]) == ((None, None), 0, 1)


def test_time_to_drain_is_how_long_lag_takes_to_shrink_to_nothing_as_fast_as_in_the_last_minute(bench: Bench) -> None:
    bench.poll(ONE, range(1000))
    bench.known = {ONE: PartitionEnd(1000)}
    bench.look()
    assert bench.drain_s() is None, "too early to tell"
    for _ in range(10):
        bench.land(20)
        bench.look(2.0)
    assert (bench.lag(ONE)[0], bench.drain_s()) == (800, 80.0)
    for _ in range(60):
        bench.look()
    assert bench.drain_s() == NEVER_S, "a minute without a landing"
    bench.land(800)
    bench.look()
    assert bench.drain_s() == 0.0


def test_lag_that_leaves_with_its_partition_has_not_drained(bench: Bench) -> None:
    bench.backlog.add([TWO])
    bench.known = {ONE: PartitionEnd(1000, 0), TWO: PartitionEnd(1000, 0)}
    for _ in range(20):
        bench.look()
    bench.backlog.drop([TWO])
    for _ in range(20):
        bench.look()
    assert bench.drain_s() == NEVER_S


def test_it_looks_once_a_second_at_most(bench: Bench) -> None:
    bench.known = {ONE: PartitionEnd(20, 10)}
    bench.look()
    bench.known = {ONE: PartitionEnd(30, 10)}
    bench.look(0.5)
    assert bench.lag(ONE)[0] == 10
    bench.look(0.6)
    assert bench.lag(ONE)[0] == 20
