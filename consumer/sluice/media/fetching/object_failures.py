"""Who is to blame when an object cannot be had: the object, or its store. What the store does for others tells.

A store that is down must not cost its objects their verdicts, and a broken object must not stop all others. So an
object is given up only after a series of failed fetches, each of which the store outlived by serving something else.

Events choose the objects: one broken object after the other, each waited for in full, would hold a partition for ever.
So each object that is given up halves the patience with the next one of its store, until none was for a while.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Asked(Protocol):
    """What is asked for: an object, or a name; `store` is who answers. Hashable, equal by value."""

    @property
    def store(self) -> str:
        """Who answers."""


T = TypeVar("T", bound=Asked)
K = TypeVar("K")
V = TypeVar("V")

_FAILURES = 3  # a fetch fails only after its retries
_GAP_S = 600.0  # far longer than the loop and a breaker pause between two fetches; what fails after it begins anew
_SUSPECTS = 1024  # more at once than any single object's defect
_WITNESSES = 2  # one may be the object in question
_MOST_HALVINGS = 16  # of a patience of a month less than a minute is left


@dataclass(slots=True)
class _Series:
    """Failures in a row of one object."""

    since_s: float
    last_s: float
    failures: int = 0
    given_up: bool = False


class ObjectFailures(Generic[T]):
    """Remembers what stores served and which objects keep failing, both bounded. Thread-safe."""

    def __init__(self, clock: Callable[[], float], patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._served: dict[str, OrderedDict[T, float]] = {}
        self._series: OrderedDict[T, _Series] = OrderedDict()
        self._given_up_s: dict[str, list[float]] = {}

    def served(self, reference: T) -> None:
        """Note that an object was had: it is under no suspicion, and it may speak for its store."""
        with self._lock:
            self._series.pop(reference, None)
            _put(self._served.setdefault(reference.store, OrderedDict()), reference, self._clock(), _WITNESSES)

    def probe(self, reference: T) -> tuple[T, float] | None:
        """Return what the same store served last, other than this object, and when."""
        with self._lock:
            served = self._served.get(reference.store, OrderedDict())
            return next(((other, at_s) for other, at_s in reversed(served.items()) if other != reference), None)

    def forget(self, reference: T) -> None:
        """End an object's series: it was answered for, or its store is to blame."""
        with self._lock:
            self._series.pop(reference, None)

    def failed(self, reference: T) -> bool:
        """Note a failure that the store outlived; return whether the object is to blame, now and from now on."""
        now = self._clock()
        with self._lock:
            series = self._series.get(reference)
            if series is None or now - series.last_s > _GAP_S:
                series = _Series(now, now)
            series.last_s = now
            series.failures += 1
            _put(self._series, reference, series, _SUSPECTS)
            if not series.given_up and series.failures >= _FAILURES:
                series.given_up = self._give_up(reference.store, now - series.since_s, now)
            return series.given_up

    def _give_up(self, store: str, waited_s: float, now: float) -> bool:
        """Return whether an object of this store was waited for long enough, and note it if so."""
        lately = [at_s for at_s in self._given_up_s.get(store, ()) if now - at_s < _GAP_S][-_MOST_HALVINGS:]
        over = waited_s >= self._patience_s / 2.0 ** len(lately)
        self._given_up_s[store] = [*lately, now] if over else lately
        return over


def _put(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Set the newest entry and drop the oldest over the bound."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
