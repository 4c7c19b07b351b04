"""The files that operators get: rules and dashboards, read as their programs read them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm/sluice/alerts/sluice.yaml"
DASHBOARDS = sorted((ROOT / "helm/sluice/dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs/runbooks"
PROMTOOL_TESTS = sorted((ROOT / "tests/observability/alerts").glob("*.yaml"))

_SELECTOR = re.compile(r"\b([a-zA-Z_][a-zA-Z0-9_]*(?::[a-zA-Z0-9_:]+)?)\b(\{[^}]*\})?")
_LABELS = re.compile(r"\b(by|on|group_left) \([^)]*\)")
_OURS = ("sluice_", "messaging_", "kafka_", "hw_", "process_", "otel_", "job:", "job_generator:", "job_partition:")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel."""

    board: str
    panel: str
    expr: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expr}"


def rules() -> list[dict[str, Any]]:
    """Return every rule, recording and alerting."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return every alerting rule; several may share a name."""
    return [rule for rule in rules() if "alert" in rule]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every panel with the uid of its dashboard, rows aside."""
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        yield from ((board["uid"], panel) for panel in board["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """Return every query of every panel."""
    return [Query(board, panel["title"], target["expr"]) for board, panel in panels() for target in panel["targets"]]


def filled(expr: str, interval: str) -> str:
    """Put in what Grafana puts in for the dashboards' variables when everything is chosen."""
    return expr.replace("$__rate_interval", interval).replace("$job", ".*").replace("$instance", ".*")


def selectors(expr: str) -> list[str]:
    """Return what an expression selects of our metrics, with its label matchers."""
    found = (match[0] for match in _SELECTOR.finditer(_LABELS.sub("", expr)))
    return [selector for selector in found if selector.startswith(_OURS)]
