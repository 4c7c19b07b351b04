"""Host names to addresses, in bounded time, and so that no name an event chose holds up the others.

The system's resolver waits as long as it likes and cannot be interrupted, so it is asked on threads of its own. Events
choose the names under a suffix rule: those have threads of their own, and fewer than all fetches may wait for them.

A name that does not exist is an answer, and its record's fault. A resolver that fails is a dependency that is down:
for ever if it finds nothing, for `object_patience_s` if it finds other names under the same suffix.
"""

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from sluice.core.errors import Unfetchable
from sluice.media.fetching.circuit_breaker import Transient
from sluice.media.fetching.object_failures import ObjectFailures

Resolve = Callable[[str, int], list[str]]
"""Name and port to addresses; OSError when there are none."""

_THREADS = 4  # for the names that events choose, and at least as many for those that settings spell out
_MOST_THREADS = 64
_KEPT_S = 5.0  # short beside any failover
_FAILURE_KEPT_S = 1.5  # shorter than the pause before a flight is tried again
_KNOWN = 1024
_TURN_S = 0.1  # ordinary answers take milliseconds, so that those who wait for a turn soon get one
_NO_SUCH_NAME = frozenset(
    number for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if (number := getattr(socket, name, None))
)


class Unanswered(Transient):
    """A name that an event chose cannot be looked up now; to ask again at once would only hold a thread."""


@dataclass(frozen=True, slots=True)
class _Host:
    """A name and the rule that allows it; names under one suffix speak for each other."""

    name: str
    store: str

    @property
    def chosen(self) -> bool:
        """Whether an event chose the name, and not the settings."""
        return self.store.startswith(".")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the resolver said, and when: addresses, or that there are none, or (`failure`) nothing of use."""

    at_s: float
    addresses: tuple[str, ...] = ()
    exists: bool = True
    failure: str = ""

    @property
    def kept_s(self) -> float:
        """How long it is not asked for again."""
        return _FAILURE_KEPT_S if self.failure else _KEPT_S


class Names:
    """Looks names up, each once at a time. Thread-safe; `clock` is monotonic seconds.

    `fetches` is how many may ask at once, `spelled_out` how many names the settings allow by themselves: each of those
    has a thread, so that none waits for another.
    """

    def __init__(
        self, resolve: Resolve, clock: Callable[[], float], *, patience_s: float, fetches: int, spelled_out: int
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[_Host, _Answer] = OrderedDict()
        self._running: dict[_Host, Future[_Answer]] = {}
        self._turns = threading.Semaphore(max(1, fetches // 2))
        self._object_failures: ObjectFailures[_Host] = ObjectFailures(clock, patience_s)
        by_kind = {True: _THREADS, False: min(max(_THREADS, spelled_out), _MOST_THREADS)}
        self._pools = {chosen: ThreadPoolExecutor(most, "resolve") for chosen, most in by_kind.items()}

    def find(self, name: str, port: int, rule: str, wait_s: float) -> list[str]:
        """Return the addresses of a name. Raises Unfetchable if it does not exist or only fails, else Transient."""
        host = _Host(name, rule)
        answer = self._kept(host) or self._asked(host, port, wait_s)
        if not answer.exists:
            self._object_failures.forget(host)
            raise Unfetchable("no_such_host", "the name of the host does not exist")
        if not answer.failure:
            return list(answer.addresses)
        if not host.chosen:
            raise Transient(answer.failure)
        if not self._finds_another(host, port, wait_s, answer.at_s):
            self._object_failures.forget(host)
        elif self._object_failures.failed(host):
            raise Unfetchable("store_error", "the name of the host cannot be looked up, again and again")
        raise Unanswered(answer.failure)

    def close(self) -> None:
        """Let go of the threads; those that the resolver holds are not joined."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _finds_another(self, host: _Host, port: int, wait_s: float, since_s: float) -> bool:
        """Whether the resolver has found another name of the same rule since, or finds one now."""
        probe = self._object_failures.probe(host)
        if probe is None:
            return False
        other, found_s = probe
        return found_s >= since_s or not self._asked(other, port, wait_s).failure

    def _kept(self, host: _Host) -> _Answer | None:
        with self._lock:
            answer = self._known.get(host)
        return answer if answer and self._clock() < answer.at_s + answer.kept_s else None

    def _asked(self, host: _Host, port: int, wait_s: float) -> _Answer:
        """Ask the resolver, or wait for who is asking it already."""
        if not host.chosen:
            return self._answer(host, port, wait_s)
        if not self._turns.acquire(timeout=min(_TURN_S, wait_s)):
            return _Answer(self._clock(), failure="too many names are being looked up")
        try:
            return self._answer(host, port, wait_s)
        finally:
            self._turns.release()

    def _answer(self, host: _Host, port: int, wait_s: float) -> _Answer:
        began_s = self._clock()
        with self._lock:
            running = self._running.get(host)
            if running is None:
                running = self._running[host] = self._pools[host.chosen].submit(self._looked_up, host, port)
        try:
            return running.result(wait_s)
        except (TimeoutError, CancelledError):
            if running.cancel():  # who has stopped waiting needs no answer; a slow resolver has enough to do
                self._end(host)
            return self._noted(host, _Answer(began_s, failure="the resolver did not answer in time"))

    def _looked_up(self, host: _Host, port: int) -> _Answer:
        """Run on a thread of the resolver's; an answer that comes too late serves the next question."""
        try:
            answer = self._noted(host, self._told(host, port))
        finally:
            self._end(host)
        return answer

    def _told(self, host: _Host, port: int) -> _Answer:
        began_s = self._clock()
        try:
            addresses = tuple(self._resolve(host.name, port))
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return _Answer(began_s, exists=False)
            return _Answer(began_s, failure=f"the resolver failed ({error.errno})")
        except (OSError, UnicodeError) as error:
            return _Answer(began_s, failure=f"the resolver failed ({type(error).__name__})")
        self._object_failures.served(host)
        return _Answer(began_s, addresses)

    def _noted(self, host: _Host, answer: _Answer) -> _Answer:
        """Keep an answer for the next question; a failure of a name in the settings is asked about again at once."""
        if host.chosen or not answer.failure:
            with self._lock:
                self._known[host] = answer
                self._known.move_to_end(host)
                if len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
        return answer

    def _end(self, host: _Host) -> None:
        with self._lock:
            self._running.pop(host, None)


def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
