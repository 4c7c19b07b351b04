"""A real `sluice run` whose store is down, seen by whoever is on call: that images wait, since when, and for what."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import DependencyDown
from sluice_sim.options import Options, Shares
from sluice_sim.sender import Delivery, send
from sluice_sim.store import Store
from sluice_sim.stream import Stream
from tests.chaos.feed import now, small
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.brokers import EMBEDDED
from tests.support.fetching import IMPATIENT, fetching
from tests.support.ports import free_port

pytestmark = [*EMBEDDED, pytest.mark.timeout(600)]

EVENTS = 40
WITHIN_S = 240.0
BY_HTTP = Shares(hostile=0, by_file=0, by_http=1)


def test_on_call_sees_what_waits_for_what_and_then_that_all_is_well(
    embedded_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "pictures") as store:
        port = free_port()
        here = f"127.0.0.1:{port}"
        stage = following(Stage(embedded_address, tmp_path, partitions=2, evicts=False), store, port).set_up()
        for name, value in stage.environment("on-call").items():
            monkeypatch.setenv(name, value)
        stream = Stream(Options(events=EVENTS, pictures=8, shares=BY_HTTP), now=now, shelf=store)
        send(small(stream), Delivery(stage.broker, stage.topics.images), on_sent=lambda _: None)
        store.outage.set()
        with Worker(stage) as worker:
            stuck = until(lambda: top(port), lambda seen: waits(seen) and seen["total"]["lag"] == EVENTS, worker)
            assert {(row["partition"], row["consumer"]) for row in stuck["partitions"]} == {(0, here), (1, here)}
            behind = sluice("lag")
            assert (behind["lag"], behind["state"]) == (EVENTS, "stable")
            assert {row["owner"] for row in behind["partitions"]} == {f"{worker.name}@127.0.0.1"}
            assert 0 < stuck["total"]["lag_age_s"] <= behind["oldest_s"] < WITHIN_S
            store.outage.clear()
            until(lambda: top(port), lambda seen: not seen["total"]["lag"] and not waits(seen), worker)
    assert sluice("lag")["lag"] == 0


def following(stage: Stage, store: Store, port: int) -> Stage:
    """Let the worker fetch from the store, give up on it soon, and be asked."""
    given = {
        "SLUICE_TELEMETRY__HTTP_PORT": str(port),
        "SLUICE_TELEMETRY__LAG_EVERY_S": "0.5",
    }
    return replace(stage, given=fetching(store) | IMPATIENT | given)


def waits(seen: Mapping[str, Any]) -> bool:
    """Tell whether the worker is seen to wait for its store."""
    return str(seen["consumers"][0]["state"]).startswith("waits for")


def top(port: int) -> dict[str, Any]:
    """Look at the worker."""
    return sluice("top", "--once", "--every", "1", f"127.0.0.1:{port}")


def sluice(*arguments: str) -> dict[str, Any]:
    """Run a command and return what it says; nothing where nobody answers yet."""
    done = CliRunner().invoke(app, [*arguments, "--json"], obj=Invocation())
    assert done.exception is None or isinstance(done.exception, DependencyDown), done.exception
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def until(
    look: Callable[[], dict[str, Any]], right: Callable[[dict[str, Any]], bool], worker: Worker
) -> dict[str, Any]:
    """Look until it is right; a worker that has ended would not come to that."""
    deadline = time.monotonic() + WITHIN_S
    while not ((seen := look()) and right(seen)):
        assert not worker.over, worker.log.read_text()
        assert time.monotonic() < deadline, seen
    return seen
