"""Cutting the log into batches."""

import pytest

from sluice.core.records import Partition, Record
from sluice.stream.batch import FillReason
from sluice.stream.batcher import Batcher

P0, P1 = Partition("images", 0), Partition("images", 1)


def record(offset: int, size: int = 1, partition: Partition = P0) -> Record:
    return Record(partition, offset, 0, None, b"x" * size)


@pytest.fixture
def batcher() -> Batcher:
    return Batcher(max_records=4, max_bytes=100)


def test_nothing_waits_nothing_is_cut(batcher: Batcher) -> None:
    assert batcher.cut(0.0, greedy=True) is None


def test_a_full_batch_is_cut_at_once_and_the_rest_waits(batcher: Batcher) -> None:
    batcher.add([record(offset) for offset in range(5)])
    batch = batcher.cut(0.5, greedy=False)
    assert batch
    assert [r.offset for r in batch.records] == [0, 1, 2, 3]
    assert batch.reason is FillReason.COUNT
    assert batch.cut_at_s == 0.5
    assert batcher.cut(0.5, greedy=False) is None
    assert len(batcher) == 1


def test_bytes_cut_before_the_record_that_would_not_fit(batcher: Batcher) -> None:
    batcher.add([record(0, 60), record(1, 60)])
    batch = batcher.cut(0.0, greedy=False)
    assert batch
    assert [r.offset for r in batch.records] == [0]
    assert batch.reason is FillReason.BYTES


def test_a_record_larger_than_the_limit_travels_alone(batcher: Batcher) -> None:
    batcher.add([record(0, 500), record(1)])
    batch = batcher.cut(0.0, greedy=False)
    assert batch
    assert [r.offset for r in batch.records] == [0]


def test_a_partial_batch_waits_until_it_is_asked_for_and_then_takes_all_that_came_meanwhile(batcher: Batcher) -> None:
    batcher.add([record(0)])
    assert batcher.cut(0.0, greedy=False) is None
    batcher.add([record(1)])
    assert batcher.cut(1e9, greedy=False) is None
    batch = batcher.cut(1e9, greedy=True)
    assert batch
    assert len(batch.records) == 2
    assert batch.reason is FillReason.GREEDY


def test_dropped_partitions_leave_and_free_their_bytes(batcher: Batcher) -> None:
    batcher.add([record(0, 99), record(7, 1, P1)])
    batcher.drop({P0})
    assert not batcher.full
    batch = batcher.cut(1.0, greedy=True)
    assert batch
    assert batch.partitions == {P1}
