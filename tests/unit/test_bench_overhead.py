"""What the overhead benchmark reckons with, and that each of its stages does its work."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.moderation.values import Judged
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import ImageGenerated, decode, read_cloud_event
from tests.bench.overhead import Cost, compared, spent
from tests.bench.overhead_ends import turning
from tests.bench.overhead_stages import apart, events, interleaved, on_the_road, road


def test_a_record_of_the_bench_is_an_event_with_a_cause_and_a_trace() -> None:
    (record,) = events(1)
    assert decode(record.value, ImageGenerated).image_id == "image-0"
    cause = read_cloud_event(record.headers)
    assert cause is not None
    assert cause.trace is not None


def test_every_stage_does_a_whole_batch() -> None:
    seen: list[str] = []
    batch = Batch(tuple(events(3)), FillReason.COUNT, 0.0)
    with road(lambda name, *_: seen.append(name)) as pipeline:
        outcomes = pipeline.outcomes(batch)
        assert [type(outcome) for outcome in outcomes] == [Judged] * 3
        ways = on_the_road(pipeline, batch)
        seen.clear()
        assert {name: way() for name, way in ways.items()} == dict.fromkeys(ways, 3)
        assert turning(outcomes, pipeline.observe)() in {3, 6, 9, 12}  # as many batches as may fly
    assert {"sluice.stage.duration", "sluice.flights", "sluice.verdicts"} <= set(seen)


def test_a_way_counts_by_event_and_by_its_median_round() -> None:
    now = 0.0

    def taking(*seconds: float) -> Callable[[], int]:
        left = iter(seconds)

        def way() -> int:
            nonlocal now
            now += next(left)
            return 2

        return way

    found = interleaved({"a": taking(2.0, 4.0, 90.0), "b": taking(1.0, 1.0, 1.0)}, 3, clock=lambda: now)
    assert found == {"a": 2e6, "b": 0.5e6}


def test_stages_taken_apart_add_up_to_an_event() -> None:
    us = {"decode": 3.0, "policy": 2.0, "road": 9.0, "poll": 1.0, "loop": 4.0, "commit": 2.0, "landing": 5.0}
    assert apart(us) == {
        "decode": 3.0,
        "policy": 2.0,
        "pipeline, the rest": 4.0,
        "poll": 1.0,
        "loop": 4.0,
        "produce": 3.0,
        "commit": 2.0,
        "all": 19.0,
    }


def test_ways_are_compared_by_their_median_round_with_the_first() -> None:
    first, second = compared(
        {"none": [Cost(100.0, 10.0, 500.0), Cost(300.0, 30.0, 700.0)], "spans": [Cost(150.0, 15.0, 300.0)]}
    )
    assert (first["us an event, Python"], first["librdkafka"], first["events/s"], first["share"]) == (200, 20, 600, 1)
    assert second["share"] == 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")
@pytest.mark.parametrize(("name", "python"), [("rdk:broker1", False), ("worker", True)])
def test_what_a_thread_spends_counts_as_pythons_unless_librdkafka_named_it(name: str, *, python: bool) -> None:
    counted = threading.Event()

    def work() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        worked.set()
        counted.wait()

    before, worked = spent(os.getpid()), threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    worked.wait()
    after = spent(os.getpid())
    counted.set()
    thread.join()
    assert after[python] - before[python] > 0.03
