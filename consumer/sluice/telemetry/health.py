"""What a supervisor is told: that the loop turns (live), that the models are there (started), that it judges (ready).

The same answers stand in two files, a heartbeat touched by the loop and one that exists while the consumer is ready.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sluice.core.errors import BadSettings, Fatal, SelfTestFailed, TooManyDeadLetters
from sluice.core.metrics import Observe

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `found` says in words what, and carries no user data."""

    ok: bool
    found: str


Checks = Mapping[str, Check]


class Health:
    """Answers the probes. The loop's thread says how things are, any thread may ask: each answer is one reference.

    A turn of the loop lasts at most `longest_turn_s` while all is well; brokers that do not answer are no reason to
    start anew, so that is the longest transaction with all its retries.
    """

    def __init__(
        self, clock: Callable[[], float], observe: Observe, *, longest_turn_s: float, ready_file: Path | None = None
    ) -> None:
        self._clock = clock
        self._longest_turn_s = longest_turn_s
        self._observe = observe
        self._ready_file = ready_file
        self._turned_at_s: float | None = None
        self._inference: Callable[[], str] = str
        self._models = Check(ok=False, found="loading")
        self._self_test = Check(ok=True, found="none are asked")
        self._fuse = Check(ok=True, found="whole")
        self._judging = Check(ok=False, found="starting")
        self._group = Check(ok=False, found="not asked yet")
        self._ready = False
        observe("sluice.ready", 0, {})

    def loaded(self, found: str, inference: Callable[[], str]) -> None:
        """Note that the models are attested and loaded. `inference` returns why their device is lost, else ""."""
        self._models = Check(ok=True, found=found)
        self._inference = inference

    def turned(self) -> None:
        """Say that the loop turns."""
        self._turned_at_s = self._clock()

    def answered(self, found: str, *, right: bool) -> None:
        """Say how the known pictures were answered."""
        self._self_test = Check(right, found)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Be ready from entering to leaving this block, or until it drains, as long as the group lets us in."""
        self._judging = Check(ok=True, found="judging")
        self._show()
        try:
            yield
        finally:
            if self._judging.ok:
                self.unready("stopped")

    def unready(self, why: str) -> None:
        """Say that nothing further is judged."""
        self._judging = Check(ok=False, found=why)
        self._show()

    def grouped(self, trouble: str) -> bool:
        """Say why the group has not let us in, empty when it has; return whether that is news by which we are ready."""
        before, self._group = self._group, Check(not trouble, trouble or "let in")
        if before.ok == self._group.ok:
            return False
        self._show()
        return self._group.ok and self._judging.ok

    def stopped(self, error: Fatal) -> None:
        """Say for what the consumer stopped; its inference worker is closed by then, and no sign of anything."""
        self._inference = str
        if isinstance(error, TooManyDeadLetters):
            self._fuse = Check(ok=False, found=str(error))
        if isinstance(error, SelfTestFailed):
            self._self_test = Check(ok=False, found=str(error))
        self._judging = Check(ok=False, found=f"stopped: {type(error).__name__}")

    def live(self) -> Checks:
        """Whether a new process would help: the loop turns and inference goes on. Brokers and lag do not count."""
        trouble = self._inference()
        return {"loop": self._loop(), "inference": Check(not trouble, trouble or "answers")}

    def started(self) -> Checks:
        """Whether the models are attested and loaded."""
        return {"models": self._models}

    def ready(self) -> Checks:
        """Whether images can be judged and their verdicts published."""
        return {
            "models": self._models,
            "self_test": self._self_test,
            "fuse": self._fuse,
            "group": self._group,
            "judging": self._judging,
        }

    def _show(self) -> None:
        """Let the metric and the file say whether we are ready."""
        before, self._ready = self._ready, self._judging.ok and self._group.ok
        if before == self._ready:
            return
        self._observe("sluice.ready", int(self._ready), {})
        if self._ready_file and self._ready:
            _touch(self._ready_file)
        elif self._ready_file:
            with suppress(OSError):  # where the folder was removed, the file is gone, too
                self._ready_file.unlink(missing_ok=True)

    def _loop(self) -> Check:
        turned_at_s = self._turned_at_s
        if turned_at_s is None:
            return Check(ok=True, found="has not begun to turn")
        since_s = self._clock() - turned_at_s
        return Check(since_s <= self._longest_turn_s, f"turned {since_s:.1f} s ago, at most {self._longest_turn_s:g}")


def _touch(ready_file: Path) -> None:
    try:
        ready_file.touch()
    except OSError as error:
        raise BadSettings(
            f"telemetry.ready_file = {str(ready_file)!r}: must be a file in a folder that can be written"
            f" ({error.strerror})",
            setting="telemetry.ready_file",
        ) from error


class HeartbeatFile:
    """Called on every turn of the loop; touches the file, if there is one, at most every `every_s` seconds of `clock`.

    A file that cannot be written any more stops no judging; that is said once.
    """

    def __init__(self, clock: Callable[[], float], file: Path | None, *, every_s: float = 0.5) -> None:
        self._clock = clock
        self._file = file
        self._every_s = every_s
        self._next = 0.0
        self._failed = False

    def beat(self) -> None:
        """Show that the loop turns."""
        now = self._clock()
        if self._file is None or now < self._next:
            return
        self._next = now + self._every_s
        try:
            self._file.touch()
        except OSError as error:
            if not self._failed:
                _logger.warning("%s cannot be written: %s; probes of that file fail", error.filename, error.strerror)
            self._failed = True
