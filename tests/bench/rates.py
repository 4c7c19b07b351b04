"""Several ways of doing the same work, in interleaved rounds of one run: events a second, and the ratio to one way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

from tests.bench.rounds import interleaved

Work = Callable[[], int]
"""Do some work and return how many events that was."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Median events a second of each way, and how they compare with the way named `base`."""

    what: str
    per_s: Mapping[str, float]
    base: str

    @classmethod
    def of(cls, what: str, rounds: Mapping[str, Sequence[float]], base: str) -> "Rates":
        """Take the median round of each way."""
        return cls(what, {name: median(rates) for name, rates in rounds.items()}, base)

    @property
    def ratios(self) -> dict[str, float]:
        """Each way over the base."""
        return {name: rate / self.per_s[self.base] for name, rate in self.per_s.items()}

    def as_text(self) -> str:
        """Return a line for each way."""
        lines = (f"  {name}: {self.per_s[name]:.0f}/s, {ratio:.2f}" for name, ratio in self.ratios.items())
        return "\n".join((f"{self.what}; ratio to {self.base}", *lines))

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded to what means something."""
        ratios = {name: round(ratio, 3) for name, ratio in self.ratios.items()}
        per_s = {name: round(rate, 1) for name, rate in self.per_s.items()}
        return {"what": self.what, "base": self.base, "per_s": per_s, "ratio": ratios}


def in_turn(what: str, ways: Mapping[str, Work], *, base: str, rounds: int = 5, seconds: float = 0.5) -> Rates:
    """Let each way work for so many seconds in each round, one call at least; the median round counts."""
    for work in ways.values():
        work()  # connections, metadata, a first epoch
    found = interleaved({name: partial(_per_s, work, seconds) for name, work in ways.items()}, rounds)
    return Rates.of(what, found, base)


def _per_s(work: Work, seconds: float) -> float:
    started, count = perf_counter(), 0
    while (taken := perf_counter() - started) < seconds or not count:
        count += work()
    return count / taken
