"""Two ways of doing the same thing, measured in turn, so that a busy machine is equally unkind to both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

Way = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median microseconds per call of each way, and how many times longer the first takes than the second."""

    what: str
    us: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """First over second."""
        first, second = self.us.values()
        return first / second

    def as_text(self) -> str:
        """Return both ways and their ratio in words."""
        ways = ", ".join(f"{name} {us:.1f} us" for name, us in self.us.items())
        return f"{self.what}: {ways}, ratio {self.ratio:.2f}"

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded to what means something."""
        return {"what": self.what, "us": {k: round(v, 1) for k, v in self.us.items()}, "ratio": round(self.ratio, 2)}


def side_by_side(what: str, ways: Mapping[str, Way], *, calls: int = 200, rounds: int = 25) -> Ratio:
    """Measure two ways in interleaved rounds of `calls` calls; the median round counts."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = perf_counter()
            for _ in range(calls):
                way()
            seconds[name].append((perf_counter() - started) / calls)
    return Ratio(what, {name: median(taken) * 1e6 for name, taken in seconds.items()})
