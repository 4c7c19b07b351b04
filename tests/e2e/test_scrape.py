"""What a running consumer tells whoever scrapes it: true figures, by the names and labels they are documented with."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.telemetry.catalogue import METRICS
from sluice.telemetry.reference import prometheus_name
from sluice_sim.options import Options, Shares
from sluice_sim.sender import Delivery, send
from sluice_sim.stream import Stream
from tests.chaos.feed import now, small
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.brokers import EMBEDDED
from tests.support.ports import free_port

pytestmark = [*EMBEDDED, pytest.mark.timeout(900)]

EVENTS = 60
WITHIN_S = 240.0
WINDOW_S = 4.0  # activities are told once a second
Figures = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(port: int) -> Figures:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def once(port: int, worker: Worker, holds: Callable[[Figures], bool]) -> Figures:
    """Scrape until it holds."""
    deadline = monotonic() + WITHIN_S
    while True:
        assert not worker.over, worker.log.read_text()
        try:
            found = scraped(port)
        except OSError:  # it does not listen yet
            found = {}
        if found and holds(found):
            return found
        assert monotonic() < deadline, f"{found}\n{worker.log.read_text()}"
        sleep(0.2)


def summed(figures: Figures, name: str) -> float:
    return sum(value for (each, _), value in figures.items() if each == name)


def test_a_scrape_tells_what_was_read_what_landed_and_that_nothing_waits(embedded_address: str, tmp_path: Path) -> None:
    port = free_port()
    stage = Stage(embedded_address, tmp_path, partitions=2, evicts=False)
    given = {"SLUICE_TELEMETRY__HTTP_PORT": str(port), "SLUICE_TELEMETRY__LAG_EVERY_S": "0.2"}
    stage = replace(stage, given=given).set_up()
    stream = Stream(Options(events=EVENTS, pictures=8, shares=Shares(hostile=0.1, by_file=0, by_http=0)), now=now)
    send(small(stream), Delivery(stage.broker, stage.topics.images), on_sent=lambda _: None)
    with Worker(stage) as worker:
        found = once(port, worker, settled)
        seconds_are_seconds(port, worker)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    assert summed(found, "messaging_client_consumed_messages_total") == EVENTS
    assert summed(found, "sluice_verdicts_total") == EVENTS
    assert summed(found, "sluice_event_age_seconds_count") == EVENTS
    assert summed(found, "sluice_dead_letters_total") > 0
    assert summed(found, "sluice_lag_age_seconds") == 0
    assert summed(found, "sluice_lag_drain_time_seconds") == 0
    assert summed(found, "sluice_partitions_assigned") == 2
    assert unknown(found) == set()


def seconds_are_seconds(port: int, worker: Worker) -> None:
    """Watch until the activities of some window add up to it: a turn is counted when it ends, however long it took."""

    def look() -> tuple[float, float]:
        return monotonic(), summed(scraped(port), "sluice_activity_time_seconds_total")

    before = look()

    def adds_up(_: Figures) -> bool:
        nonlocal before
        now_s, total = look()
        took, counted = now_s - before[0], total - before[1]
        if took < WINDOW_S:
            return False
        before = (now_s, total)
        return counted == pytest.approx(took, abs=WINDOW_S / 3)

    once(port, worker, adds_up)


def settled(found: Figures) -> bool:
    lags = [value for (name, _), value in found.items() if name == "kafka_consumer_group_lag"]
    return summed(found, "sluice_verdicts_total") == EVENTS and lags == [0, 0]


def unknown(found: Figures) -> set[str]:
    """Return the series whose name or labels the documentation does not have."""
    documented = {
        prometheus_name(name, meaning): frozenset(label.replace(".", "_") for label in meaning.labels)
        for name, meaning in METRICS.items()
    }
    series = {
        (name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count"), frozenset(dict(labels)) - {"le"})
        for name, labels in found
        if name != "target_info"
    }
    return {f"{name} {sorted(labels)}" for name, labels in series if documented.get(name) != labels}
