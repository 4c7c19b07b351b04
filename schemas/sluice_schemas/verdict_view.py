"""What stands for every image: the state of a display service, and how it survives a restart.

Per image three facts are kept, and each only ever grows: the verdict that stands (`gate.latest`), whether a tombstone
took the image away, whether a record about it could not be read or proven. So records may come in any order and any
number of times, a service may go back as far as it likes, and two services that have seen the same records agree.
`replay` says whether all of them were seen.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sluice_schemas import gate
from sluice_schemas.errors import WireError
from sluice_schemas.events import Verdict
from sluice_schemas.framing import Framing, SingleObjectFraming
from sluice_schemas.gate import Decision, Why
from sluice_schemas.headers import KEY_ID, SIGNATURE, Headers
from sluice_schemas.replay import Replay
from sluice_schemas.topics import VERDICTS
from sluice_schemas.wire import SCHEMA_ID_HEADER, Decoded

Check = Callable[[Decoded[Verdict], Headers], str | None]
"""Says why a message is not to be trusted (a stable snake_case code), None if it is: `signing.KeyRing.check`."""

REVOKED = "sluice-revoked"
DOUBTED = "sluice-doubted"
_KEPT_HEADERS = frozenset({SIGNATURE, KEY_ID, SCHEMA_ID_HEADER})
_MARK = b"1"
_NO_SKEW = timedelta()
_MAX_LAG = timedelta(seconds=10)


def trusting(message: Decoded[Verdict], headers: Headers) -> str | None:
    """Trust every message that can be read: who may write the topic is left to the broker."""
    del message, headers
    return None


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """What a store keeps of one image: a record of a compacted topic, or a row. `value` is empty without a verdict.

    The value and the signature are those of the verdict that stands, byte for byte, so that both can be checked again.
    """

    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Applied:
    """What one record did: to which image, whether its `StoredVerdict` changed, why it was refused (then: alert)."""

    image_id: str | None
    changed: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of one image; the value and headers are those the verdict came with."""

    verdict: Verdict | None = None
    value: bytes = b""
    headers: Headers = ()
    revoked: bool = False
    doubted: bool = False

    def joined(self, other: "_Known") -> "_Known":
        """Return what both know together; the order does not matter."""
        stands = self
        if other.verdict is not None and gate.latest(self.verdict, other.verdict) is not self.verdict:
            stands = other
        return replace(stands, revoked=self.revoked or other.revoked, doubted=self.doubted or other.doubted)


_NOTHING = _Known()


class VerdictView:
    """Folds the records of the verdict topic and answers whether an image may be shown.

    One thread feeds it, any thread may ask. Nothing is shown unless every partition was read to where it ended at most
    `max_lag` ago: `aim` says where, at least twice in that time, `reached` how far. `clock_skew` is how far the clocks
    of judges and display may be apart: a verdict expires that much earlier. `clock` gives seconds that only grow.
    """

    def __init__(  # noqa: PLR0913 -- all have a default
        self,
        *,
        check: Check = trusting,
        framing: Framing | None = None,
        topic: str = VERDICTS.name,
        clock_skew: timedelta = _NO_SKEW,
        max_lag: timedelta = _MAX_LAG,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._framing = framing or SingleObjectFraming()
        self._topic = topic
        self._skew = clock_skew
        self._images: dict[str, _Known] = {}
        self._replay = Replay(max_lag.total_seconds(), clock)

    @property
    def positions(self) -> Mapping[int, int]:
        """How far each partition was read: where to go on, and what to store once all of `kept` is."""
        return self._replay.positions

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Applied:
        """Take in one record. What cannot be read or proven puts the image of its key in doubt, for good.

        Raises RegistryDown or RegistryRefused, nothing taken in, when the framing needs a registry: try again.
        """
        named = None if key is None else key.decode("utf-8", "surrogateescape")
        if value is None:
            return self._join(named, _Known(revoked=True), "no_key" if named is None else None)
        about, known, refused = self._read(value, headers)
        if refused is not None and named is not None:
            about = named  # what is not believed does not say whom it is about
        return self._join(about, known, refused)

    def reached(self, partition: int, position: int) -> None:
        """Say that everything before this offset was folded: the consumer's position, which passes control records."""
        self._replay.reached(partition, position)

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int] | None = None) -> str | None:
        """Say where every partition ends and begins, asked just now, after all that was read; no ends: no reader.

        Returns None, or in words why this is not the log that was read: made anew, or deleted before it was read. Then
        everything known is forgotten: empty the store, and read every partition from its beginning.
        """
        fault = self._replay.aim(ends, starts or {})
        if fault:
            self._images = {}
        return fault

    @property
    def replayed(self) -> bool:
        """Whether every partition was read to where it ended at most `max_lag` ago."""
        return self._replay.current

    def may_show(self, image_id: str, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        """Decide whether bytes with this SHA-256 may be shown as this image, as `gate.may_show` does."""
        known = self._images.get(image_id, _NOTHING)
        refusals = (
            (not self.replayed, Why.NOT_REPLAYED),
            (known.revoked, Why.REVOKED),
            (known.doubted, Why.UNVERIFIED),
        )
        for refused, reason in refusals:
            if refused:
                return Decision(show=False, reason=reason)
        return gate.may_show(
            known.verdict, image_sha256, minimum_policy_version=minimum_policy_version, now=now + self._skew
        )

    def kept(self, image_id: str) -> StoredVerdict:
        """Return what to store of an image: before the positions, then any restart is safe."""
        known = self._images.get(image_id, _NOTHING)
        marks = ((REVOKED, known.revoked), (DOUBTED, known.doubted))
        headers = (*known.headers, *((name, _MARK) for name, marked in marks if marked))
        return StoredVerdict(image_id.encode("utf-8", "surrogateescape"), known.value, headers)

    def all_kept(self) -> Iterator[StoredVerdict]:
        """Yield what to store of every image."""
        return map(self.kept, self._images)

    def restore(self, records: Iterable[StoredVerdict], positions: Mapping[int, int]) -> None:
        """Take in what was stored, checked anew: a key that is no longer trusted takes its verdicts with it.

        Nothing is shown before the next `aim`, which tells whether the positions are of this log.
        """
        self.aim({})
        for record in records:
            if record.value:
                self.fold(record.key, record.value, record.headers)
            names = {name for name, _ in record.headers}
            marks = _Known(revoked=REVOKED in names, doubted=DOUBTED in names)
            self._join(record.key.decode("utf-8", "surrogateescape"), marks, None)
        for partition, position in positions.items():
            self.reached(partition, position)

    def _read(self, value: bytes, headers: Headers) -> tuple[str | None, _Known, str | None]:
        """Return whom a value is about, what it makes known, and why it is refused."""
        try:
            message = self._framing.read(self._topic, value, headers, Verdict)
        except WireError as error:
            return None, _Known(doubted=True), error.reason
        verdict, refused = message.event, self._check(message, headers)
        if refused is not None:
            return verdict.image_id, _Known(doubted=True), refused
        own = tuple((name, content) for name, content in headers if name in _KEPT_HEADERS)
        return verdict.image_id, _Known(verdict, value, own), None

    def _join(self, image_id: str | None, known: _Known, refused: str | None) -> Applied:
        if image_id is None:
            return Applied(None, changed=False, refused=refused)
        before = self._images.get(image_id, _NOTHING)
        after = before.joined(known)
        self._images[image_id] = after
        return Applied(image_id, after != before, refused)
