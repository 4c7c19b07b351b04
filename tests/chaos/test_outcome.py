"""A trial counts as exact only if nothing at all is wrong and its faults were really injected."""

from dataclasses import replace
from typing import Any

import pytest

from sluice_sim.report import Report
from tests.chaos.outcome import ERRORS, Fault, Finding
from tests.chaos.stage import Offsets

KILL = Fault("kill", "worker-1", answered=10, waiting=5, at_s=1.0, ready_s=5.0, recovered_s=6.0)
GOOD = Finding(
    plan="kills",
    seed=1,
    broker="kafka",
    protocol="classic",
    workers=1,
    faults_wanted=1,
    faults=[KILL],
    endings={"worker-1": [-9, 0]},
    offsets={0: Offsets(20, 20)},
    offset_samples=30,
    offsets_back=0,
    offsets_behind=0,
    live=Report(published=20, verdicts=20, status_counts={"ALLOW": 20}),
    afterwards=Report(published=20, verdicts=20, status_counts={"ALLOW": 20}),
    elapsed_s=9.0,
)


def test_a_trial_without_any_error_is_exact() -> None:
    assert GOOD.exact
    assert GOOD.as_json()["recovered_s"] == {"median": 6.0, "max": 6.0}
    assert GOOD.as_json()["faults"] == {"kill": 1}


@pytest.mark.parametrize(
    ("kind", "code", "unexpected"),
    [("zombie", 71, []), ("zombie", 69, [69]), ("group coordinator", 71, []), ("kill", 71, [71])],
)
def test_a_worker_may_find_itself_fenced_if_it_slept_or_a_broker_died(
    kind: str, code: int, unexpected: list[int]
) -> None:
    finding = replace(GOOD, faults=[replace(KILL, kind=kind)], endings={"worker-1": [code, 0]})
    assert finding.unexpected_endings == unexpected
    assert finding.exact is (not unexpected)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_that_one_of_both_readings_found_is_one(error: str) -> None:
    found_one: dict[str, Any] = {error: 1}
    report = replace(GOOD.live, **found_one)
    for found in (replace(GOOD, live=report), replace(GOOD, afterwards=report)):
        assert not found.exact
        assert found.as_json()[error] == 1
        assert "NOT EXACT" in found.as_text()


@pytest.mark.parametrize(
    "found",
    [
        replace(GOOD, offsets={0: Offsets(19, 20)}),
        replace(GOOD, offsets={0: Offsets(21, 20), 1: Offsets(19, 20)}),
        replace(GOOD, afterwards=replace(GOOD.afterwards, status_counts={"BLOCK": 20})),
        replace(GOOD, faults_wanted=2),
        replace(GOOD, faults=[replace(KILL, waiting=0)]),
        replace(GOOD, faults=[replace(KILL, recovered_s=None)]),
        replace(GOOD, endings={"worker-1": [-9, 70, 0]}),
        replace(GOOD, endings={"worker-1": [-9, -9, 0]}),
    ],
    ids=[
        "an offset behind",
        "offsets that even out",
        "readings that differ",
        "a kill too few",
        "a kill without work under way",
        "no recovery",
        "a worker that left by itself",
        "a kill nobody asked for",
    ],
)
def test_it_is_not_exact_with(found: Finding) -> None:
    assert not found.exact
