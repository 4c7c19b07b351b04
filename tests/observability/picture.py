"""Draws a dashboard from what a real Prometheus saw of a short life: `python -m tests.observability.picture FILE`.

Grafana itself cannot be asked here. The panels, their queries, places and limits are those of its JSON file.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.observability import files
from tests.observability.life import Life, lived
from tests.observability.prometheus import WINDOW, Labels
from tests.support import brokers

BOARD = "sluice-overview"
COLOURS = ("#2563eb", "#dc2626", "#16a34a", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4b5563")
LIMITS = {"green": "#16a34a", "orange": "#d97706", "red": "#dc2626"}
UNIT_PX, LINE_PX, TITLE_PX, LEGEND_PX, PAD_PX = 50, 30, 20, 14, 8
Samples = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    name: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel is drawn, pixels, and which span of time it shows."""

    left: float
    top: float
    width: float
    height: float
    began_s: float
    ended_s: float

    def x(self, at_s: float) -> float:
        """Return the place of a time."""
        return self.left + (at_s - self.began_s) / (self.ended_s - self.began_s) * self.width

    def points(self, samples: Samples, low: float, high: float) -> str:
        """Return the places of samples between these bounds."""
        scale = self.height / ((high - low) or 1)
        return " ".join(f"{self.x(at):.1f},{self.top + self.height - (v - low) * scale:.1f}" for at, v in samples)


def picture(life: Life, board: str) -> str:
    """Return the dashboard as SVG."""
    panels = [panel for uid, panel in files.panels() if uid == board]
    height = max((p["gridPos"]["y"] + p["gridPos"]["h"]) * LINE_PX for p in panels) + 2 * LINE_PX
    width = 24 * UNIT_PX
    began_s, ended_s = life.spans["none"][0], life.spans["poison"][1]
    body = [text for panel in panels for text in _panel(life, panel, began_s, ended_s)]
    drawn = "\n".join([*body, *_told(life, began_s, height)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
        f'<rect width="{width}" height="{height}" fill="#f3f4f6"/>\n{drawn}\n</svg>\n'
    )


def _panel(life: Life, panel: dict[str, Any], began_s: float, ended_s: float) -> Iterator[str]:
    place = panel["gridPos"]
    x, y = place["x"] * UNIT_PX + 4, place["y"] * LINE_PX + 4
    w, h = place["w"] * UNIT_PX - 8, place["h"] * LINE_PX - 8
    lines = list(_lines(life, panel, began_s, ended_s))
    yield f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="4" fill="white" stroke="#d1d5db"/>'
    yield _text(x + PAD_PX, y + 15, panel["title"], weight="bold")
    frame = Frame(x + 60, y + TITLE_PX + 6, w - 70, h - TITLE_PX - 2 * LEGEND_PX - 12, began_s, ended_s)
    if panel["type"] == "stat":
        yield _figure(panel, lines, x + w / 2, y + h - 22)
    elif panel["type"] == "state-timeline":
        yield from _states(frame, lines, h)
    else:
        yield from _graph(frame, panel, lines)


def _lines(life: Life, panel: dict[str, Any], began_s: float, ended_s: float) -> Iterator[Line]:
    for target in panel["targets"]:
        found = life.prometheus.history(files.filled(target["expr"], WINDOW), began_s, ended_s)
        for labels, samples in found.items():
            yield Line(_legend(target.get("legendFormat", ""), labels), samples)


def _legend(form: str, labels: Labels) -> str:
    for key, value in labels:
        form = form.replace(f"{{{{{key}}}}}", value)
    return form


def _graph(frame: Frame, panel: dict[str, Any], lines: list[Line]) -> Iterator[str]:
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    drawn = list(_stack(lines)) if stacked else lines
    values = [value for line in drawn for _, value in line.samples]
    low, high = min([0.0, *values]), max([0.0, *values])
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    yield f'<path d="M{frame.left},{frame.top}v{frame.height}h{frame.width}" fill="none" stroke="#9ca3af"/>'
    yield _text(frame.left - 4, frame.top + 8, _number(high, unit), anchor="end")
    yield _text(frame.left - 4, frame.top + frame.height, _number(low, unit), anchor="end")
    coloured = list(zip(drawn, cycle(COLOURS), strict=False))
    for line, colour in reversed(coloured) if stacked else coloured:
        points = frame.points(line.samples, low, high)
        if stacked:
            first, last = frame.x(line.samples[0][0]), frame.x(line.samples[-1][0])
            floor = frame.top + frame.height
            yield f'<polygon points="{first:.1f},{floor} {points} {last:.1f},{floor}" fill="{colour}" opacity="0.8"/>'
        else:
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    yield from _legends(frame, coloured)


def _legends(frame: Frame, coloured: Iterable[tuple[Line, str]]) -> Iterator[str]:
    x, y = frame.left, frame.top + frame.height + LEGEND_PX
    for line, colour in coloured:
        width = 6.2 * len(line.name) + 18
        if x + width > frame.left + frame.width:
            x, y = frame.left, y + LEGEND_PX
        yield f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="8" height="8" fill="{colour}"/>' + _text(x + 11, y, line.name)
        x += width


def _stack(lines: list[Line]) -> Iterator[Line]:
    below: dict[float, float] = {}
    for line in lines:
        for at, value in line.samples:
            below[at] = below.get(at, 0.0) + value
        yield Line(line.name, [(at, below[at]) for at, _ in line.samples])


def _figure(panel: dict[str, Any], lines: list[Line], x: float, y: float) -> str:
    if not lines:
        return _text(x, y, "-", size=28, anchor="middle")
    value, defaults = lines[0].samples[-1][1], panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps", [])
    colour = next((s["color"] for s in reversed(steps) if s["value"] is None or value >= s["value"]), "")
    text = _number(value, defaults.get("unit", ""))
    return _text(x, y, text, size=28, anchor="middle", colour=LIMITS.get(colour, "#111827"))


def _states(frame: Frame, lines: list[Line], height: float) -> Iterator[str]:
    step = min(20.0, (height - TITLE_PX - 10) / max(1, len(lines)))
    for row, line in enumerate(sorted(lines, key=lambda line: line.samples[0])):
        y = frame.top + row * step
        for at, _ in line.samples:
            colour = COLOURS[1] if line.name.endswith("critical") else COLOURS[3]
            if frame.began_s <= at <= frame.ended_s:
                x = frame.left + 170 + (frame.x(at) - frame.left) * (1 - 175 / frame.width)
                yield f'<rect x="{x:.1f}" y="{y:.1f}" width="5" height="{step - 4:.1f}" fill="{colour}"/>'
        yield _text(frame.left - 50, y + step / 2 + 2, line.name)


def _told(life: Life, began_s: float, height: float) -> Iterator[str]:
    shown = sorted((span, name) for name, span in life.spans.items() if name not in {"none", "poison"})
    told = "; ".join(f"{name}: {span[0] - began_s:.0f} to {span[1] - began_s:.0f}" for span, name in shown)
    yield _text(
        8, height - 30, "A minute of two consumers, everything on purpose. One is killed by a poisonous picture again"
    )
    yield _text(8, height - 12, f"and again; what the other suffers, in seconds from the left: {told}.")


def _number(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s" and value >= 7 * 86400:
        return "never"
    return f"{value:.3g}{' s' if unit == 's' else '/s' if unit == 'cps' else ''}"


def _text(  # noqa: PLR0913 - the attributes of one element
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    weight: str = "normal",
    anchor: str = "start",
    colour: str = "#111827",
) -> str:
    look = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {look}>{escape(text)}</text>'


def main(file: Path) -> None:
    """Live, and draw."""
    folder = Path(tempfile.mkdtemp())
    try:
        for name in ("broker", "life"):
            (folder / name).mkdir()
        with brokers.embedded(folder / "broker") as address, lived(address, folder / "life") as life:
            file.write_text(picture(life, BOARD))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
