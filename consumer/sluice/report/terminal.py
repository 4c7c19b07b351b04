"""Small pictures and plain words for a terminal: bars, sparks, spans of time."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

SPARKS = "▁▂▃▄▅▆▇█"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


class Stack:
    """One bar of several colours, as wide as there is room: each part a weight and a style."""

    def __init__(self, parts: Sequence[tuple[float, str]]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = sum(weight for weight, _ in self._parts)
        done, before = 0, 0.0
        for weight, style in self._parts:
            before += weight
            until = round(options.max_width * before / whole) if whole else 0
            yield Segment("━" * (until - done), Style.parse(style))
            done = until
        yield Segment("━" * (options.max_width - done), Style.parse("bright_black"))


def spark(values: Sequence[float]) -> str:
    """Return values as little bars, the largest full height."""
    most = max(values, default=0.0)
    return "".join(SPARKS[round(value / most * (len(SPARKS) - 1))] for value in values) if most > 0 else ""


def in_words(seconds: float) -> str:
    """Return a span of time as people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 -- of more, two digits are enough
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit_s, unit, parts_s, parts in ((DAY_S, "d", HOUR_S, "h"), (HOUR_S, "h", MINUTE_S, "min")):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // parts_s} {parts}"
    return f"{whole // MINUTE_S} min {whole % MINUTE_S} s" if whole >= MINUTE_S else f"{whole} s"
