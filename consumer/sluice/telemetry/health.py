"""What a supervisor looks at: a heartbeat file touched by the loop, a ready file while the consumer can judge."""

from collections.abc import Callable
from pathlib import Path

from sluice.telemetry.metrics import Meter


class Pulse:
    """Called on every turn of the loop; touches files at most every `every_s` seconds of `clock`."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        heartbeat: Path | None,
        stats: Path | None,
        meter: Meter,
        every_s: float = 0.5,
    ) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._stats = stats
        self._meter = meter
        self._every_s = every_s
        self._next = 0.0

    def beat(self) -> None:
        """Show that the loop turns."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._every_s
        if self._heartbeat:
            self._heartbeat.touch()
        if self._stats:
            self._meter.write(self._stats)


class Ready:
    """A file that exists from entering to leaving this block."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def __enter__(self) -> None:
        if self._file:
            self._file.touch()

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.unlink(missing_ok=True)
