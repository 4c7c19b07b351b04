"""What a real Prometheus sees of real consumers: every panel has its data, and each fault shows where it should."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.observability import files
from tests.observability.life import JOB, RATE_PER_S, Life, lived
from tests.observability.prometheus import WINDOW
from tests.support.brokers import EMBEDDED

pytestmark = [
    *EMBEDDED,
    pytest.mark.prometheus,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus on the PATH: Debian's package has it"),
    pytest.mark.timeout(900),
]

RIGHTLY_EMPTY = {"hw_gpu_": "there is no GPU"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What it is, the alert it fires, and the line of a panel (by one of its labels) that rises to at least `least`."""

    name: str
    alert: str
    board: str
    panel: str
    least: float
    line: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.alert}"


FAULTS = [
    Fault(
        "bad inputs", "SluiceDeadLetters", "sluice-quality", "Dead letters, by reason", 0.1, ("stage", "decode_image")
    ),
    Fault("dead collector", "SluiceTelemetryLost", "sluice-internals", "Spans delivered to the collector", 0.1),
    Fault("store down", "SluiceDependencyDown", "sluice-overview", "Waiting for dependencies", 1),
    Fault("store down", "SluiceStoreFailing", "sluice-overview", "Waiting for dependencies", 1),
    Fault(
        "stuck partition",
        "SluicePartitionStuck",
        "sluice-overview",
        "Oldest image without a verdict",
        60,
        ("partition", "0"),
    ),
    Fault("slow model", "SluiceLagNotDraining", "sluice-overview", "Slope of the lag", 1),
    Fault("slow model", "SluiceEventAgeBudgetBurning", "sluice-overview", "Event age", 60),
    Fault("slow model", "SluiceEventAgeBudgetBurning", "sluice-internals", "Stages, p95", 0.2, ("stage", "model")),
    Fault("poison", "SluicePoisonRecord", "sluice-quality", "Poison", 1),
    Fault("poison", "SluiceRestarting", "sluice-internals", "Uptime", 0),
]


@pytest.fixture(scope="module")
def life(embedded_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with lived(embedded_address, tmp_path_factory.mktemp("life")) as life:
        yield life


def empty_for(selector: str) -> str:
    return next((why for prefix, why in RIGHTLY_EMPTY.items() if prefix in selector), "")


@pytest.mark.parametrize("query", files.queries(), ids=str)
def test_a_panel_has_data(life: Life, query: files.Query) -> None:
    """The few that are rightly empty here are named; one of those that had data would be no exception any more."""
    seen = life.seen(files.filled(query.expr, WINDOW))
    assert bool(seen) != bool(empty_for(query.expr))


@pytest.mark.parametrize("selector", sorted({s for rule in files.rules() for s in files.selectors(rule["expr"])}))
def test_what_an_alert_looks_at_is_told(life: Life, selector: str) -> None:
    assert life.seen(selector)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_shows_in_its_panel_and_fires_its_alert(life: Life, fault: Fault) -> None:
    assert life.seen(f'ALERTS{{alertname="{fault.alert}", alertstate="firing"}}', fault.name)
    asked = [q.expr for q in files.queries() if (q.board, q.panel) == (fault.board, fault.panel)]
    lines = [line for expr in asked for line in life.seen(files.filled(expr, WINDOW), fault.name).items()]
    highest = [max(value for _, value in values) for labels, values in lines if not fault.line or fault.line in labels]
    assert highest, [dict(labels) for labels, _ in lines]
    assert max(highest) >= fault.least


def test_while_all_is_well_nothing_fires(life: Life) -> None:
    assert not life.seen('ALERTS{alertstate="firing"}', "none")


def test_judging_goes_on_without_a_collector(life: Life) -> None:
    (judged,) = life.seen(f'sum(rate(sluice_verdicts_total{{job="{JOB}"}}[5s]))', "dead collector").values()
    assert max(rate for _, rate in judged) > RATE_PER_S / 2


def test_what_is_told_of_an_alert_names_who_and_how_much(life: Life) -> None:
    assert {fault.alert for fault in FAULTS} <= set(life.told)
    for text in life.told.values():
        assert "<no value>" not in text
        assert "error" not in text.lower()
        assert "  " not in text
