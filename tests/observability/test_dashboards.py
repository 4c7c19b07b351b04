"""The dashboards: in step with their code, whole, and asking for nothing that no consumer tells."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from helm.dashboards.__main__ import main
from tests.observability import files

ASKED_FOR = {  # what operators look for, by dashboard
    "sluice-overview": [
        "Event age",
        "Lag: the longest partition beside the sum",
        "Slope of the lag",
        "Time to drain",
        "In against out",
        "Where the time goes",
    ],
    "sluice-internals": ["Rebalances", "Landings", "Stages, p95", "Batch size"],
    "sluice-models": ["Utilization", "Images scored", "Self-test"],
    "sluice-quality": [
        "Verdict mix",
        "Withheld, by generator",
        "Dead letters, by reason",
        "CLIP: agreement with the prompt",
        "Aesthetic score",
    ],
}


def test_the_files_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("file", files.DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_stands_by_itself(file: Path) -> None:
    board = json.loads(file.read_text())
    assert board["uid"] == file.stem
    assert [variable["name"] for variable in board["templating"]["list"]] == [
        "datasource",
        "tracing",
        "job",
        "instance",
    ]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])


def test_nothing_is_asked_for_that_is_not_written_down() -> None:
    """By the page of metrics, the recording rules, and what the OpenTelemetry SDK counts of itself."""
    known = set(re.findall(r"^\| `(\w+)`", (files.ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")}
    known |= {rule["record"] for rule in files.rules() if "record" in rule}
    known |= {
        "otel_sdk_exporter_span_exported_total",
        "hw_gpu_utilization_ratio",
    }  # the latter where a collector names it
    asked = [query.expr for query in files.queries()] + [rule["expr"] for rule in files.rules()]
    assert {selector.split("{")[0] for expr in asked for selector in files.selectors(expr)} - known == set()


def test_every_panel_that_was_asked_for_is_there() -> None:
    titles: dict[str, set[str]] = {}
    for board, panel in files.panels():
        titles.setdefault(board, set()).add(panel["title"])
    assert {board: [title for title in asked if title not in titles[board]] for board, asked in ASKED_FOR.items()} == {
        board: [] for board in ASKED_FOR
    }


@pytest.mark.parametrize(
    ("board", "panel"), list(files.panels()), ids=lambda part: part if isinstance(part, str) else part["title"]
)
def test_a_panel_says_what_it_shows_and_follows_the_choice_of_jobs(board: str, panel: dict[str, object]) -> None:
    del board
    assert str(panel["description"]).endswith(".")
    targets = panel["targets"]
    assert isinstance(targets, list)
    for target in targets:
        for selector in files.selectors(target["expr"]):
            assert 'job=~"$job"' in selector or selector.startswith("ALERTS"), selector


def test_points_lead_to_the_traces_of_their_time() -> None:
    links = [link for _, panel in files.panels() for link in panel["fieldConfig"]["defaults"].get("links", [])]
    assert len(links) > 5
    for link in links:
        (panes,) = parse_qs(urlsplit(link["url"]).query)["panes"]
        (pane,) = json.loads(panes).values()
        assert pane["datasource"] == "${tracing}"
        assert pane["queries"][0]["query"] == '{resource.service.name="sluice"}'
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}


def test_exemplars_are_asked_for_where_a_histogram_can_have_them() -> None:
    targets = [target for _, panel in files.panels() for target in panel["targets"] if "_bucket" in target["expr"]]
    assert targets
    assert all(target.get("exemplar") or target.get("instant") for target in targets)
