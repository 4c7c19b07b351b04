"""The alerts: each fires when it should, and only then, and tells whoever is called what to do."""

import re
import shutil
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests.observability import files

ALERTS = sorted({alert["alert"] for alert in files.alerts()})
SEVERITIES = {"critical", "warning"}

needs_prometheus = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not on the PATH: install Debian's package prometheus"
)


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def case_names() -> tuple[str, ...]:
    return tuple(case["name"] for file in files.PROMTOOL_TESTS for case in yaml.safe_load(file.read_text())["tests"])


@pytest.mark.prometheus
@needs_prometheus
def test_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(files.RULES))


@pytest.mark.prometheus
@needs_prometheus
@pytest.mark.parametrize("file", files.PROMTOOL_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_at_no_other_time(file: Path) -> None:
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("what", ["fires", "does not fire", "at the boundary"])
def test_each_alert_is_tried_above_below_and_at_its_bound(alert: str, what: str) -> None:
    assert any(name.startswith(f"{alert} {what}") for name in case_names())


@pytest.mark.parametrize("alert", files.alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(alert: dict[str, dict[str, str]]) -> None:
    name, notes = str(alert["alert"]), alert["annotations"]
    assert alert["labels"]["severity"] in SEVERITIES
    assert re.fullmatch(r"[A-Z][^.]+", notes["summary"]), "one sentence without an end, as notifications show it"
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/runbooks/{name}.md"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    assert sorted(page.stem for page in files.RUNBOOKS.glob("*.md")) == ALERTS


@pytest.mark.parametrize("page", sorted(files.RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_says_where_to_look_what_to_do_and_when_it_is_over(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert "## Over when" in text
    assert "| do |" in text or "## Do" in text
    links = chain.from_iterable(re.findall(r"\]\(([^)#]+)\)", line) for line in text.splitlines())
    assert [link for link in links if not (page.parent / link).exists()] == []
