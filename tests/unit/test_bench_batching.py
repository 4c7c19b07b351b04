"""What the benchmarks of batching, latency and scaling compute, without a broker."""

from itertools import pairwise

import psutil
import pytest

from sluice.core.records import Partition, Record
from sluice.stream.batch import FillReason
from sluice.stream.batcher import Batcher
from tests.bench import batching, latency, scaling
from tests.bench.rig import Flow
from tests.bench.sender import Phase, moments
from tests.bench.spent import Course
from tests.bench.tables import Table
from tests.bench.timer import FillTimer
from tests.bench.virtual import MAX_BYTES, Service, World, played, poisson

P0, P1 = Partition("images", 0), Partition("images", 1)
SERVICE = Service("test", pass_ms=4, image_ms=1, commit_ms=10, prepare_ms=2, latency_ms=3)


def record(offset: int, partition: Partition = P0) -> Record:
    return Record(partition, offset, 0, None, b"x")


def run(service: Service, arrivals_s: list[float], *, flights: int = 4, ahead: int = 2) -> World:
    batcher = Batcher(max_records=4, max_bytes=MAX_BYTES)
    return played(World(service, arrivals_s), batcher, batching.pace(flights, ahead))


def test_a_table_has_a_line_for_each_row_and_keeps_its_figures_in_the_json() -> None:
    table = Table("ages", [{"rule": "a", "ms": 12.34567}, {"rule": "bb", "ms": 1234.5}])
    assert table.as_text() == "ages\nrule    ms\n   a  12.3\n  bb  1234"
    assert table.as_json() == {"what": "ages", "rows": [{"rule": "a", "ms": 12.3457}, {"rule": "bb", "ms": 1234.5}]}


def test_a_lone_event_is_as_old_as_what_it_went_through() -> None:
    world = run(SERVICE, [1.0])
    least_s = (3 + 4 + 1 + 10) / 1000
    assert least_s <= world.ages_s[0] <= least_s + 0.005  # the loop looks every 5 ms


def test_a_fixed_pass_takes_as_long_as_if_it_were_full() -> None:
    fixed = Service("fixed", pass_ms=4, image_ms=1, commit_ms=0, fixed=True)
    assert [round(fixed.scored_s(pictures) * 1000) for pictures in (1, 2, 3, 5, 8)] == [5, 6, 8, 12, 12]


def test_every_event_lands_once_and_a_backlog_keeps_the_device_busy() -> None:
    world = run(SERVICE, [0.0] * 400, flights=8)
    assert sum(world.batches) == len(world.ages_s) == 400
    assert set(world.batches) == {4}
    assert world.busy_s / world.now_s > 0.9


def test_with_one_flight_the_device_waits_for_every_commit() -> None:
    world = run(SERVICE, [0.0] * 400, flights=1)
    assert world.commits == 100
    assert world.busy_s / world.now_s < 8 / (8 + 8 + 10) + 0.01  # the pass, over decoding, pass and commit


def test_what_comes_at_random_comes_at_its_rate() -> None:
    assert poisson(100.0, 2000)[-1] == pytest.approx(20.0, rel=0.1)


def test_phases_follow_each_other_each_at_its_rate() -> None:
    phases = [Phase(100.0, 10.0), Phase(1000.0, 2.0), Phase(50.0, 4.0)]
    at_s = list(moments(phases))
    assert at_s == sorted(at_s) == list(moments(phases))
    edges = (0, 10, 12, 16)
    counts = [sum(began <= each < ended for each in at_s) for began, ended in pairwise(edges)]
    assert counts == [pytest.approx(expected, rel=0.2) for expected in (1000, 2000, 200)]
    assert sum(counts) == len(at_s)
    assert [Phase.parsed(str(phase)) for phase in phases] == phases


def test_ages_and_the_end_of_a_burst_are_read_off_both_moments() -> None:
    seen = [latency.Judged(100.0 + n, 100.0 + n + n / 1000) for n in range(1, 101)]
    assert latency.ages(seen) == {
        "p50": pytest.approx(50.5),
        "p95": pytest.approx(95.05),
        "p99": pytest.approx(99.01),
    }
    assert latency.after_burst(seen, 190.0) == {"oldest ms": pytest.approx(100), "drained after s": pytest.approx(10.1)}
    assert latency.after_burst(seen, 300.0)["drained after s"] == 0.0


def test_processor_time_is_read_between_the_looks_and_counts_without_the_first_tenth() -> None:
    process = psutil.Popen(["true"])
    process.wait()
    course = Course(process)
    for at_s, used_s in ((10.0, 1.0), (12.0, 2.0), (16.0, 2.0), (20.0, 6.0)):
        course.note(at_s, used_s)
    assert [course.between(9.0, at_s) for at_s in (10.0, 11.0, 14.0, 18.0, 21.0)] == [0.0, 0.5, 1.0, 3.0, 5.0]
    seen = Flow([11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0])
    assert scaling.cost_us(seen, course) == pytest.approx(4.0 / 8 * 1e6)


def test_a_fill_timer_waits_for_company_whoever_asks_and_no_longer_than_it_should() -> None:
    now = [10.0]
    timer = FillTimer(max_records=4, max_bytes=100, max_age_s=1.0, clock=lambda: now[0])
    timer.add([record(0), record(0, P1)])
    now[0] = 10.9
    timer.add([record(1)])
    assert timer.cut(10.99, greedy=True) is None
    timer.drop({P0})
    assert timer.cut(10.99, greedy=True) is None
    batch = timer.cut(11.0, greedy=False)
    assert batch
    assert batch.partitions == {P1}
    timer.add([record(offset) for offset in range(5)])
    full = timer.cut(11.0, greedy=False)
    assert full
    assert full.reason is FillReason.COUNT
    assert timer.cut(11.0, greedy=True) is None


def test_rounding_leaves_what_is_over_a_power_of_two() -> None:
    batcher = batching.Rounded(max_records=8, max_bytes=100)
    batcher.add([record(offset) for offset in range(7)])
    assert batcher.cut(0.0, greedy=False) is None
    cuts = [batcher.cut(0.0, greedy=True) for _ in range(4)]
    assert [len(cut.records) if cut else 0 for cut in cuts] == [4, 2, 1, 0]


def test_the_longer_a_commit_the_more_flights_it_takes_to_keep_the_device_busy() -> None:
    one, four, eight = (batching.drained(50, 32, flights, events=3000) for flights in (1, 4, 8))
    assert one < four < eight
    assert batching.drained(0, 32, 4, events=3000) > 0.9
