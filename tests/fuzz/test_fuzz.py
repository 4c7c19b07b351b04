"""Every fuzz target holds on its seeds, on seeded changes to them, and on whatever a fuzzer has found before."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutation import CHANGES, mutated
from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"
FOUND = sorted(path.relative_to(FINDINGS).as_posix() for path in FINDINGS.glob("*/*"))
CHANGED = 300
MEMORY_BYTES = 64 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_on_its_seeds(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds():
        target.run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_on_changed_seeds_in_bounded_memory(name: str) -> None:
    target, rng = TARGETS[name], Random(f"2026 {name}")
    seeds = target.seeds()
    tracemalloc.start()
    try:
        for _ in range(CHANGED):
            target.run(mutated(seeds, rng, target.max_bytes))
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_on_nothing_and_on_noise(name: str) -> None:
    target, rng = TARGETS[name], Random(f"2026 {name}")
    for size in (0, 1, 2, 16, 300):
        target.run(rng.randbytes(size))


@pytest.mark.parametrize("found", FOUND)
def test_what_a_fuzzer_found_once_holds_now(found: str) -> None:
    TARGETS[found.partition("/")[0]].run((FINDINGS / found).read_bytes())


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_something(change: Callable[..., None]) -> None:
    rng = Random(1)
    seeds = [bytes(range(40)), b"other"]
    changed = [bytearray(seeds[0]) for _ in range(20)]
    for data in changed:
        change(data, rng, seeds)
    assert any(data != seeds[0] for data in changed)
