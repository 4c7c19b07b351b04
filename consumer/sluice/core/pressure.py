"""Back-pressure: whoever is full for longer than a moment pauses its partitions, and keeps polling."""

from collections.abc import Callable
from dataclasses import dataclass

from sluice.core.events import tell
from sluice.core.seams import Observe, Source


@dataclass(slots=True)
class Pressure:
    """Pauses and resumes a source.

    Who is full for less than `grace_s` seconds does not pause, because pausing makes librdkafka throw its prefetched
    messages away. Not polling for so short a time is far below every Kafka timeout.
    """

    source: Source
    grace_s: float
    clock: Callable[[], float]
    observe: Observe
    _full_since: float | None = None
    _paused: bool = False

    def __post_init__(self) -> None:
        self.observe("sluice.paused", 0, {})

    def polls(self, *, full: bool) -> bool:
        """Pause or resume as it must be; return whether to poll, which waits only while full for a moment."""
        if not full:
            self._relax()
            return True
        now = self.clock()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < self.grace_s:
            return False
        if not self._paused:
            self._paused = True
            self.source.pause()
            self.observe("sluice.paused", 1, {})
            tell("paused")
        return True

    def _relax(self) -> None:
        self._full_since = None
        if self._paused:
            self._paused = False
            self.source.resume()
            self.observe("sluice.paused", 0, {})
            tell("resumed")
