"""No file, however it was made, harms the consumer or passes for what it is not."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sluice_schemas import Status
from tests.hostile.bench import Bench, bench
from tests.hostile.browser import chromium, executable
from tests.hostile.catalogue import FAMILIES, SEED, corpus, digest, family
from tests.hostile.comparison import Agreement, Comparison, comparisons, sample
from tests.hostile.report import Report
from tests.hostile.specimen import Fate, Specimen
from tests.hostile.trial import Result, Trial, starter

pytestmark = pytest.mark.timeout(900)

PATIENCE_S = 30.0
"""Wall time for one image here: on a crowded machine the two seconds of a consumer may pass without a turn."""
COMPARED = 60


@pytest.fixture(scope="module")
def decoders() -> Iterator[Bench]:
    with bench(timeout_s=PATIENCE_S) as patient:
        yield patient


@pytest.fixture(scope="module")
def results(decoders: Bench) -> dict[str, list[Result]]:
    """Every file that is not costly through the decoders, the decisive ones and some more to a verdict."""
    found: dict[str, list[Result]] = {name: [] for name in FAMILIES}
    with starter() as judge:
        regular = (specimen for specimen in corpus() if not specimen.costly and _tried(specimen))
        for result in Trial(decoders, judge, _decisive).results(regular):
            found[result.name.partition("/")[0]].append(result)
    return found


@pytest.fixture(scope="module")
def compared(decoders: Bench) -> list[Comparison]:
    path = executable()
    if path is None:
        pytest.skip("no Chromium is installed: nothing to compare with")
    with chromium(path) as browser:
        return list(comparisons(sample(corpus(), COMPARED, SEED), decoders, browser))


def _tried(specimen: Specimen) -> bool:
    """Take one of three flipped bits, which are most of the files; `python -m tests.hostile` tries them all."""
    return not specimen.name.startswith("flips/") or hash_of(specimen) % 3 == 0


def _decisive(specimen: Specimen) -> bool:
    hazardous = specimen.fate in {Fate.BLOCKED, Fate.NEVER_ALLOWED, Fate.REFUSED}
    return hazardous or hash_of(specimen) % 16 == 0


def hash_of(specimen: Specimen) -> int:
    """Give a number that is the same in every process."""
    return sum(specimen.name.encode())


def test_there_are_thousands_of_files_and_some_of_every_kind(results: dict[str, list[Result]]) -> None:
    assert sum(map(len, results.values())) > 2200
    assert len(results["truncations"]) == 300
    assert len(results["flips"]) > 150
    assert len(results["foreign"]) >= 40


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "lasting"])
def test_every_file_meets_its_fate(results: dict[str, list[Result]], name: str) -> None:
    assert results[name]
    assert [(result.name, result.complaints) for result in results[name] if result.complaints] == []


def test_no_decoder_died(results: dict[str, list[Result]], decoders: Bench) -> None:
    assert results
    assert not decoders.deaths
    assert decoders.templates_survived


def test_a_report_counts_and_is_plain_json() -> None:
    report = Report(SEED)
    report.add(Result("flips/a", Fate.ANSWERED, "corrupt", Status.INDETERMINATE, 0.1, 0.2, 3 << 20, ()))
    assert report.clean
    report.add(Result("ends/b", Fate.BLOCKED, "", Status.ALLOW, 0.3, 0.1, 1 << 20, ("a hazard is ALLOW",)))
    found = json.loads(json.dumps(report.as_json()))
    assert found["total"]["files"] == 2
    assert found["families"]["flips"]["reasons"] == {"corrupt": 1}
    assert found["total"]["max_resident_mib"] == 3.0
    assert found["complaints"] == {"ends/b": ["a hazard is ALLOW"]}
    assert not found["clean"]
    assert "NOT CLEAN: 1 files" in report.as_text()


def test_costly_files_are_stopped_in_time() -> None:
    costly = [specimen for name in ("crowds", "lasting") for specimen in family(name) if specimen.costly]
    with bench() as impatient, starter() as judge:
        results = list(Trial(impatient, judge, lambda _: False).results(costly))
        assert impatient.templates_survived
    assert len(results) > 8
    assert [(result.name, result.complaints) for result in results if result.complaints] == []


def test_the_same_seed_makes_the_same_files_in_another_process_at_another_time() -> None:
    names = ("flips", "profiles", "orientations", "foreign", "burdens")
    command = [sys.executable, "-m", "tests.hostile.catalogue", *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as elsewhere:
        told, _ = elsewhere.communicate(timeout=240)
    assert told.split() == [digest(name) for name in names]
    assert digest("flips") != digest("flips", SEED + 1)


def test_what_a_browser_shows_is_what_was_judged(compared: list[Comparison]) -> None:
    assert [seen for seen in compared if seen.agreement is Agreement.DIFFERENT] == []
    assert sum(seen.agreement is Agreement.SAME for seen in compared) > COMPARED // 2
