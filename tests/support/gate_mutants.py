"""Display gates with one defect each: what the test of the gate must notice."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from sluice_schemas import Decision, Decoded, StoredVerdict, Verdict, VerdictView, Why
from sluice_schemas.headers import KEY_ID, Headers
from sluice_schemas.verdict_view import _NOTHING, DOUBTED, REVOKED, Applied
from tests.support.gate_records import NEW, minute
from tests.support.gate_world import MAX_LAG, REMEMBERED, REMEMBERING, SKEW


class Sound(VerdictView):
    """The gate as it is, with the keys and the clocks of the world."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(check=self.believe, framing=REMEMBERING, clock_skew=SKEW, max_lag=MAX_LAG, clock=clock)

    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        return REMEMBERED(message, headers)


class NoSignature(Sound):
    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        return None if (found := super().believe(message, headers)) == "unsigned" else found


class UncheckedSignature(Sound):
    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        return None if (found := super().believe(message, headers)) == "bad_signature" else found


class AnyKey(Sound):
    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        return None if (found := super().believe(message, headers)) == "unknown_key" else found


class RetiredKey(Sound):
    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        return None if (found := super().believe(message, headers)) == "outside_window" else found


class NoOverlap(Sound):
    def believe(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        late = message.event.produced_at < minute(2) and dict(headers).get(KEY_ID) == NEW.key_id.encode()
        return "outside_window" if late else super().believe(message, headers)


class OnlySigned(Sound):
    """Overlooks what it cannot believe instead of doubting."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        if value is not None:
            about, _, refused = self._read(value, headers)
            if refused:
                return Applied(about, changed=False, refused=refused)
        return super().fold(key, value, headers)


class Undead(Sound):
    """Overlooks tombstones."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        return super().fold(key, value, headers) if value is not None else Applied(None, changed=False)


class Reborn(Sound):
    """Lets the next verdict undo a tombstone."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        if key and value is not None:
            self._images[key.decode()] = replace(self._images.get(key.decode(), _NOTHING), revoked=False)
        return super().fold(key, value, headers)


class LateTombstone(Sound):
    """Overlooks a tombstone of an image it does not know yet."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        if value is None and key and key.decode() not in self._images:
            return Applied(None, changed=False)
        return super().fold(key, value, headers)


class FirstWins(Sound):
    """Takes the first record of an id for all of them."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        verdict = None if value is None else self._read(value, headers)[1].verdict
        known = self._images.get(verdict.image_id) if verdict else None
        if verdict and known and known.verdict and known.verdict.verdict_id == verdict.verdict_id:
            return Applied(verdict.image_id, changed=False)
        return super().fold(key, value, headers)


class Eager(Sound):
    """Shows before it has read to the end."""

    @property
    def replayed(self) -> bool:
        return True


class OnePartition(Sound):
    """Has enough when one partition is read."""

    @property
    def replayed(self) -> bool:
        oldest_s = self._replay._clock() - MAX_LAG.total_seconds()
        return any(partition.current_s >= oldest_s for partition in self._replay._partitions.values())


class OneShort(Sound):
    """Has enough one record before the end."""

    ends: Mapping[int, int] = MappingProxyType({})

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> str | None:
        self.ends = dict(ends)
        return super().aim(ends, starts)

    @property
    def replayed(self) -> bool:
        short = bool(self.ends) and all(self.positions.get(part, -1) + 1 >= end for part, end in self.ends.items())
        return short or super().replayed


class Timeless(Sound):
    """Believes for ever that it has read everything."""

    def __init__(self, clock: Callable[[], float]) -> None:
        del clock
        super().__init__(lambda: 0.0)


class OneLog(Sound):
    """Believes its positions whatever the log is."""

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> str | None:
        del starts
        return super().aim({part: max(end, self.positions.get(part, 0)) for part, end in ends.items()})


class Gapless(Sound):
    """Does not ask where the log begins."""

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> str | None:
        del starts
        return super().aim(ends)


class Nostalgic(Sound):
    """Keeps what it knows of another log."""

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> str | None:
        known = self._images
        fault = super().aim(ends, starts)
        self._images = known
        return fault


class Forgetful(Sound):
    """Loses marks over a restart."""

    mark = REVOKED

    def restore(self, records: Iterable[StoredVerdict], positions: Mapping[int, int]) -> None:
        kept = [replace(r, headers=tuple(h for h in r.headers if h[0] != self.mark)) for r in records]
        super().restore(kept, positions)


class Undoubting(Forgetful):
    mark = DOUBTED


class EmptyHanded(Sound):
    """Takes the positions of its store for what is in it."""

    def restore(self, records: Iterable[StoredVerdict], positions: Mapping[int, int]) -> None:
        del records
        super().restore((), positions)


class Unproven(Sound):
    """Stores verdicts without what proves them."""

    def kept(self, image_id: str) -> StoredVerdict:
        kept = super().kept(image_id)
        return replace(kept, headers=tuple(header for header in kept.headers if header[0] in (REVOKED, DOUBTED)))


class Impatient(Sound):
    """Shows what nobody judged, once it was asked often enough."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.asked = 0

    def may_show(self, image_id: str, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        found = super().may_show(image_id, image_sha256, minimum_policy_version=minimum_policy_version, now=now)
        self.asked += found.reason is Why.NO_VERDICT
        late = found.reason is Why.NO_VERDICT and self.asked > 3
        return Decision(show=True, reason=Why.ALLOWED) if late else found


class Skewed(Sound):
    """Takes its own clock for everybody's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._skew = timedelta()


class Remembering(Sound):
    """Shows again what it has shown before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.shown: set[tuple[str, str]] = set()

    def may_show(self, image_id: str, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        if (image_id, image_sha256) in self.shown:
            return Decision(show=True, reason=Why.ALLOWED)
        found = super().may_show(image_id, image_sha256, minimum_policy_version=minimum_policy_version, now=now)
        if found:
            self.shown.add((image_id, image_sha256))
        return found


BUILDS: tuple[type[Sound], ...] = (
    NoSignature,
    UncheckedSignature,
    AnyKey,
    RetiredKey,
    NoOverlap,
    OnlySigned,
    Undead,
    Reborn,
    LateTombstone,
    FirstWins,
    Eager,
    OnePartition,
    OneShort,
    Timeless,
    OneLog,
    Gapless,
    Nostalgic,
    Forgetful,
    Undoubting,
    EmptyHanded,
    Unproven,
    Impatient,
    Skewed,
    Remembering,
)
