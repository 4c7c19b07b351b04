"""A breaker per store: after a run of failures no request is sent there for a while, then one probe is."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sluice.core.errors import DependencyDown

_FAILURES = 3  # a fetch fails only after its retries, so three in a row are some nine answers
_OPEN_S = 5.0  # the loop pauses for two seconds between tries of a flight


class Transient(Exception):
    """The store may answer better in a moment."""


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until_s: float = 0.0
    probing: bool = False


class Breakers:
    """One breaker per store; settings name the stores, so there are few. Thread-safe; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float], *, failures: int = _FAILURES, open_s: float = _OPEN_S) -> None:
        self._clock = clock
        self._failures = failures
        self._open_s = open_s
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    @property
    def open(self) -> int:
        """How many stores are given a rest now, or are being probed."""
        with self._lock:
            return sum(state.failures >= self._failures for state in self._states.values())

    def admit(self, name: str) -> None:
        """Return if `name` may be asked now; raise DependencyDown if it is given a rest or is being probed."""
        with self._lock:
            state = self._states.get(name)
            if state is None or state.failures < self._failures:
                return
            if state.probing or self._clock() < state.open_until_s:
                raise DependencyDown(name, "it failed repeatedly and is given a rest")
            state.probing = True

    def note(self, name: str, *, answered: bool) -> None:
        """Note how it went: any answer closes the breaker, a run of silences or a failed probe opens it."""
        with self._lock:
            if answered:
                self._states.pop(name, None)
                return
            state = self._states.setdefault(name, _State())
            state.failures += 1
            state.probing = False
            state.open_until_s = self._clock() + self._open_s
