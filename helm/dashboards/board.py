"""What a dashboard shows, as plain values: rows of panels, each a question that its queries answer.

In a query `OURS` stands for the jobs and instances that are chosen at the top of the dashboard.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Look = Literal["graph", "stack", "figure", "states"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `queries` are PromQL by legend, `limits` are where it turns orange and red, `unit` is Grafana's.

    With `traces` its points lead to the traces of their time. Red lies below where the second limit is the smaller.
    """

    title: str
    text: str
    queries: Mapping[str, str]
    unit: str = "short"
    look: Look = "graph"
    width: int = 12
    limits: tuple[float, float] | None = None
    traces: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, from left to right in a grid 24 wide."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; its file is named after its uid."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]


def figure(title: str, text: str, query: str, *, unit: str = "short", limits: tuple[float, float] | None) -> Panel:
    """Show one number, large."""
    return Panel(title, text, {"": query}, unit, "figure", width=4, limits=limits)


def quantiles(histogram: str, *levels: float, by: str = "") -> dict[str, str]:
    """Ask for quantiles of a histogram over all replicas, one line per level and value of `by`."""
    labels = f"le, {by}" if by else "le"
    inner = f"sum by ({labels}) (rate({histogram}_bucket{{OURS}}[$__rate_interval]))"
    legend = f" {{{{{by}}}}}" if by else ""
    return {f"p{level * 100:g}{legend}": f"histogram_quantile({level}, {inner})" for level in levels}
