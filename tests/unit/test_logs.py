"""Events of the log: one table, each told somewhere, with its fields and no others."""

import ast
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.log_events import EVENTS, EventName, log_event, markdown, places, trace_id
from sluice.core.records import Partition
from sluice.settings import Settings
from sluice.telemetry import logs
from sluice.telemetry.logs import RateLimitFilter
from sluice.telemetry.observability import Observability
from sluice_schemas import ModelRef

ROOT = Path(__file__).parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def told() -> dict[str, set[str]]:
    """Return the events that the product tells, and the fields it gives each."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "consumer/sluice").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "log_event"
                and call.args
            ):
                names = {node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)}
                for name in names & set(get_args(EventName)):
                    found.setdefault(str(name), set()).update(str(word.arg) for word in call.keywords)
    return found


def test_every_event_is_in_the_table_and_told_somewhere_with_its_fields() -> None:
    stopped = {name: {"error", "exit_code"} for name in ("fuse_blown", "self_test_failed")}
    assert set(EVENTS) == set(get_args(EventName))
    assert {name: set(meaning.fields) for name, meaning in EVENTS.items()} == told() | stopped


def test_the_table_in_the_docs_is_the_codes() -> None:
    """Run `sluice config logs > docs/logs.md` when this fails."""
    assert (ROOT / "docs/logs.md").read_text() == markdown()
    command = ["config", "logs", "--check", str(ROOT / "docs/logs.md")]
    assert CliRunner().invoke(app, command, obj=Invocation()).exit_code == 0


def test_a_table_out_of_step_is_found(tmp_path: Path) -> None:
    stale = tmp_path / "logs.md"
    stale.write_text(markdown().replace("draining", "dripping"))
    result = CliRunner().invoke(app, ["config", "logs", "--check", str(stale)], obj=Invocation())
    assert result.exit_code == 1
    assert "sluice config logs > " in result.stderr


@pytest.mark.usefixtures("restored_logging")
def test_an_event_is_one_line_of_json_with_its_level_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    log_event("dead_letter", topic="images", partition=1, offset=7, stage="fetch", reason="gone", trace_id=None)
    log_event("dependency_down", dependency="store", error="https://user:key@store/?token=1 is slow", again_s=2)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert {key: first[key] for key in ("event", "level", "topic", "partition", "offset", "reason")} == {
        "event": "dead_letter",
        "level": "warning",
        "topic": "images",
        "partition": 1,
        "offset": 7,
        "reason": "gone",
    }
    assert "trace_id" not in first
    assert second["error"] == "https://...@store/?... is slow"


@pytest.mark.usefixtures("restored_logging")
def test_what_libraries_attach_to_their_lines_stays_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    logging.getLogger("x").warning("hello", extra={"headers": "secret", "reason": "known"})
    line = json.loads(capsys.readouterr().err)
    assert "headers" not in line
    assert line["reason"] == "known"


def test_what_happens_often_is_written_seldom_and_says_how_often_it_was_not() -> None:
    now = 0.0
    seldom = RateLimitFilter(lambda: now)

    def written(event: str, **fields: str) -> bool | int:
        record = logging.makeLogRecord({"msg": event, **fields})
        return seldom.filter(record) and getattr(record, "more", True)

    assert [written("paused") for _ in range(3)] == [True, False, False]
    assert [written("resumed"), written("ready"), written("ready"), written("a text")] == [True] * 4
    downs = [written("dependency_down", dependency=which) for which in ("store", "memory", "store")]
    assert downs == [True, True, False]
    now = 60.0
    assert [written("paused"), written("paused"), written("resumed")] == [2, False, True]


def test_partitions_are_told_by_topic_in_order() -> None:
    assert places([Partition("b", 0), Partition("a", 10), Partition("a", 2)]) == "a/2,10 b/0"
    assert places([]) == ""


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01".encode(), TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01 and words of a stranger".encode(), None),
        (b"words", None),
        (None, None),
    ],
)
def test_the_trace_of_a_record_is_told_if_it_is_one(value: bytes | None, found: str | None) -> None:
    assert trace_id((("other", b"x"), ("traceparent", value))) == found
    assert trace_id(()) is None


@dataclass(frozen=True)
class Lane:
    """Loaded models."""

    provenance: tuple[ModelRef, ...]
    trouble: str = ""


@pytest.mark.parametrize(("bundle", "told"), [("starter", True), ("openai", False)])
def test_a_demonstrations_weights_are_said_to_be_no_more_with_what_brings_real_ones(
    bundle: str, *, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    inference = Lane((ModelRef("safety", bundle, "", "0" * 64, "float32"),))
    with caplog.at_level("INFO", logger="sluice"):
        Observability.of(Settings()).loaded("/some/folder", 1.0, inference)
    lines = {record.msg: record for record in caplog.records}
    assert "models_loaded" in lines
    assert ("demonstration_weights" in lines) is told
    if told:
        advice = vars(lines["demonstration_weights"])["advice"]
        assert all(
            word in advice for word in ("sluice models fetch", "SLUICE_MODELS__BUNDLE=openai", "PRESET=opinions")
        )
