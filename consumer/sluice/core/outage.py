"""A dependency that is down: the flights it stopped wait for a moment and are tried again, for as long as it takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sluice.core.domain import Flight
from sluice.core.events import tell
from sluice.core.seams import Observe


@dataclass(slots=True)
class Outage:
    """Says when to try again: `pause_s` seconds after a flight was found stopped."""

    pause_s: float
    clock: Callable[[], float]
    observe: Observe
    _retry_at: float | None = None
    _waits_for: set[str] = field(default_factory=set)

    def over(self, flights: Iterable[Flight]) -> list[Flight]:
        """Return the flights that are to be launched again now."""
        stopped = [flight for flight in flights if flight.down and not flight.gone]
        for flight in stopped:
            flight.held_by = flight.down.dependency if flight.down else ""
        self._tell({flight.held_by for flight in flights if flight.held_by and not flight.finished})
        now = self.clock()
        if not stopped:
            self._retry_at = None
        elif self._retry_at is None:
            self._retry_at = now + self.pause_s
            self.observe("sluice.dependency.down", 1, {"dependency": stopped[0].held_by})
            error = str(stopped[0].down)
            tell("dependency_down", dependency=stopped[0].held_by, error=error, again_s=self.pause_s)
        elif now >= self._retry_at:
            self._retry_at = None
            return stopped
        return []

    def _tell(self, waits_for: set[str]) -> None:
        for dependency in waits_for ^ self._waits_for:
            self.observe("sluice.dependency.waiting", dependency in waits_for, {"dependency": dependency})
        for dependency in self._waits_for - waits_for:
            tell("dependency_up", dependency=dependency)
        self._waits_for = waits_for
