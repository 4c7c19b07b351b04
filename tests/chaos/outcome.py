"""What a trial found; field names are the keys of its JSON."""

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sluice.core.errors import Fenced
from sluice_sim.report import Report
from sluice_sim.truth import Sent
from tests.chaos.failpoints import POINTS
from tests.chaos.stage import Offsets

KILL, ZOMBIE, POISON = "kill", "zombie", "poison"
RESTART, HIRE, DISMISS = "restart", "hire", "dismiss"
MOST_DEATHS = 16  # of one poison record: four of each of three workers, and some more when partitions move
ERRORS = ("lost", "duplicated", "torn", "out_of_order", "misattributed", "strangers", "unreadable")
WRONG = ("poison", "store_error", "internal_error", "not_scored", "model_error")
"""Reasons that a fault must not bring upon a sound input."""


@dataclass(slots=True)
class Fault:
    """One fault. `answered` and `waiting` count events at that moment; seconds run from it, None for never."""

    kind: str
    target: str
    answered: int
    waiting: int
    """Of all events, or of those in a stopped worker's partitions."""
    at_s: float
    ready_s: float | None = None
    """Until a worker could judge again, others had moved on in a stopped one's partitions, all brokers were whole,
    a newcomer had its share, or one that was asked to leave was gone."""
    recovered_s: float | None = None
    """Until everything that had been sent at that moment was answered."""

    @property
    def in_flow(self) -> bool:
        """Whether there was work to lose, and it was taken up again."""
        return self.waiting > 0 and self.recovered_s is not None


def permitted(fault: Fault, workers: int) -> list[int]:
    """Return the exit codes that workers may leave with because of a fault, each once.

    A worker that was overtaken is fenced. One whose commit was under way as a broker died may be left in doubt about
    it, and says so by the same code; a broker serves them all.
    """
    match fault.kind:
        case kind if kind in {KILL, *POINTS}:
            return [-signal.SIGKILL]
        case kind if kind == POISON:
            return [-signal.SIGKILL] * MOST_DEATHS
        case kind if kind in {RESTART, HIRE, DISMISS}:
            return []
        case kind if kind == ZOMBIE:
            return [Fenced.exit_code]
        case _:
            return [Fenced.exit_code] * workers


@dataclass(frozen=True, slots=True)
class Finding:
    """`live` was counted while it happened, `afterwards` by a second reading of everything from the start."""

    plan: str
    seed: int
    broker: str
    protocol: str
    workers: int
    faults_wanted: int
    faults: Sequence[Fault]
    endings: Mapping[str, Sequence[int]]
    """Exit codes of every life of each worker, negative for signals."""
    offsets: Mapping[int, Offsets]
    offset_samples: int
    offsets_back: int
    offsets_behind: int
    """Readings of the committed offsets, and how often one had gone back or followed its outputs; see `Watch`."""
    live: Report
    afterwards: Report
    elapsed_s: float
    sent: Sequence[Sent] = ()
    """What the broker acknowledged; not part of the JSON."""

    @property
    def exact(self) -> bool:
        """Whether nothing at all is wrong, both readings agree and every fault was really injected in mid-flow."""
        return (
            not any(self.errors.values())
            and self.live.status_counts == self.afterwards.status_counts
            and len(self.faults) == self.faults_wanted
            and all(fault.in_flow for fault in self.faults)
            and not self.unexpected_endings
        )

    @property
    def errors(self) -> dict[str, int]:
        """Count what must be zero, the worse of the two readings."""
        found = {name: max(getattr(self.live, name), getattr(self.afterwards, name)) for name in ERRORS}
        return found | {
            "wronged": sum(
                report.rejected.get(reason, 0) for report in (self.live, self.afterwards) for reason in WRONG
            ),
            "offsets_off": sum(abs(each.end - each.committed) for each in self.offsets.values()),
            "offsets_back": self.offsets_back,
            "offsets_behind": self.offsets_behind,
        }

    @property
    def unexpected_endings(self) -> list[int]:
        """Exit codes beyond those of the faults and of the drain at the end."""
        codes = Counter(code for lives in self.endings.values() for code in lives if code)
        for fault in self.faults:
            codes -= Counter(permitted(fault, self.workers))
        return sorted(codes.elements())

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON's types, the totals first."""
        recovered = [fault.recovered_s for fault in self.faults if fault.recovered_s is not None]
        return {
            "plan": self.plan,
            "broker": self.broker,
            "protocol": self.protocol,
            "seed": self.seed,
            "workers": self.workers,
            "exact": self.exact,
            "events": self.afterwards.published,
            "faults": dict(Counter(fault.kind for fault in self.faults)),
            "restarts": sum(len(lives) - 1 for lives in self.endings.values()),
            **self.errors,
            "offset_samples": self.offset_samples,
            "recovered_s": {"median": median(recovered), "max": max(recovered)} if recovered else None,
            "events_per_s": self.afterwards.events_per_s,
            "elapsed_s": self.elapsed_s,
            "status_counts": self.afterwards.status_counts,
            "dead_letters": self.afterwards.dead_letters,
            "latency_ms": asdict(self.afterwards.latency_ms),
            "each_fault": [asdict(fault) for fault in self.faults],
            "endings": {name: list(lives) for name, lives in self.endings.items()},
            "offsets": {index: asdict(each) for index, each in self.offsets.items()},
        }

    def as_text(self) -> str:
        """Return what a person wants to see first."""
        said = self.as_json()
        injected = ", ".join(f"{kind} {count}" for kind, count in said["faults"].items()) or "none"
        recovered = said["recovered_s"] or {"median": float("nan"), "max": float("nan")}
        return "\n".join(
            [
                f"{self.plan} on {self.broker}, seed {self.seed}: {'exact' if self.exact else 'NOT EXACT'}",
                f"  {said['events']} events, faults: {injected}, {said['restarts']} restarts",
                f"  {self.elapsed_s:.0f} s, {said['events_per_s']:.0f} events/s",
                "  " + ", ".join(f"{name} {count}" for name, count in self.errors.items()),
                f"  recovered after {recovered['median']:.1f} s (median), {recovered['max']:.1f} s (longest)",
                "  " + ", ".join(f"{status} {count}" for status, count in sorted(said["status_counts"].items())),
                *([f"  unexpected endings: {self.unexpected_endings}"] if self.unexpected_endings else []),
            ]
        )
