"""A demo to look at: the live view, the line for logs, the closing report. Pure: a snapshot in, a renderable out."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sluice.demo.plan import Plan
from sluice.demo.snapshot import Snapshot
from sluice.report.table import STYLE
from sluice.report.terminal import Stack, spark
from sluice_schemas import Status
from sluice_sim.report import Report

TIME_STYLE = {"fetch": "cyan", "decode": "blue", "model": "magenta", "commit": "yellow"}
SHOWN_REASONS = 6
WIDTH = 100
MINUTE_S = 60


def live(snapshot: Snapshot) -> RenderableType:
    """Return the whole live view."""
    report = snapshot.report
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(ratio=1)
    rows.add_row("throughput", _throughput(snapshot.rates))
    rows.add_row("latency", latency(report))
    rows.add_row("lag", Text(f"{report.lost:,} events" if report.lost else "none"))
    rows.add_row()
    rows.add_row("verdicts", Stack([(report.status_counts.get(status, 0), STYLE[status]) for status in Status]))
    rows.add_row("", _mix(report.status_counts))
    rows.add_row()
    shares = snapshot.time_shares
    rows.add_row("time", Stack([(share, TIME_STYLE[stage]) for stage, share in shares.items()]))
    rows.add_row("", _shares(shares))
    rows.add_row()
    rows.add_row("dead letters", _reasons(snapshot.rejected))
    notes = [Text(note, style="yellow") for note in snapshot.notes]
    body = Group(_progress(snapshot), Text(), rows, *notes)
    consumers = "1 consumer" if snapshot.plan.workers == 1 else f"{snapshot.plan.workers} consumers"
    title = f"[bold]sluice demo[/bold] [dim]{consumers}, {snapshot.doing}[/dim]"
    return Panel(body, title=title, title_align="left", padding=(1, 2), width=WIDTH, border_style="bright_black")


def line(snapshot: Snapshot) -> str:
    """Return the snapshot as one line of a log."""
    mix = " ".join(f"{status} {count}" for status, count in _ordered(snapshot.report.status_counts))
    rate = f"{snapshot.rates[-1]:.0f}/s" if snapshot.rates else "-"
    return (
        f"{clock(snapshot.elapsed_s)}  {snapshot.doing}: {snapshot.answered}/{snapshot.plan.events}"
        f"  lag {snapshot.report.lost}  {rate}  {mix}".rstrip()
    )


def closing(report: Report, plan: Plan) -> RenderableType:
    """Return the closing report."""
    rows = Table.grid(padding=(0, 3))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    for name, value in _closing_rows(report, plan):
        rows.add_row(name, value)
    return rows


def latency(report: Report) -> Text:
    """Return the percentiles as one line."""
    named = (("p50", report.latency_ms.p50), ("p95", report.latency_ms.p95), ("p99", report.latency_ms.p99))
    parts = [Text.assemble((name, "dim"), " ", duration(value)) for name, value in named if value is not None]
    return Text("   ").join(parts) if parts else Text("-")


def duration(milliseconds: float) -> str:
    """Return milliseconds as people say them."""
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"  # noqa: PLR2004


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // MINUTE_S}:{int(seconds) % MINUTE_S:02}"


def _progress(snapshot: Snapshot) -> RenderableType:
    events = snapshot.plan.events
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=events, completed=snapshot.answered, complete_style="green", finished_style="green")
    share = snapshot.answered / events if events else 1.0
    row.add_row(bar, Text(f" {snapshot.answered:,} of {events:,}  {share:.0%}  {clock(snapshot.elapsed_s)}"))
    return row


def _throughput(rates: Sequence[float]) -> Text:
    if not rates:
        return Text("-")
    return Text.assemble(f"{rates[-1]:6.1f} /s   ", (spark(rates), "green"))


def _mix(counts: Mapping[str, int]) -> Text:
    parts = [Text.assemble(("● ", STYLE[status]), f"{count:,} {status}") for status, count in _ordered(counts)]
    return Text("   ").join(parts) if parts else Text("none yet", style="dim")


def _shares(shares: Mapping[str, float]) -> Text:
    parts = [Text.assemble(("● ", TIME_STYLE[stage]), f"{stage} {share:.0%}") for stage, share in shares.items()]
    return Text("   ").join(parts) if parts else Text("no batch yet", style="dim")


def _reasons(rejected: Mapping[str, int]) -> Text:
    if not rejected:
        return Text("none")
    shown = [f"{reason} {count}" for reason, count in islice(rejected.items(), SHOWN_REASONS)]
    rest = len(rejected) - len(shown)
    more = f" and {rest} more kinds" if rest else ""
    return Text.assemble(str(sum(rejected.values())), ("   " + ", ".join(shown) + more, "dim"))


def _ordered(counts: Mapping[str, int]) -> list[tuple[Status, int]]:
    return [(status, counts[status]) for status in Status if counts.get(status)]


def _closing_rows(report: Report, plan: Plan) -> Iterable[tuple[str, Text]]:
    exact = ("lost", report.lost), ("duplicated", report.duplicated), ("out of order", report.out_of_order)
    yield "published", Text(f"{report.published:,}")
    yield (
        "answered",
        Text(f"{report.verdicts:,} verdicts, {report.quality:,} quality events, {report.dead_letters:,} dead letters"),
    )
    yield (
        "exactly once",
        Text(", ").join(Text(f"{count} {name}", style="bold red" if count else "green") for name, count in exact),
    )
    yield "verdicts", _mix(report.status_counts)
    yield "safety", Text(f"precision {_figure(report.safety.precision)}, recall {_figure(report.safety.recall)}")
    clip = report.clip
    yield (
        "CLIP",
        Text(
            f"AUC {_figure(clip.auc)}, mean cosine {_figure(clip.matching_mean)} for matching prompts and"
            f" {_figure(clip.mismatching_mean)} for others"
        ),
    )
    yield (
        "hostile inputs",
        Text(f"{report.hostile.handled} of {report.hostile.answered} answered as they must be"),
    )
    yield "latency", latency(report)
    yield "throughput", Text(f"{report.events_per_s:.1f} events/s over {report.elapsed_s:.1f} s, {_sent(plan)}")


def _sent(plan: Plan) -> str:
    return f"sent at {plan.rate_per_s:g} a second" if plan.rate_per_s else "sent at once, so that most of them queued"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
