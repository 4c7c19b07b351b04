"""Display gates with one defect each: what the test of the gate must notice."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluice_schemas import Decision, Decoded, Kept, Mode, Standing, Status, Verdict, Why, gate
from sluice_schemas.headers import KEY_ID, Headers
from sluice_schemas.standing import _NOTHING, DOUBTED, REVOKED, Folded
from tests.support.gate_records import NEW, minute
from tests.support.gate_world import REMEMBERED, REMEMBERING, SKEW

Ask = tuple[Verdict | None, str, int, datetime]


class Sound(Standing):
    """The gate as it is, with the keys and the clocks of the world."""

    def __init__(self) -> None:
        super().__init__(check=self.believe, framing=REMEMBERING, clock_skew=SKEW)

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

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Folded:
        if value is not None:
            about, _, refused = self._read(value, headers)
            if refused:
                return Folded(about, changed=False, refused=refused)
        return super().fold(key, value, headers)


class Undead(Sound):
    """Overlooks tombstones."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Folded:
        return super().fold(key, value, headers) if value is not None else Folded(None, changed=False)


class Reborn(Sound):
    """Lets the next verdict undo a tombstone."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Folded:
        if key and value is not None:
            self._images[key.decode()] = replace(self._images.get(key.decode(), _NOTHING), revoked=False)
        return super().fold(key, value, headers)


class LateTombstone(Sound):
    """Overlooks a tombstone of an image it does not know yet."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Folded:
        if value is None and key and key.decode() not in self._images:
            return Folded(None, changed=False)
        return super().fold(key, value, headers)


class FirstWins(Sound):
    """Takes the first record of an id for all of them."""

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Folded:
        verdict = None if value is None else self._read(value, headers)[1].verdict
        known = self._images.get(verdict.image_id) if verdict else None
        if verdict and known and known.verdict and known.verdict.verdict_id == verdict.verdict_id:
            return Folded(verdict.image_id, changed=False)
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
        return any(self.positions.get(part, -1) >= end for part, end in self._ends.items())


class OneShort(Sound):
    """Has enough one record before the end."""

    @property
    def replayed(self) -> bool:
        return all(self.positions.get(part, -1) + 1 >= end for part, end in self._ends.items())


class Forgetful(Sound):
    """Loses marks over a restart."""

    mark = REVOKED

    def restore(self, records: Iterable[Kept], positions: Mapping[int, int]) -> None:
        kept = [replace(r, headers=tuple(h for h in r.headers if h[0] != self.mark)) for r in records]
        super().restore(kept, positions)


class Undoubting(Forgetful):
    mark = DOUBTED


class EmptyHanded(Sound):
    """Takes the positions of its store for what is in it."""

    def restore(self, records: Iterable[Kept], positions: Mapping[int, int]) -> None:
        del records
        super().restore((), positions)


class Unproven(Sound):
    """Stores verdicts without what proves them."""

    def kept(self, image_id: str) -> Kept:
        kept = super().kept(image_id)
        return replace(kept, headers=tuple(header for header in kept.headers if header[0] in (REVOKED, DOUBTED)))


class Impatient(Sound):
    """Shows what nobody judged, once it was asked often enough."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def may_show(self, image_id: str, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        found = super().may_show(image_id, image_sha256, minimum_policy_version=minimum_policy_version, now=now)
        self.asked += found.reason is Why.NO_VERDICT
        late = found.reason is Why.NO_VERDICT and self.asked > 3
        return Decision(show=True, reason=Why.ALLOWED) if late else found


class Skewed(Sound):
    """Takes its own clock for everybody's."""

    def __init__(self) -> None:
        super().__init__()
        self._skew = timedelta()


class Remembering(Sound):
    """Shows again what it has shown before."""

    def __init__(self) -> None:
        super().__init__()
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
    Forgetful,
    Undoubting,
    EmptyHanded,
    Unproven,
    Impatient,
    Skewed,
    Remembering,
)


Latest = Callable[[Verdict | None, Verdict], Verdict]


def _by(rank: Callable[[Verdict], tuple[object, ...]]) -> Latest:
    return lambda current, incoming: incoming if current is None or rank(incoming) > rank(current) else current


def _rank_with(**changed: Callable[[Verdict], object]) -> Latest:
    """Return the reducer with one part of the comparison changed."""

    def rank(verdict: Verdict) -> tuple[object, ...]:
        parts = dict(zip(("mode", "person", "version", "strictness"), gate._rank(verdict), strict=False))
        return tuple((parts | {name: part(verdict) for name, part in changed.items()}).values())

    return _by(rank)


LATEST: Mapping[str, Latest] = {
    "the last to come wins": lambda _, incoming: incoming,
    "the strictest wins, whatever its policy": _rank_with(version=lambda _: 0),
    "the mildest wins": _rank_with(strictness=lambda verdict: -gate._RESTRICTIVE[verdict.status]),
    "a person counts as a model": _rank_with(person=lambda _: 0),
    "the earlier person wins": _rank_with(
        person=lambda verdict: -verdict.override.at.timestamp() if verdict.override else float("-inf")
    ),
    "a trial counts": _rank_with(mode=lambda _: 0),
    "indeterminate is as good as ALLOW": _rank_with(
        strictness=lambda verdict: gate._RESTRICTIVE[verdict.status] % gate._RESTRICTIVE[Status.INDETERMINATE]
    ),
}

_FAR = datetime(1, 1, 2, tzinfo=UTC)
ASK: Mapping[str, Callable[[Verdict | None, str, int, datetime], Ask]] = {
    "any bytes": lambda v, _, least, now: (v, v.image_sha256 or "" if v else "", least, now),
    "any policy": lambda v, sha, _, now: (v, sha, 0, now),
    "only newer policies": lambda v, sha, least, now: (v, sha, least + 1, now),
    "for ever": lambda v, sha, least, _: (v, sha, least, _FAR),
    "a moment too long": lambda v, sha, least, now: (v, sha, least, now - timedelta(microseconds=1)),
    "trials too": lambda v, sha, least, now: (v and replace(v, mode=Mode.ENFORCE), sha, least, now),
    "blurred as plain": lambda v, sha, least, now: (_as_allow(v, Status.BLUR), sha, least, now),
    "indeterminate as plain": lambda v, sha, least, now: (_as_allow(v, Status.INDETERMINATE), sha, least, now),
}


def _as_allow(verdict: Verdict | None, status: Status) -> Verdict | None:
    return replace(verdict, status=Status.ALLOW) if verdict and verdict.status is status else verdict


def asking(change: Callable[[Verdict | None, str, int, datetime], Ask]) -> Callable[..., Decision]:
    """Return `gate.may_show` as it would be if it had been asked something else."""
    sound = gate.may_show

    def may_show(verdict: Verdict | None, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        found, sha256, least, moment = change(verdict, image_sha256, minimum_policy_version, now)
        return sound(found, sha256, minimum_policy_version=least, now=moment)

    return may_show
