"""Probes, scrapes and events of a running `sluice run`: while it loads, judges, stops itself and leaves."""

import json
import re
import signal
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from sluice.core.log_events import EVENTS
from sluice.services.moderator.self_test_file import SHIPPED
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.brokers import EMBEDDED
from tests.support.ports import free_port

pytestmark = [*EMBEDDED, pytest.mark.timeout(600)]
WITHIN_S = 240.0


def served(embedded_address: str, folder: Path, **given: str) -> tuple[Stage, int]:
    """Return a stage whose worker answers at a port."""
    port = free_port()
    variables = {"SLUICE_TELEMETRY__HTTP_PORT": str(port), **given}
    return replace(Stage(embedded_address, folder, partitions=2, evicts=False), given=variables).set_up(), port


def asked(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body; 0 while nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def until(path: str, status: int, port: int, worker: Worker, saying: str = "") -> tuple[set[int], dict[str, Any]]:
    """Ask until that is the answer; return all that were given on the way, and the checks of the last one."""
    deadline, seen = monotonic() + WITHIN_S, set()
    while True:
        found, body = asked(port, path)
        seen.add(found)
        if found == status and saying in body.decode():
            return seen, json.loads(body)["checks"]
        assert not worker.over, worker.log.read_text()
        assert monotonic() < deadline, f"{path}: {seen}\n{worker.log.read_text()}"
        sleep(0.02)


def right_answers(port: int) -> float:
    found = re.search(rb'sluice_self_test_answers_total{result="right"} ([0-9.]+)', asked(port, "/metrics")[1])
    assert found
    return float(found[1])


def events(worker: Worker) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] in EVENTS]


def test_it_answers_before_the_models_are_loaded_is_ready_when_it_judges_and_says_so_in_events(
    embedded_address: str, tmp_path: Path
) -> None:
    stage, port = served(embedded_address, tmp_path, SLUICE_SELF_TEST__EVERY_S="0.1")
    with Worker(stage) as worker:
        seen, _ = until("/startupz", 200, port, worker)
        assert 503 in seen, "the server came up only after the models"
        assert asked(port, "/livez")[0] == 200
        _, ready = until("/readyz", 200, port, worker)
        assert ready["self_test"] == {"ok": True, "found": "2 right"}
        assert b"sluice_ready 1.0" in asked(port, "/metrics")[1]
        deadline = monotonic() + WITHIN_S
        while right_answers(port) < 6:
            assert monotonic() < deadline, "the self-test is not repeated"
            sleep(0.1)
        assert worker.ready
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert [line["event"] for line in events(worker) if not line["event"].startswith("partitions")] == [
            "starting", "serving", "models_loaded", "demonstration_weights",
            "self_test_passed", "ready", "draining", "drained",
        ]  # fmt: skip


def test_a_canary_that_is_answered_wrong_stops_it_before_it_joins_and_a_scrape_sees_why(
    embedded_address: str, tmp_path: Path
) -> None:
    plain = json.loads(SHIPPED.read_text())
    plain["pictures"][0]["answer"]["concepts"][0]["margin"] += 0.5
    tampered = tmp_path / "self_test.json"
    tampered.write_text(json.dumps(plain))
    stage, port = served(
        embedded_address,
        tmp_path,
        SLUICE_SELF_TEST__FILE=str(tampered),
        SLUICE_TELEMETRY__LINGER_S="200",
    )
    with Worker(stage) as worker:
        until("/startupz", 200, port, worker)
        _, ready = until("/readyz", 503, port, worker, saying="self-test: shape: concept")
        assert ready["judging"]["found"] == "stopped: SelfTestFailed"
        assert b'sluice_self_test_answers_total{result="wrong"} 1.0' in asked(port, "/metrics")[1]
        worker.send(signal.SIGTERM)
        assert worker.wait() == 76
        wrong = [line for line in events(worker) if line["event"] == "self_test_failed"]
        assert [(line["level"], line["exit_code"]) for line in wrong] == [("error", 76)]
        assert "partitions_assigned" not in worker.log.read_text()
