"""`sluice demo` as people run it, a killed consumer included; and that it cleans up when it is interrupted."""

import json
import signal
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.brokers import EMBEDDED

pytestmark = [*EMBEDDED, pytest.mark.timeout(900)]


def test_a_demo_with_a_killed_consumer_answers_every_event_once_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    result = commands.run(
        tmp_path, "demo", "--events", "200", "--rate", "0", "--seed", "3", "--kills", "1", "--json", str(file)
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(file.read_text())
    assert (report["published"], report["verdicts"]) == (200, 200)
    assert report["quality"] + report["dead_letters"] == 200
    assert (report["lost"], report["duplicated"], report["out_of_order"]) == (0, 0, 0)
    assert sum(report["status_counts"].values()) == 200
    assert report["hostile"]["handled"] == report["hostile"]["answered"] > 0
    assert min(report["safety"]["precision"], report["safety"]["recall"], report["clip"]["auc"]) >= 0.95
    assert report["latency_ms"]["p99"] >= report["latency_ms"]["p50"] > 0
    assert "SIGKILL" in report["notes"][0]
    assert "0 lost, 0 duplicated, 0 out of order" in result.stdout
    assert list(tmp_path.glob("sluice-demo-*")) == []
    commands.await_end_in(tmp_path)


def test_an_interrupted_demo_stops_everything_it_started(tmp_path: Path) -> None:
    process = commands.start(tmp_path, "demo", "--events", "500")
    try:
        assert process.stderr
        while "loading" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=commands.TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in said
    assert list(tmp_path.glob("sluice-demo-*")) == []
    commands.await_end_in(tmp_path)
