"""What is known of a running demo at one moment."""

import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice.demo.plan import Plan
from sluice_sim.report import Report

STAGES: Mapping[str, str] = {
    "fetch": "stage.duration.fetch.sum",
    "decode": "stage.duration.decode.sum",
    "model": "stage.duration.model.sum",
    "commit": "commit.duration.sum",
}
"""Where a batch's time goes, and the live figure that sums it up."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`stats` are the consumers' live figures added up, `rates` verdicts per second, one per tick, oldest first."""

    plan: Plan
    doing: str
    report: Report = field(default_factory=Report)
    stats: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def answered(self) -> int:
        """Events with a verdict."""
        return self.report.published - self.report.lost

    @property
    def rejected(self) -> dict[str, int]:
        """Dead letters by reason, most frequent first, as the observer saw them."""
        found = Counter(self.report.rejected)
        for reasons in self.report.hostile.reasons.values():
            found.update(reasons)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def time_shares(self) -> dict[str, float]:
        """Share of the time of each stage, 0 to 1; empty before the first batch."""
        spent = {stage: self.stats.get(name, 0.0) for stage, name in STAGES.items()}
        whole = sum(spent.values())
        return {stage: seconds / whole for stage, seconds in spent.items()} if whole else {}


def added_up(files: Iterable[Path]) -> dict[str, float]:
    """Add up the live figures of all consumers; one that has not written any yet counts for nothing."""
    total: Counter[str] = Counter()
    for file in files:
        if file.exists():
            total.update(json.loads(file.read_text("utf-8")))
    return dict(total)


class Speed:
    """Verdicts per second over the last `window_s` seconds, and its history."""

    def __init__(self, *, window_s: float = 4.0, kept: int = 60) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()
        self._rates: deque[float] = deque(maxlen=kept)

    def __call__(self, now_s: float, count: int) -> tuple[float, ...]:
        """Note the count so far at `now_s`; return the rates so far, oldest first."""
        self._seen.append((now_s, count))
        while now_s - self._seen[0][0] > self._window_s:
            self._seen.popleft()
        then_s, then = self._seen[0]
        self._rates.append((count - then) / (now_s - then_s) if now_s > then_s else 0.0)
        return tuple(self._rates)
