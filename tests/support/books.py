"""Books that a test can read, or that nobody reads."""

from collections.abc import Callable, Sequence

from sluice.core.metrics import Distribution, Observe, ObserveAll
from sluice.moderation.verdict_metrics import VerdictMetrics
from sluice.stream.lag import LagReporter
from sluice.stream.loop_metrics import LoopMetrics, TimeAccounting
from sluice.stream.ports import AskEnds


def books(
    *,
    observe: Observe = lambda *_: None,
    observe_all: ObserveAll | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    now_s: Callable[[], float] = lambda: 0.0,
    ask_ends: AskEnds = lambda _: {},
) -> LoopMetrics:
    """Return books whose every number goes to `observe`, those of many images one by one without `observe_all`."""

    def one_by_one(name: Distribution, values: Sequence[float]) -> None:
        for value in values:
            observe(name, value, {})

    return LoopMetrics(
        observe,
        observe_all or one_by_one,
        LagReporter(ask_ends, "g", observe, clock, now_s),
        TimeAccounting(clock, observe),
        VerdictMetrics(observe, observe_all or one_by_one),
    )
