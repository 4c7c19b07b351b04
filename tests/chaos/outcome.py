"""What a trial found; field names are the keys of its JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sluice_sim.report import Report
from sluice_sim.truth import Sent
from tests.chaos.stage import Offsets

FAULTS = ("lost", "duplicated", "torn", "out_of_order", "misattributed", "strangers", "unreadable")


@dataclass(slots=True)
class Kill:
    """One kill. `answered` and `waiting` count events at that moment; seconds run from it, None for never."""

    worker: str
    answered: int
    waiting: int
    at_s: float
    ready_s: float | None = None
    """Until the worker's next life could judge."""
    recovered_s: float | None = None
    """Until the first output after that, or until others had answered all that waited."""

    @property
    def in_flow(self) -> bool:
        """Whether there was work to lose, and it was taken up again."""
        return self.waiting > 0 and self.recovered_s is not None


@dataclass(frozen=True, slots=True)
class Finding:
    """`live` was counted while it happened, `afterwards` by a second reading of everything from the start."""

    plan: str
    seed: int
    broker: str
    workers: int
    kills_wanted: int
    kills: Sequence[Kill]
    endings: Mapping[str, Sequence[int]]
    """Exit codes of every life of each worker, negative for signals."""
    offsets: Mapping[int, Offsets]
    live: Report
    afterwards: Report
    elapsed_s: float
    sent: Sequence[Sent] = ()
    """What the broker acknowledged; not part of the JSON."""

    @property
    def exact(self) -> bool:
        """Whether nothing at all is wrong, both readings agree and every fault was really injected in mid-flow."""
        return (
            not any(self.faults.values())
            and self.live.status_counts == self.afterwards.status_counts
            and len(self.kills) == self.kills_wanted
            and all(kill.in_flow for kill in self.kills)
            and not self.unexpected_endings
        )

    @property
    def faults(self) -> dict[str, int]:
        """Count what must be zero, the worse of the two readings."""
        found = {name: max(getattr(self.live, name), getattr(self.afterwards, name)) for name in FAULTS}
        return found | {"offsets_off": sum(abs(each.end - each.committed) for each in self.offsets.values())}

    @property
    def unexpected_endings(self) -> list[int]:
        """Exit codes beyond those of the kills and of the drain at the end."""
        codes = sorted(code for lives in self.endings.values() for code in lives if code)
        for _ in self.kills:
            if -9 in codes:
                codes.remove(-9)
        return codes

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON's types, the totals first."""
        recovered = [kill.recovered_s for kill in self.kills if kill.recovered_s is not None]
        return {
            "plan": self.plan,
            "broker": self.broker,
            "seed": self.seed,
            "workers": self.workers,
            "exact": self.exact,
            "events": self.afterwards.published,
            "kills": len(self.kills),
            "restarts": sum(len(lives) - 1 for lives in self.endings.values()),
            **self.faults,
            "recovered_s": {"median": median(recovered), "max": max(recovered)} if recovered else None,
            "events_per_s": self.afterwards.events_per_s,
            "elapsed_s": self.elapsed_s,
            "status_counts": self.afterwards.status_counts,
            "dead_letters": self.afterwards.dead_letters,
            "latency_ms": asdict(self.afterwards.latency_ms),
            "each_kill": [asdict(kill) for kill in self.kills],
            "endings": {name: list(lives) for name, lives in self.endings.items()},
            "offsets": {index: asdict(each) for index, each in self.offsets.items()},
        }

    def as_text(self) -> str:
        """Return what a person wants to see first."""
        said = self.as_json()
        recovered = said["recovered_s"] or {"median": float("nan"), "max": float("nan")}
        return "\n".join(
            [
                f"{self.plan} on {self.broker}, seed {self.seed}: {'exact' if self.exact else 'NOT EXACT'}",
                f"  {said['events']} events, {said['kills']} kills, {said['restarts']} restarts",
                f"  {self.elapsed_s:.0f} s, {said['events_per_s']:.0f} events/s",
                "  " + ", ".join(f"{name} {count}" for name, count in self.faults.items()),
                f"  recovered after {recovered['median']:.1f} s (median), {recovered['max']:.1f} s (longest)",
                "  " + ", ".join(f"{status} {count}" for status, count in sorted(said["status_counts"].items())),
                *([f"  unexpected endings: {self.unexpected_endings}"] if self.unexpected_endings else []),
            ]
        )
