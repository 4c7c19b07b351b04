"""Where a thread's time goes: every moment belongs to exactly one activity, so that their sum is time itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sluice.core.seams import Observe

Activity = Literal["poll", "work", "backpressure", "commit", "idle"]
_EVERY_S = 0.25  # to report each turn would cost more than the turn


@dataclass(slots=True)
class Timesheet:
    """Counts the seconds of `clock` by activity; who does not say otherwise works."""

    clock: Callable[[], float]
    observe: Observe
    _doing: Activity = "work"
    _since_s: float = field(init=False)
    _report_at_s: float = field(init=False)
    _spent_s: dict[Activity, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._since_s = self.clock()
        self._report_at_s = self._since_s + _EVERY_S

    @contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        """Count the block as `activity`; what came before it goes on afterwards."""
        before = self._doing
        self._switch(activity)
        try:
            yield
        finally:
            self._switch(before)

    def report(self) -> None:
        """Tell what was spent so far, if it is time to; call it every turn."""
        self._switch(self._doing)
        if self._since_s < self._report_at_s:
            return
        self._report_at_s = self._since_s + _EVERY_S
        for activity, seconds in self._spent_s.items():
            self.observe("sluice.activity.time", seconds, {"activity": activity})
        self._spent_s.clear()

    def _switch(self, activity: Activity) -> None:
        now_s = self.clock()
        self._spent_s[self._doing] = self._spent_s.get(self._doing, 0.0) + now_s - self._since_s
        self._doing, self._since_s = activity, now_s
