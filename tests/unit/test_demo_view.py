"""What a running demo shows: pure functions from a snapshot."""

from dataclasses import replace
from io import StringIO

from rich.console import Console, RenderableType

from sluice.demo.plan import Plan
from sluice.demo.snapshot import Snapshot, Speed, spent_s
from sluice.demo.view import clock, closing, duration, line, live
from sluice.top.scrape import Page, ScrapeFailed
from sluice_sim.report import Clip, Hostile, Latency, Report, Safety

REPORT = Report(
    published=1241,
    verdicts=1204,
    quality=1180,
    dead_letters=24,
    lost=37,
    status_counts={"BLOCK": 150, "ALLOW": 1030, "INDETERMINATE": 24},
    safety=Safety(0.99, None),
    clip=Clip(0.71, 0.06, 0.998),
    hostile=Hostile(24, 23, {"bomb": {"too_many_pixels": 3}, "half": {"truncated": 20}}),
    rejected={"truncated": 1},
    latency_ms=Latency(210.0, 480.4, 12_700.0),
    events_per_s=48.2,
    elapsed_s=25.0,
)
SNAPSHOT = Snapshot(
    Plan(),
    "judging",
    REPORT,
    spent_s={"fetch": 0.0, "decode": 6.0, "model": 3.0, "commit": 1.0},
    rates=(10.0, 48.0),
    elapsed_s=71.9,
    notes=("consumer 1 was ended by SIGKILL; started again",),
)


def text(renderable: RenderableType, width: int = 100) -> str:
    file = StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue()


def test_the_live_view_shows_progress_speed_lag_latency_mix_reasons_time_and_restarts() -> None:
    shown = text(live(SNAPSHOT))
    for expected in (
        "1,204 of 2,000  60%  1:11",
        "48.0 /s",
        "37 events",
        "p95 480 ms",
        "p99 12.7 s",
        "1,030 ALLOW",
        "truncated 21, too_many_pixels 3",
        "decode 60%",
        "commit 10%",
        "started again",
    ):
        assert expected in shown


def test_a_demo_that_has_not_begun_can_be_shown() -> None:
    assert "0 of 2,000" in text(live(Snapshot(Plan(), "starting the broker")))
    assert line(Snapshot(Plan(), "starting")) == "0:00  starting: 0/2000  lag 0  -"


def test_the_log_line_says_the_same_in_one_line() -> None:
    assert line(SNAPSHOT) == "1:11  judging: 1204/2000  lag 37  48/s  ALLOW 1030 BLOCK 150 INDETERMINATE 24"


def test_the_closing_report_names_what_was_lost_and_has_no_figure_where_there_is_none() -> None:
    shown = text(closing(REPORT, Plan(rate_per_s=0)), 200)
    assert "37 lost, 0 duplicated, 0 out of order" in shown
    assert "precision 0.990, recall -" in shown
    assert "23 of 24 answered as they must be" in shown
    assert "queued" in shown
    assert "sent at 25 a second" in text(closing(REPORT, Plan()), 200)


def test_times_read_as_people_say_them() -> None:
    assert (duration(9.4), duration(10_000), clock(0), clock(3601)) == ("9 ms", "10.0 s", "0:00", "60:01")


def test_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed(window_s=4, kept=3)
    assert speed(0, 0) == (0.0,)
    assert speed(2, 20) == (0.0, 10.0)
    speed(4, 20)
    assert speed(8, 60) == (10.0, 5.0, 10.0)


def test_the_time_of_all_consumers_is_added_up_and_one_that_is_silent_counts_for_nothing() -> None:
    decode = ("sluice_stage_duration_seconds_sum", frozenset({("stage", "decode")}))
    commit = ("sluice_commit_duration_seconds_sum", frozenset[tuple[str, str]]())
    pages: list[Page | ScrapeFailed] = [
        Page({decode: 2.0, commit: 1.0}, {}),
        ScrapeFailed("hung up"),
        Page({decode: 0.5}, {}),
    ]
    assert spent_s(pages) == {"fetch": 0.0, "decode": 2.5, "model": 0.0, "commit": 1.0}


def test_nothing_answered_is_no_share_of_anything() -> None:
    assert replace(SNAPSHOT, spent_s={}).time_shares == {}
