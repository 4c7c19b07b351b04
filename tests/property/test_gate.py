"""The display gate against an oracle, over thousands of lives of a display service; and the defects it must notice."""

from collections import Counter
from collections.abc import Iterator

import pytest

from sluice_schemas import Why, gate
from tests.support.gate_mutants import BUILDS, Sound
from tests.support.gate_questions import ASK, LATEST, asking
from tests.support.gate_world import Build, trace

TRACES, PARTS = 5_000, 8
PATIENCE = 1_500


def first_wrong(build: Build) -> str | None:
    found: Iterator[str | None] = (trace(build, seed) for seed in range(PATIENCE))
    return next((wrong for wrong in found if wrong), None)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_gate_answers_as_the_contract_does_whatever_happens(part: int) -> None:
    given: Counter[Why] = Counter()
    for seed in range(part, TRACES, PARTS):
        assert trace(Sound, seed, given) is None
    assert min(given[reason] for reason in Why) > 50, given  # no situation is met by accident only


@pytest.mark.parametrize("build", BUILDS)
def test_a_defect_of_the_state_is_noticed(build: Build) -> None:
    assert first_wrong(build)


@pytest.mark.parametrize("name", LATEST)
def test_a_defect_of_the_reducer_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "latest", LATEST[name])
    assert first_wrong(Sound)


@pytest.mark.parametrize("name", ASK)
def test_a_defect_of_the_check_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "may_show", asking(ASK[name]))
    assert first_wrong(Sound)
