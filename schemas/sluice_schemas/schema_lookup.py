"""Decoders by the schema a message was written with, and who is to blame for none: the schema's id, or the registry.

A registry that is down must not cost records their verdicts, and one id must not stop all others. So what is not
plainly an answer about the id is followed by a question that must work: the schema that was had last, or what any
registry knows. If that fails, the registry is down. If it works, the id is asked for once more, and refused if the
answer is no better. An id that only fails while others are served is given up after a patience, which ids that fail
one after the other share.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice_schemas.errors import RegistryDown, RegistryRefused, RegistryUnclear, WireError
from sluice_schemas.registry_client import Key, MissingReference, Registry, Written
from sluice_schemas.wire import Resolved, resolve

FORGET_S = 30.0
MOST_REFUSED = 300
MOST_SPENT_S = 10.0
"""Ids that are refused within FORGET_S, and the time their questions took: beyond either, new ids are not asked for."""

_MOST_KNOWN = 1_000
"""Decoders that are kept; far more than one topic has versions."""
_SCHEMA_NOT_FOUND = 40403
_GONE = {404, 410}
_WITNESSES = 3  # one may be the schema in question, one deleted since
_FAILURES = 3  # one may be bad luck
_MAX_ID = (1 << 31) - 1


_Use = tuple[Key, type[Any]]


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    message: str
    until_s: float
    cost_s: float


class Lookup:
    """Decoders by schema. Thread-safe: one question to the registry at a time, none for what is known."""

    def __init__(self, registry: Registry, *, patience_s: float, forget_s: float, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._patience_s = patience_s
        self._forget_s = forget_s
        self._clock = clock
        self._lock = threading.Lock()
        self._schemas: dict[_Use, Resolved] = {}
        self._refusals: dict[_Use, _Refusal] = {}
        self._failures: dict[Key, int] = {}
        self._failing_since_s: float | None = None
        self._witnesses: dict[Key, None] = {}

    def served(self, key: Key) -> None:
        """Note a schema that this registry is known to have."""
        self._witnesses = dict.fromkeys([*(other for other in self._witnesses if other != key), key][-_WITNESSES:])

    def schema(self, key: Key, kind: type[Any]) -> Resolved:
        """Return what reads this schema. WireError if it is refused, RegistryDown if the registry serves no schema."""
        known = self._schemas.get((key, kind))
        if known:
            return known
        if isinstance(key, int) and key > _MAX_ID:
            raise WireError("unknown_schema_id", f"{key - (1 << 32)} is no schema id")
        with self._lock:
            return self._schemas.get((key, kind)) or self._found(key, kind)

    def _found(self, key: Key, kind: type[Any]) -> Resolved:
        self._bounded((key, kind))
        began_s = self._clock()
        try:
            made = self._asked(key, kind)
        except WireError as error:
            now = self._clock()
            self._refusals[key, kind] = _Refusal(error.reason, error.message, now + self._forget_s, now - began_s)
            raise
        if len(self._schemas) >= _MOST_KNOWN:
            del self._schemas[next(iter(self._schemas))]
        self._schemas[key, kind] = made
        return made

    def _asked(self, key: Key, kind: type[Any]) -> Resolved:
        try:
            written = self._registry.written(key)
        except (RegistryRefused, RegistryDown, MissingReference) as error:
            written = self._asked_again(key, error)
        self.served(key)
        self._failures, self._failing_since_s = {}, None
        return resolve(written.definition, kind, written.references)

    def _asked_again(self, key: Key, error: RegistryRefused | RegistryDown | MissingReference) -> Written:
        """Return the schema after all, or raise what is to be raised: that the id is refused, or that none is served.

        A registry that goes or comes back between two questions says of an id what it means for all. So only what it
        says before and after it served another is meant for the id.
        """
        if isinstance(error, RegistryRefused) and error.code == _SCHEMA_NOT_FOUND:
            raise _unknown(key) from None
        if not self._serves(key):
            self._failures, self._failing_since_s = {}, None
            raise RegistryDown(f"it serves no schema: {error}") from None
        if _only_failed(error):
            raise self._failed(key, error) from None
        try:
            return self._registry.written(key)
        except (RegistryRefused, RegistryDown) as again:
            raise self._judged(key, again) from None

    def _bounded(self, use: _Use) -> None:
        """Raise the refusal that stands, or the one that no more questions are asked."""
        now = self._clock()
        self._refusals = {known: refusal for known, refusal in self._refusals.items() if now < refusal.until_s}
        if use in self._refusals:
            refusal = self._refusals[use]
            raise WireError(refusal.reason, refusal.message)
        spent_s = sum(refusal.cost_s for refusal in self._refusals.values())
        if len(self._refusals) >= MOST_REFUSED or spent_s >= MOST_SPENT_S:
            raise WireError("schema_not_asked", f"too many schemas were refused in the last {self._forget_s:g} s")

    def _judged(self, key: Key, error: RegistryRefused | RegistryDown) -> WireError | RegistryDown:
        """Return what is to be raised when others are served."""
        if _only_failed(error):
            return self._failed(key, error)
        gone = isinstance(error, RegistryRefused) and error.status in _GONE
        return _unknown(key) if gone else _refused(key, error)

    def _failed(self, key: Key, error: Exception) -> WireError | RegistryDown:
        if not self._given_up(key):
            return RegistryDown(str(error))
        return WireError("schema_unavailable", f"the registry fails on schema {key} and serves others: {error}")

    def _given_up(self, key: Key) -> bool:
        now = self._clock()
        if self._failing_since_s is None or len(self._failures) > MOST_REFUSED:
            self._failures, self._failing_since_s = {}, now
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key] >= _FAILURES and now - self._failing_since_s >= self._patience_s

    def _serves(self, suspect: Key) -> bool:
        """Tell whether the registry serves others now."""
        others = [key for key in reversed(self._witnesses) if key != suspect]
        return any(self._speaks(key) for key in others) if others else self._registry.serves()

    def _speaks(self, witness: Key) -> bool:
        try:
            self._registry.schema(witness)
        except RegistryRefused as error:
            return error.status in _GONE and self._registry.serves()  # it was deleted
        except (RegistryDown, WireError):
            return False
        return True


def _only_failed(error: Exception) -> bool:
    """Tell whether nothing was said that can be judged: an error of the server, or no answer in time."""
    return isinstance(error, RegistryDown) and not isinstance(error, RegistryUnclear)


def _unknown(key: Key) -> WireError:
    reason = "unknown_schema_id" if isinstance(key, int) else "unknown_schema_guid"
    return WireError(reason, f"the registry does not know schema {key}")


def _refused(key: Key, error: Exception) -> WireError:
    return WireError("schema_refused", f"the registry gives no schema {key}, and others: {error}")
