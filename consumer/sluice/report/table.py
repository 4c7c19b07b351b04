"""Findings as a table for a terminal, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.core.printable import printable
from sluice.moderation.values import CHECKER, Judged, Rejected
from sluice.report import palette
from sluice.report.finding import DEMONSTRATION, LEGEND, Finding, counts, demonstrated, nearest
from sluice_schemas import Concept, ModelRef, PolicyRef

STYLE = {status: colour.dark for status, colour in palette.STATUS.items()}
SHOWN_MARGINS = 3
SHORT = 12  # digits of a digest that fit a line; the JSON has the rest


def table(findings: Sequence[Finding]) -> RenderableType:
    """Return one row per image and, below, what judged."""
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("image", "verdict", "why", "nearest margins", "opinions"):
        rows.add_column(name, overflow="fold")
    for name in ("CLIP", "sharpness", "noise", "dark", "light", "contrast"):
        rows.add_column(name, justify="right", no_wrap=True)
    for finding in findings:
        rows.add_row(*_row(finding))
    note = [Text(DEMONSTRATION, style="bold yellow"), Text()] if demonstrated(findings) else []
    legend = [Text(f"{name}: {meaning}", style="dim") for name, meaning in LEGEND]
    return Group(rows, Text(), _summary(findings), *_judges(findings), Text(), *note, *legend)


def as_json(finding: Finding) -> dict[str, Any]:
    """Return the finding as JSON's types: its name and the very events the consumer would publish."""
    outcome = finding.outcome
    quality = asdict(outcome.quality) if isinstance(outcome, Judged) else None
    dead_letter = asdict(outcome.dead_letter) if isinstance(outcome, Rejected) else None
    events = {"verdict": asdict(outcome.verdict), "quality": quality, "dead_letter": dead_letter}
    return {"name": finding.name, **plain(events)}


def plain(value: Any) -> Any:
    """Return an event's value as JSON's types: times as ISO 8601, identifiers and bytes as text, bytes as hex."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case datetime():
            return value.isoformat()
        case bytes():
            return value.hex()
        case UUID():
            return str(value)
        case _:
            return value


def _row(finding: Finding) -> tuple[RenderableType, ...]:
    status = finding.verdict.status
    margins = Text("  ").join(_margin(concept) for concept in nearest(finding.verdict.concepts, SHOWN_MARGINS))
    return (
        Text(printable(finding.name)),
        Text(status, style=f"bold {STYLE[status]}"),
        Text(printable(finding.why), style="" if finding.verdict.reasons else "dim"),
        margins,
        Text(printable(finding.opinions)),
        *_numbers(finding),
    )


def _margin(concept: Concept) -> Text:
    above = "yellow" if concept.id in CHECKER.special else "red"
    style = above if concept.fired else "dim"
    return Text(f"{concept.id.removeprefix('sd.')} {concept.margin:+.3f}", style=style)


def _numbers(finding: Finding) -> tuple[str, ...]:
    clip, measures = finding.clip, finding.technical
    cosine = f"{clip.cosine:.3f}" if clip else "-"
    if measures is None:
        return (cosine, "-", "-", "-", "-", "-")
    return (
        cosine,
        f"{measures.blur:.0f}",
        f"{measures.noise_sigma:.1f}",
        f"{measures.clipped_dark:.0%}",
        f"{measures.clipped_light:.0%}",
        f"{measures.flat:.0f}",
    )


def _summary(findings: Sequence[Finding]) -> Text:
    parts = [Text(f"{count} {status}", style=STYLE[status]) for status, count in counts(findings).items()]
    return Text("   ").join(parts)


def _judges(findings: Sequence[Finding]) -> list[Text]:
    policies = {finding.verdict.policy for finding in findings}
    models = {model for finding in findings for model in finding.verdict.models}
    lines = [*map(_policy, sorted(policies, key=str)), *map(_model, sorted(models, key=str))]
    return [Text(printable(line), style="dim") for line in lines]


def _policy(policy: PolicyRef) -> str:
    return f"policy {policy.id} v{policy.version}, {policy.digest[:SHORT]}"


def _model(model: ModelRef) -> str:
    return f"{model.role} {model.id}, {model.digest[:SHORT]}, {model.dtype}"
