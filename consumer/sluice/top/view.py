"""Consumers to look at: the live view, and the line for logs. Pure: a sight in, a renderable out."""

from collections.abc import Iterable, Mapping, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sluice.report.table import STYLE
from sluice.report.terminal import Stack, in_words, spark
from sluice.top.figures import OBJECTIVE_S, Age, Consumer, Figures, Gpu, Lag, Level, Sight, Tally
from sluice_schemas import Status

LEVEL_STYLE: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "bad": "bold red"}
TIME_STYLE = {"poll": "cyan", "work": "magenta", "commit": "yellow", "backpressure": "red", "idle": "bright_black"}
VERDICT_STYLE = {str(status): style for status, style in STYLE.items()}
STAGE_STYLE = {"fetch": "cyan", "decode": "blue", "wait": "yellow", "model": "magenta", "policy": "green"}
UNDER_WAY_S = 1.0  # what is younger does not wait; it is being judged
HARMLESS = ("right", "assigned")
WIDEST, WIDE = 110, 72
FIXED_LINES = 26  # what is there besides the rows of consumers and partitions
FEWEST_ROWS = 4
WITHOUT_RATES, FEWEST_RATES = 64, 8  # columns that the line of rates needs beside them
SHOWN_KINDS = 4


def draw(sight: Sight, rates: Sequence[float], *, width: int, height: int) -> RenderableType:
    """Return the view for a terminal of this size; `rates` are verdicts a second, oldest first."""
    rows = max(FEWEST_ROWS, (height - FIXED_LINES) // 2)
    wide = width >= WIDE
    body = [
        _summary(sight, rates[-max(FEWEST_RATES, width - WITHOUT_RATES) :]),
        Text(),
        _consumers(sight.consumers, rows, wide=wide),
    ]
    if sight.partitions:
        body += [Text(), _partitions(sight.partitions, rows, wide=wide)]
    if sight.gpus:
        body += [Text(), _gpus(sight.gpus)]
    count = len(sight.consumers)
    span = f"last {sight.total.span_s:.0f} s" if sight.total.span_s else "measuring"
    title = f"[bold]sluice top[/bold] [dim]{count} consumer{'s' * (count != 1)}, {span}[/dim]"
    return Panel(
        Group(*body), title=title, title_align="left", padding=(1, 2 if wide else 1), border_style="bright_black",
        width=WIDEST,
    )  # fmt: skip


def line(sight: Sight) -> str:
    """Return the sight as one line of a log."""
    total = sight.total
    heard = sum(consumer.figures is not None for consumer in sight.consumers)
    mix = " ".join(f"{status} {count}" for status, count in _ordered(total.verdicts))
    worst = [f"{each.name}: {each.state}" for each in sight.consumers if each.level != "ok"]
    parts = (
        f"{heard}/{len(sight.consumers)} answer",
        f"in {total.read_per_s:.1f}/s out {total.judged_per_s:.1f}/s",
        f"age {_age(total.age).plain}",
        f"lag {_lag(sight).plain}",
        mix,
        "; ".join(worst),
    )
    return "  ".join(filter(None, parts))


def _summary(sight: Sight, rates: Sequence[float]) -> RenderableType:
    total = sight.total
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(ratio=1)
    speed = f"in {total.read_per_s:,.1f} /s   out {total.judged_per_s:,.1f} /s   "
    rows.add_row("throughput", Text.assemble(speed, (spark(rates), "green"), no_wrap=True))
    rows.add_row("event age", _age(total.age))
    rows.add_row("lag", _lag(sight))
    rows.add_row()
    _add_bar(rows, "time", total.time, TIME_STYLE)
    _add_bar(rows, "stages", total.stages, STAGE_STYLE)
    mix = dict(_ordered(total.verdicts))
    rows.add_row("verdicts", Stack([(count, STYLE[status]) for status, count in mix.items()]))
    rows.add_row("", _legend({str(s): f"{count:,} {s}" for s, count in mix.items()}, VERDICT_STYLE, "none of late"))
    for trouble, kinds in total.troubles.items():
        if any(tally.total for tally in kinds.values()):
            rows.add_row(trouble, _tallies(kinds))
    return rows


def _add_bar(rows: Table, name: str, parts: Mapping[str, float], styles: Mapping[str, str]) -> None:
    shown = {kind: parts[kind] for kind in styles if kind in parts}
    whole = sum(shown.values())
    rows.add_row(name, Stack([(value, styles[kind]) for kind, value in shown.items()]))
    rows.add_row(
        "", _legend({k: f"{k} {v / whole:.0%}" for k, v in shown.items() if v} if whole else {}, styles, "none")
    )


def _legend(parts: Mapping[str, str], styles: Mapping[str, str], nothing: str) -> RenderableType:
    if not parts:
        return Text(nothing, style="dim")
    return _whole_parts(Text.assemble(("● ", styles[kind]), words) for kind, words in parts.items())


def _whole_parts(parts: Iterable[Text]) -> RenderableType:
    """Return parts beside each other, none of them broken at the end of a line as text would be."""
    return Columns(parts, padding=(0, 3))


def _age(age: Age | None) -> Text:
    if age is None:
        return Text("-")
    named = (("p50", age.p50), ("p95", age.p95), ("p99", age.p99))
    return Text("   ").join(Text.assemble((name, "dim"), " ", _how_old(value)) for name, value in named)


def _how_old(seconds: float) -> tuple[str, str]:
    return in_words(seconds), "red" if seconds > OBJECTIVE_S else ""


def _lag(sight: Sight) -> Text:
    total = sight.total
    if not total.lag:
        return Text("none" if any(consumer.figures for consumer in sight.consumers) else "-")
    if total.lag_age_s < UNDER_WAY_S:
        return Text(f"{total.lag:,} images under way")
    soon = f"   drained in {in_words(total.drain_s)}" if total.drain_s else ""
    drain = "   not getting less" if total.drain_s is None else soon
    return Text.assemble(f"{total.lag:,} images   oldest ", _how_old(total.lag_age_s), drain)


def _tallies(kinds: Mapping[str, Tally]) -> RenderableType:
    most = sorted(kinds.items(), key=lambda item: (-item[1].lately, -item[1].total, item[0]))
    parts = [_tally(kind, tally) for kind, tally in most[:SHOWN_KINDS] if tally.total]
    rest = len(most) - SHOWN_KINDS
    return _whole_parts([*parts, *([Text(f"and {rest} more kinds", style="dim")] if rest > 0 else [])])


def _tally(kind: str, tally: Tally) -> Text:
    lately = (f" +{tally.lately:,}", "" if kind in HARMLESS else "red") if tally.lately else ("", "")
    return Text.assemble((f"{kind} " if kind else "", "dim"), f"{tally.total:,}", lately)


def _consumers(consumers: Sequence[Consumer], rows: int, *, wide: bool) -> RenderableType:
    figures = ("in/s", "out/s", "p99", "lag") if wide else ("out/s", "lag")
    table = _table(("consumer", "state"), figures)
    order: list[Level] = ["bad", "warn", "ok"]
    ranked = sorted(consumers, key=lambda consumer: order.index(consumer.level))
    for consumer in ranked[:rows]:
        state = Text(consumer.state, style=LEVEL_STYLE[consumer.level])
        table.add_row(Text(consumer.name), state, *(_figure(consumer.figures, name) for name in figures))
    named = dict.fromkeys(consumer.runbook for consumer in ranked if consumer.runbook)
    advice = [f"see docs/runbooks: {', '.join(named)}"] if named else []
    if any(consumer.figures is None for consumer in consumers):
        advice.append("what waits for those that do not answer is not counted here: sluice lag")
    return Group(_with_rest(table, len(consumers) - rows, "consumers"), *(Text(each, style="dim") for each in advice))


def _figure(figures: Figures | None, name: str) -> str:
    if figures is None:
        return "-"
    age = in_words(figures.age.p99) if figures.age else "-"
    return {
        "in/s": f"{figures.read_per_s:,.1f}", "out/s": f"{figures.judged_per_s:,.1f}", "p99": age,
        "lag": f"{figures.lag:,}",
    }[name]  # fmt: skip


def _partitions(partitions: Sequence[Lag], rows: int, *, wide: bool) -> RenderableType:
    table = _table(("partition",), ("lag", "oldest"), *(("consumer",) if wide else ()))
    for each in partitions[:rows]:
        place = Text.assemble((f"{each.topic} " if wide else "", "dim"), str(each.partition))
        oldest = in_words(each.age_s) if each.lag else "-"
        table.add_row(place, f"{each.lag:,}", oldest, *((each.consumer,) if wide else ()))
    return _with_rest(table, len(partitions) - rows, "partitions that wait no longer")


def _gpus(gpus: Iterable[Gpu]) -> RenderableType:
    table = _table(("gpu",), ("busy", "memory", "celsius", "watts"))
    for gpu in gpus:
        told = gpu.readings
        memory = told.get("memory_bytes", 0.0) / told["memory_limit_bytes"] if told.get("memory_limit_bytes") else None
        table.add_row(
            f"{gpu.consumer} {gpu.device}", _percent(told.get("utilization")), _percent(memory),
            _whole(told.get("temperature_celsius")), _whole(told.get("power_watts")),
        )  # fmt: skip
    return table


def _table(texts: Iterable[str], numbers: Iterable[str], *more: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in texts:
        table.add_column(name, overflow="ellipsis")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for name in more:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    return table


def _with_rest(table: Table, rest: int, what: str) -> RenderableType:
    return Group(table, Text(f"and {rest} more {what}", style="dim")) if rest > 0 else table


def _ordered(counts: Mapping[str, int]) -> list[tuple[Status, int]]:
    return [(status, counts[status]) for status in Status if counts.get(status)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
