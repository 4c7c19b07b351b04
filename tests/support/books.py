"""Books that a test can read, or that nobody reads."""

from collections.abc import Callable, Sequence

from sluice.core.backlog import Backlog
from sluice.core.books import Books
from sluice.core.seams import Distribution, Extents, Observe, ObserveAll
from sluice.core.timesheet import Timesheet


def books(
    *,
    observe: Observe = lambda *_: None,
    observe_all: ObserveAll | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    now_s: Callable[[], float] = lambda: 0.0,
    extents: Extents = lambda _: {},
) -> Books:
    """Return books whose every number goes to `observe`, those of many images one by one without `observe_all`."""

    def one_by_one(name: Distribution, values: Sequence[float]) -> None:
        for value in values:
            observe(name, value, {})

    return Books(
        observe, observe_all or one_by_one, Backlog(extents, "g", observe, clock, now_s), Timesheet(clock, observe)
    )
