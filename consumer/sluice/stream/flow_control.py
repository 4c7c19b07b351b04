"""Flow control: back-pressure while flights are full, and retries while a dependency is down."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sluice.core.log_events import log_event
from sluice.core.metrics import Observe
from sluice.stream.batch import Flight
from sluice.stream.ports import Source


@dataclass(slots=True)
class Backpressure:
    """Pauses and resumes a source.

    Full for less than `grace_s` seconds, it neither pauses nor polls: a pause makes librdkafka throw away the messages
    that it has prefetched, and so short a time without a poll is far below every timeout of Kafka.
    """

    source: Source
    grace_s: float
    clock: Callable[[], float]
    observe: Observe
    _full_since: float | None = None
    _paused: bool = False

    def __post_init__(self) -> None:
        self.observe("sluice.paused", 0, {})

    @property
    def waiting(self) -> bool:
        """Whether it is full and not paused: do not poll, what is polled has no room."""
        return self._full_since is not None and not self._paused

    def update(self, *, full: bool) -> None:
        """Pause or resume; call it before every poll."""
        if not full:
            self._full_since = None
            self._resume()
            return
        now = self.clock()
        self._full_since = now if self._full_since is None else self._full_since
        if now - self._full_since >= self.grace_s:
            self._pause()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.source.pause()
            self.observe("sluice.paused", 1, {})
            log_event("paused")

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.source.resume()
            self.observe("sluice.paused", 0, {})
            log_event("resumed")


@dataclass(slots=True)
class RetryTimer:
    """Holds the flights that a dependency stopped for `pause_s` seconds, again and again, for as long as it takes."""

    pause_s: float
    clock: Callable[[], float]
    observe: Observe
    _retry_at: float | None = None
    _waits_for: set[str] = field(default_factory=set)

    def take_due(self, flights: Iterable[Flight]) -> list[Flight]:
        """Return the flights that are to be launched again now; the next pause begins when one is stopped again."""
        stopped = [flight for flight in flights if flight.down and not flight.gone]
        for flight in stopped:
            flight.held_by = flight.down.dependency if flight.down else ""
        self._report({flight.held_by for flight in flights if flight.held_by and not flight.finished})
        now = self.clock()
        if not stopped:
            self._retry_at = None
        elif self._retry_at is None:
            self._retry_at = now + self.pause_s
            self.observe("sluice.dependency.down", 1, {"dependency": stopped[0].held_by})
            error = str(stopped[0].down)
            log_event("dependency_down", dependency=stopped[0].held_by, error=error, again_s=self.pause_s)
        elif now >= self._retry_at:
            self._retry_at = None
            return stopped
        return []

    def _report(self, waits_for: set[str]) -> None:
        for dependency in waits_for ^ self._waits_for:
            self.observe("sluice.dependency.waiting", dependency in waits_for, {"dependency": dependency})
        for dependency in self._waits_for - waits_for:
            log_event("dependency_up", dependency=dependency)
        self._waits_for = waits_for
