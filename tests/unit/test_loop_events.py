"""What the loop tells the log, and that a failed self-test lands nothing further; against the broker in memory."""

from collections import deque
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, SelfTestFailed
from sluice.core.records import Partition
from sluice.stream.ports import Duty
from tests.support.fake_bus import Fate
from tests.support.outcomes import rejected
from tests.unit.test_loop import Bench

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = (("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()),)


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sluice")


def told(caplog: pytest.LogCaptureFixture, *fields: str) -> list[Any]:
    """Return the events so far, each with those of its fields that are asked for, and forget them."""
    lines = [(line.message, *(line.__dict__[name] for name in fields)) for line in caplog.records]
    caplog.clear()
    return lines


def test_rebalances_are_told_with_their_partitions(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    stops = deque([False] * 12 + [True])
    bench.loop.run(stops.popleft)
    bench.loop._revoke(frozenset({bench.partition}))
    bench.loop._lose(frozenset({bench.partition, Partition("images", 3)}))
    assert told(caplog, "partitions") == [
        ("partitions_assigned", "images/0"),
        ("partitions_revoked", "images/0"),
        ("partitions_lost", "images/0,3"),
    ]


def test_a_pause_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.start(20)
    bench.turns(20)
    assert told(caplog) == [("paused",)]
    bench.finish()
    bench.turns(2)
    assert told(caplog) == [("resumed",)]


def test_a_deque_full_for_a_moment_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.start(0)
    for _ in range(8):
        bench.cluster.append(b"k", b"v")
    while len(bench.loop.flights) < 2 or not bench.loop.batcher.full:
        bench.loop.turn()
    bench.loop.turn()
    bench.finish()
    bench.turns(2)
    assert told(caplog) == []


def test_a_dependency_is_down_until_nobody_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.start(2)
    bench.roads.popleft()[1].set_exception(DependencyDown("store", "503"))
    bench.turns(10)
    assert told(caplog, "dependency", "error", "again_s") == [
        ("dependency_down", "store", "store is not available: 503", 5.0)
    ]
    bench.now += 5.0
    bench.turns(2)
    assert told(caplog) == []
    bench.finish()
    bench.turns(2)
    assert told(caplog, "dependency") == [("dependency_up", "store")]


def test_a_dead_letter_is_told_with_its_place_and_its_trace_once_it_has_landed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    fates = deque([Fate.ABORT, Fate.COMMIT])
    bench.cluster.fate = fates.popleft
    bench.cluster.append(b"k", b"v", HEADERS)
    bench.start(0)
    batch, future = bench.roads.popleft()
    future.set_result([rejected(record) for record in batch.records])
    bench.turns(1)
    assert told(caplog, "error") == [("transaction_aborted", "so decided")]
    bench.turns(1)
    error = rejected(batch.records[0]).dead_letter.error
    assert told(caplog, "topic", "partition", "offset", "stage", "reason", "trace_id") == [
        ("dead_letter", "images", 0, 0, error.stage, error.reason, TRACE)
    ]


def test_gauges_are_told_before_there_is_a_reason_to() -> None:
    seen = {name: value for name, value, _ in Bench().seen}
    assert (seen["sluice.paused"], seen["sluice.fuse.level"]) == (0, 0)


def test_a_wrong_canary_stops_the_loop_before_what_is_finished_lands() -> None:
    bench = Bench()
    bench.start(2)
    bench.finish()

    def wrong() -> None:
        raise SelfTestFailed("known picture glyph")

    bench.loop.duties = [Duty("test", wrong)]
    with pytest.raises(SelfTestFailed):
        bench.turns(1)
    assert bench.published == []
    assert bench.cluster.committed_offset(bench.partition) is None
