"""Asking a consumer over HTTP: pages, why it is not ready, and every way not to answer; and the command that asks."""

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import BadSettings, DependencyDown
from sluice.telemetry.health import Check
from sluice.telemetry.http import Reply, probe, serving
from sluice.top import scrape as scraping
from sluice.top.scrape import Page, ScrapeFailed, parse, scrape
from tests.support.ports import free_port
from tests.support.raw_http import talk

METRICS = """
# TYPE sluice_ready gauge
sluice_ready 0.0
# TYPE sluice_verdicts_total counter
sluice_verdicts_total{status="ALLOW"} 3.0
"""
PAGES: Mapping[str, Callable[[], Reply]] = {
    "/metrics": lambda: Reply("text/plain", METRICS.encode()),
    "/readyz": probe(lambda: {"models": Check(ok=False, found="loading"), "fuse": Check(ok=True, found="whole")}),
    "/markup/metrics": lambda: Reply("text/html", b"<html>"),
    "/binary/metrics": lambda: Reply("text/html", b"\xff\xfe"),
    "/mute/metrics": lambda: Reply("text/plain", METRICS.encode()),  # and says nowhere why it is not ready
}
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def consumer() -> Iterator[int]:
    """Serve the pages; yields the port."""
    with serving("127.0.0.1", 0, PAGES) as port:
        yield port


def ask(port: int, path: str = "", timeout_s: float = PATIENCE_S) -> Page | ScrapeFailed:
    return scrape(f"http://127.0.0.1:{port}{path}", timeout_s)


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["top", *arguments], obj=Invocation())


def test_a_consumer_that_is_not_ready_is_asked_why(consumer: int) -> None:
    found = ask(consumer)
    assert isinstance(found, Page)
    assert found.failing == ("models: loading",)
    assert found.counters == {("sluice_verdicts_total", frozenset({("status", "ALLOW")})): 3.0}


def test_what_is_no_number_is_no_gauge() -> None:
    assert parse("# TYPE x gauge\nx NaN\n").gauges == {}


def test_nobody_there_is_said_as_such() -> None:
    assert ask(free_port()) == ScrapeFailed("connection refused")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nowhere", "HTTP status 404"),
        ("/markup", "answers, but not as a consumer does"),
        ("/binary", "answers, but not as a consumer does"),
        ("/mute", "answers, but not as a consumer does"),
    ],
)
def test_another_server_is_told_apart(path: str, why: str, consumer: int) -> None:
    assert ask(consumer, path) == ScrapeFailed(why)


def test_one_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with talk(ENDLESS, repeat=b"# x\n") as server:
        assert ask(server.port, timeout_s=0.1) == ScrapeFailed("no answer within 0.1 s")
        monkeypatch.setattr(scraping, "MAX_BYTES", 1000)
        assert ask(server.port) == ScrapeFailed("answers, but not as a consumer does")


def test_one_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert ask(listening.getsockname()[1], timeout_s=0.1) == ScrapeFailed("no answer within 0.1 s")


def test_top_once_shows_who_answers_and_who_does_not(consumer: int) -> None:
    absent, here = free_port(), f"127.0.0.1:{consumer}"
    found = sluice("--once", "--every", "0.5", "--json", here, f"http://127.0.0.1:{absent}/metrics")
    assert found.exit_code == 0
    assert [(each["name"], each["state"]) for each in json.loads(found.stdout)["consumers"]] == [
        (here, "not ready: models: loading"),
        (f"127.0.0.1:{absent}", "no answer: connection refused"),
    ]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Interrupt what looks for ever at its second pause; the pauses are noted."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["sluice.cli.top"], "time", SimpleNamespace(sleep=sleep))
    return pauses


def test_where_nobody_watches_top_prints_a_line_each_time(consumer: int, interrupted: list[float]) -> None:
    found = sluice("--every", "3", f"127.0.0.1:{consumer}")
    assert (found.exit_code, interrupted) == (0, [3.0, 3.0])
    assert [line.split("  ")[0] for line in found.stdout.splitlines()] == ["1/1 answer"] * 2


@pytest.mark.usefixtures("interrupted")
def test_for_programs_top_prints_an_object_each_time(consumer: int) -> None:
    found = sluice("--json", f"127.0.0.1:{consumer}")
    assert [json.loads(line)["total"]["lag"] for line in found.stdout.splitlines()] == [0, 0]


@pytest.mark.usefixtures("interrupted")
def test_on_a_terminal_top_draws_until_it_is_interrupted(consumer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    found = sluice(f"127.0.0.1:{consumer}")
    assert found.exit_code == 0
    assert found.stdout.count("models: loading") == 2
    assert found.stdout.startswith("\x1b[?1049h"), "the screen below stays as it is"


def test_top_once_fails_when_nobody_answers() -> None:
    error = sluice("--once", "--every", "0.5", f"127.0.0.1:{free_port()}").exception
    assert isinstance(error, DependencyDown)
    assert str(error).endswith("is not available: connection refused")


def test_without_a_name_the_consumer_of_the_settings_is_asked(consumer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(sluice("--once").exception, BadSettings)
    monkeypatch.setenv("SLUICE_TELEMETRY__HTTP_PORT", str(consumer))
    monkeypatch.setenv("SLUICE_TELEMETRY__HTTP_HOST", "0.0.0.0")  # noqa: S104 -- as a container sets it
    assert f"127.0.0.1:{consumer}" in sluice("--once", "--every", "0.5").stdout


@pytest.mark.parametrize("wrong", ["host", "host:port", "ftp://host:1", "http://host:1/other", "[::1:9464", ":9464"])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    assert sluice("--once", wrong).exit_code == 2
