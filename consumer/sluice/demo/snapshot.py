"""What is known of a running demo at one moment."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sluice.demo.plan import Plan
from sluice.top.scrape import Page, ScrapeFailed
from sluice_sim.report import Report

STAGES: Mapping[str, tuple[str, frozenset[tuple[str, str]]]] = {
    **{
        stage: ("sluice_stage_duration_seconds_sum", frozenset({("stage", stage)}))
        for stage in ("fetch", "decode", "model")
    },
    "commit": ("sluice_commit_duration_seconds_sum", frozenset()),
}
"""Where a batch's time goes, and the series that sums it up."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`spent_s` is the time of all consumers by stage, `rates` verdicts per second, one per tick, oldest first."""

    plan: Plan
    doing: str
    report: Report = field(default_factory=Report)
    spent_s: Mapping[str, float] = field(default_factory=dict)
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
        whole = sum(self.spent_s.values())
        return {stage: seconds / whole for stage, seconds in self.spent_s.items()} if whole else {}


def spent_s(pages: Iterable[Page | ScrapeFailed]) -> dict[str, float]:
    """Add up the seconds of each stage over consumers; one that does not answer counts for nothing."""
    total = dict.fromkeys(STAGES, 0.0)
    for page in pages:
        if isinstance(page, Page):
            for stage, series in STAGES.items():
                total[stage] += page.counters.get(series, 0.0)
    return total


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
