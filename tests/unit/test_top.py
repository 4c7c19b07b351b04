"""What `sluice top` makes of pages of metrics: recent figures, what they mean, how they look."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from sluice.top import figures
from sluice.top.figures import DRAIN, Gpu, Lag, Sight, Tally, sight
from sluice.top.poll import Poll
from sluice.top.recent import History, Recent
from sluice.top.scrape import READY, Page, ScrapeFailed, parse
from sluice.top.view import draw, line

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOKS = DOCS / "runbooks"
QUIET = """
# TYPE sluice_verdicts_total counter
sluice_verdicts_total{status="ALLOW",generator="sd"} 0.0
# TYPE sluice_ready gauge
sluice_ready 1.0
"""
BUSY = """
# TYPE messaging_client_consumed_messages_total counter
messaging_client_consumed_messages_total{messaging_destination_name="images"} 60.0
# TYPE sluice_verdicts_total counter
sluice_verdicts_total{status="ALLOW",generator="sd"} 30.0
sluice_verdicts_total{status="ALLOW",generator="flux"} 10.0
sluice_verdicts_total{status="BLOCK",generator="sd"} 10.0
# TYPE sluice_event_age_seconds histogram
sluice_event_age_seconds_bucket{le="1.0"} 20.0
sluice_event_age_seconds_bucket{le="5.0"} 40.0
sluice_event_age_seconds_bucket{le="30.0"} 49.0
sluice_event_age_seconds_bucket{le="+Inf"} 50.0
sluice_event_age_seconds_sum 200.0
sluice_event_age_seconds_count 50.0
# TYPE sluice_activity_time_seconds_total counter
sluice_activity_time_seconds_total{activity="work"} 1.0
sluice_activity_time_seconds_total{activity="backpressure"} 3.0
sluice_activity_time_seconds_total{activity="idle"} 1.0
# TYPE sluice_stage_duration_seconds histogram
sluice_stage_duration_seconds_bucket{stage="decode",le="+Inf"} 9.0
sluice_stage_duration_seconds_sum{stage="decode"} 9.0
sluice_stage_duration_seconds_sum{stage="model"} 6.0
# TYPE sluice_dead_letters_total counter
sluice_dead_letters_total{stage="fetch",reason="not_found"} 2.0
# TYPE sluice_rebalances_total counter
sluice_rebalances_total{kind="lost"} 0.0
# TYPE sluice_transactions_aborted_total counter
sluice_transactions_aborted_total 1.0
# TYPE kafka_consumer_group_lag gauge
kafka_consumer_group_lag{topic="images",partition="0",group="sluice"} 100.0
kafka_consumer_group_lag{topic="images",partition="1",group="sluice"} 4.0
# TYPE sluice_lag_age_seconds gauge
sluice_lag_age_seconds{topic="images",partition="0"} 12.0
sluice_lag_age_seconds{topic="images",partition="1"} 30.0
# TYPE sluice_lag_drain_time_seconds gauge
sluice_lag_drain_time_seconds 90.0
# TYPE sluice_paused gauge
sluice_paused NaN
# TYPE sluice_ready gauge
sluice_ready 1.0
# TYPE hw_gpu_utilization gauge
hw_gpu_utilization{hw_id="GPU-0"} 0.93
# TYPE hw_gpu_memory_usage_bytes gauge
hw_gpu_memory_usage_bytes{hw_id="GPU-0"} 4.0e+09
# TYPE hw_gpu_memory_limit_bytes gauge
hw_gpu_memory_limit_bytes{hw_id="GPU-0"} 8.0e+09
"""


def page(**gauges: float) -> Page:
    """Return the busy page with other gauges."""
    busy = parse(BUSY)
    return Page(busy.counters, {**busy.gauges, **{(name, frozenset()): value for name, value in gauges.items()}})


def recent(after: Page, failing: tuple[str, ...] = (), seconds: float = 5.0) -> Recent:
    """Return what a consumer did that was quiet some seconds ago."""
    history = History(10.0)
    history.add(0.0, parse(QUIET))
    return history.add(seconds, Page(after.counters, after.gauges, failing))


def seen(**answers: Recent | ScrapeFailed) -> Sight:
    return sight(answers)


def shown(renderable: RenderableType, width: int) -> list[str]:
    file = StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue().splitlines()


def test_figures_are_what_counters_gained_in_the_last_seconds() -> None:
    found = seen(a=recent(page())).total
    assert (found.read_per_s, found.judged_per_s, found.span_s) == (12.0, 10.0, 5.0)
    assert found.verdicts == {"ALLOW": 40, "BLOCK": 10}
    assert found.time == {"work": 0.2, "backpressure": 0.6, "idle": 0.2}
    assert found.stages == {"decode": 1.8, "model": 1.2}
    assert found.troubles["dead letters"] == {"fetch/not_found": Tally(2, 2)}
    assert found.troubles["aborted"] == {"": Tally(1, 1)}


def test_what_happened_before_the_window_is_in_the_totals_alone() -> None:
    history = History(10.0)
    for now_s in (0.0, 5.0, 12.0, 15.0):
        found = history.add(now_s, page() if now_s else parse(QUIET))
    (letters,) = seen(a=found).total.troubles["dead letters"].values()
    assert (found.span_s, letters) == (10.0, Tally(2, 0))


def test_a_counter_that_went_back_is_of_a_new_process_and_all_it_counts_is_new() -> None:
    history = History(10.0)
    history.add(0.0, parse(BUSY.replace('generator="sd"} 30.0', 'generator="sd"} 1000.0')))
    assert seen(a=history.add(5.0, page())).total.judged_per_s == 10.0


def test_without_an_earlier_page_no_rate_is_made_up() -> None:
    found = seen(a=History(10.0).add(0.0, page())).total
    assert (found.judged_per_s, found.age, found.time, found.lag) == (0.0, None, {}, 104)


def test_quantiles_lie_evenly_within_their_bucket_and_never_beyond_the_last_bound() -> None:
    age = seen(a=recent(page())).total.age
    assert age is not None
    assert (age.p50, round(age.p95, 3), age.p99) == (2.0, 25.833, 30.0)


def test_lag_is_of_all_partitions_and_the_one_that_waits_longest_stands_first() -> None:
    found = seen(a=recent(page()))
    assert (found.total.lag, found.total.lag_age_s, found.total.drain_s) == (104, 30.0, 90.0)
    assert found.partitions == (Lag("images", 1, 4, 30.0, "a"), Lag("images", 0, 100, 12.0, "a"))


def test_consumers_add_up_and_a_partition_that_two_tell_of_counts_once() -> None:
    found = seen(a=recent(page()), b=recent(page(**{DRAIN: 120.0})))
    assert (found.total.judged_per_s, found.total.verdicts["ALLOW"]) == (20.0, 80)
    assert (found.total.lag, found.total.drain_s, len(found.partitions)) == (104, 120.0, 2)


def test_a_consumer_that_does_not_answer_is_shown_and_the_others_count() -> None:
    found = seen(a=ScrapeFailed("connection refused"), b=recent(page()))
    assert [(each.name, each.level, each.state) for each in found.consumers] == [
        ("a", "bad", "no answer: connection refused"),
        ("b", "ok", "judging"),
    ]
    assert found.total.judged_per_s == 10.0


@pytest.mark.parametrize(
    ("gauges", "state", "runbook"),
    [
        ({"sluice_ready": 0, "sluice_fuse_level": 1}, "fuse blown: too many dead letters", "SluiceFuseNearBlowing"),
        ({"sluice_ready": 0}, "not ready: models: loading", "SluiceNotReady"),
        ({DRAIN: 604_800}, "falls behind, mostly in decode", "SluiceLagNotDraining"),
        ({"sluice_paused": 1}, "at its limit, catching up", ""),
        ({"sluice_fuse_level": 0.9}, "judging", ""),
    ],
)
def test_a_consumers_state_is_what_has_to_be_mended_first(
    gauges: Mapping[str, float], state: str, runbook: str
) -> None:
    (consumer,) = seen(a=recent(page(**gauges), failing=("models: loading",))).consumers
    assert (consumer.state, consumer.runbook) == (state, runbook)
    assert (RUNBOOKS / f"{runbook or 'SluiceNotReady'}.md").is_file()


@pytest.mark.parametrize(
    ("instead_of", "said", "where"),
    [
        ("", "", "mostly in decode"),
        ('="decode"', '="wait"', "waiting for the models"),
        ('="backpressure"', '="commit"', "mostly in commit"),
    ],
)
def test_who_falls_behind_is_told_where_the_time_goes(instead_of: str, said: str, where: str) -> None:
    found = parse(BUSY.replace(instead_of, said).replace("time_seconds 90.0", "time_seconds 604800.0"))
    assert seen(a=recent(found)).consumers[0].state == f"falls behind, {where}"


def test_a_wrong_canary_and_a_dependency_are_named() -> None:
    counters = parse(
        '# TYPE sluice_self_test_answers_total counter\nsluice_self_test_answers_total{result="wrong"} 1\n'
    )
    waiting = parse('# TYPE sluice_dependency_waiting gauge\nsluice_dependency_waiting{dependency="store"} 1\n')
    found = seen(a=recent(counters), b=recent(waiting), c=recent(parse(QUIET)))
    assert [each.state for each in found.consumers] == ["self-test wrong", "waits for store", "idle"]
    runbooks = [each.runbook for each in (*found.consumers, *seen(a=ScrapeFailed("hung up")).consumers) if each.runbook]
    assert len(runbooks) == 3
    assert all((RUNBOOKS / f"{name}.md").is_file() for name in runbooks)
    assert f"see docs/runbooks: {runbooks[0]}, {runbooks[1]}" in "\n".join(
        shown(draw(found, (), width=90, height=50), 90)
    )


def test_what_is_being_judged_is_not_said_to_wait() -> None:
    young = parse(
        BUSY.replace('partition="0"} 12.0', 'partition="0"} 0.2').replace('partition="1"} 30.0', 'partition="1"} 0.1')
    )
    assert "lag 104 images under way" in line(seen(a=recent(young)))


def test_how_long_it_takes_is_not_said_before_a_consumer_knows() -> None:
    told = {series: value for series, value in page().gauges.items() if series[0] != DRAIN}
    assert "oldest 30 s  ALLOW" in line(seen(a=recent(Page(page().counters, told))))


def test_every_name_is_one_that_consumers_use() -> None:
    named = [figures.READ, figures.VERDICTS, figures.AGE, figures.LAG, figures.LAG_AGE, figures.DRAIN, READY,
             figures.ACTIVITY, figures.STAGE.removesuffix("_sum"), figures.FUSE, figures.PAUSED, figures.WAITING,
             *(name for name, _ in figures.TROUBLES.values()), *figures.GPU.values()]  # fmt: skip
    documented = (DOCS / "metrics.md").read_text()
    assert [name for name in named if f"`{name}`" not in documented] == []


def test_a_gpu_is_shown_with_what_it_tells() -> None:
    found = seen(a=recent(page()))
    assert found.gpus == (Gpu("a", "GPU-0", {"utilization": 0.93, "memory_bytes": 4e9, "memory_limit_bytes": 8e9}),)
    assert "93%     50%        -      -" in "\n".join(shown(draw(found, (), width=100, height=50), 100))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_view_fits_every_terminal_and_says_the_same(width: int) -> None:
    found = seen(a=ScrapeFailed("no answer within 2 s"), b=recent(page(**{DRAIN: 604_800})))
    lines = shown(draw(found, (1.0, 2.0), width=width, height=60), width)
    text = " ".join(" ".join(lines).replace("│", " ").split())
    assert max(map(len, lines)) <= width
    for expected in (
        "12.0 /s", "p50 2.0 s", "p99 30 s", "104 images", "oldest 30 s", "not getting less", "decode 60%", "40 ALLOW",
        "backpressure 60%", "fetch/not_found 2 +2", "falls behind", "not counted here: sluice lag",
    ):  # fmt: skip
        assert expected in text


def test_of_many_consumers_and_partitions_the_worst_are_shown() -> None:
    answers: dict[str, Recent | ScrapeFailed] = {f"fine-{number}": recent(page()) for number in range(20)}
    text = "\n".join(shown(draw(sight({**answers, "mute": ScrapeFailed("hung up")}), (), width=100, height=40), 100))
    assert "mute" in text
    assert "and 14 more consumers" in text


def test_the_line_for_logs_says_it_in_short() -> None:
    found = seen(a=ScrapeFailed("hung up"), b=recent(page()))
    assert line(found) == (
        "1/2 answer  in 12.0/s out 10.0/s  age p50 2.0 s   p95 26 s   p99 30 s"
        "  lag 104 images   oldest 30 s   drained in 1 min 30 s  ALLOW 40 BLOCK 10  a: no answer: hung up"
    )


def test_nothing_seen_yet_can_be_shown() -> None:
    found = seen(a=ScrapeFailed("hung up"))
    assert "measuring" in "\n".join(shown(draw(found, (), width=80, height=24), 80))
    assert line(found) == "0/1 answer  in 0.0/s out 0.0/s  age -  lag -  a: no answer: hung up"


def test_each_look_asks_all_and_tells_of_the_time_between() -> None:
    pages: dict[str, list[Page | ScrapeFailed]] = {
        "http://a": [parse(QUIET), page()],
        "http://b": [ScrapeFailed("hung up"), parse(QUIET)],
    }
    clock = iter((0.0, 5.0, 5.0)).__next__
    with Poll({"a": "http://a", "b": "http://b"}, clock, lambda base: pages[base].pop(0)) as poll:
        poll.look()
        found = poll.look()
        assert (found.total.judged_per_s, poll.rates) == (10.0, (0.0, 10.0))
        assert [each.state for each in found.consumers] == ["judging", "idle"]
