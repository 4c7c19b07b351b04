"""The conformance vectors of the display gate, expectations written by hand: `python -m tests.support.gate_vectors`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.report.table import plain
from sluice_schemas import Mode, Override, PolicyRef, Status, Verdict, Why, encode
from sluice_schemas.foreign import parsed
from sluice_schemas.headers import Headers
from sluice_schemas.released import released
from sluice_schemas.signing import Signer, TrustedKey
from tests.unit.schemas_strategies import NOON, VERDICT

FILE = Path(__file__).parents[2] / "schemas/conformance/display-gate.json"
SHA, OTHER = "a" * 64, "b" * 64
HOUR = timedelta(hours=1)
OLD, NEW, STRANGER = (
    Signer(name, Ed25519PrivateKey.from_private_bytes(name.encode()[:1] * 32)) for name in ("old", "new", "stranger")
)
RING = (OLD.trusted(until=NOON + HOUR), NEW.trusted(since=NOON))
ALERTS = (Why.BYTES_CHANGED, Why.INDETERMINATE, Why.UNVERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A record of the verdict topic; `verdict` says what is in `value`, for people."""

    value: bytes | None
    verdict: Verdict | None = None
    headers: Headers = ()
    key: str | None = "i"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One question and its answer, as the file has it; partition 0 holds all messages."""

    name: str
    messages: Sequence[Message]
    expected: Why
    minimum: int = 1
    skew_s: int = 0
    keys: Sequence[TrustedKey] | None = None
    read: int | None = None
    ends: Mapping[str, int] | None = None
    now: datetime = NOON
    image_id: str = "i"
    sha256: str = SHA

    def as_json(self) -> dict[str, Any]:
        count = len(self.messages)
        keys = None if self.keys is None else [key.as_json() for key in self.keys]
        return {
            "name": self.name,
            "config": {"minimum_policy_version": self.minimum, "clock_skew_s": self.skew_s, "keys": keys},
            "messages": [_message(message) for message in self.messages],
            "positions": {"0": count if self.read is None else self.read},
            "ends": {"0": count} if self.ends is None else self.ends,
            "now": self.now.isoformat(),
            "image_id": self.image_id,
            "presented_sha256": self.sha256,
            "expected": {
                "show": self.expected is Why.ALLOWED,
                "reason": self.expected,
                "alert": self.expected in ALERTS,
            },
        }


def _message(message: Message) -> dict[str, Any]:
    return {
        "key": message.key,
        "value": None if message.value is None else message.value.hex(),
        "headers": [[name, None if content is None else content.hex()] for name, content in message.headers],
        "verdict": message.verdict and plain(asdict(message.verdict)),
    }


def verdict(status: Status = Status.ALLOW, version: int = 3, **changes: Any) -> Verdict:
    number = list(Status).index(status) + 1
    policy = PolicyRef("p", version, "d")
    return replace(VERDICT, image_sha256=SHA, verdict_id=UUID(int=number), status=status, policy=policy, **changes)


def sent(found: Verdict, signer: Signer | None = None) -> Message:
    value = encode(found)
    return Message(value=value, verdict=found, headers=signer(value, ()) if signer else ())


ALLOW, BLOCK = verdict(), verdict(Status.BLOCK)
GONE, JUNK = Message(value=None), Message(value=bytes.fromhex("c30100"))


def vectors() -> list[dict[str, Any]]:
    """Return every vector as JSON's types."""
    groups = (_one_verdict(), _several(), _state(), _signed())
    return [vector.as_json() for group in groups for vector in group]


def _one_verdict() -> Iterator[Vector]:
    def one(name: str, found: Verdict, expected: Why, **asked: Any) -> Vector:
        return Vector(name=name, messages=[sent(found)], expected=expected, **asked)

    yield Vector(name="no verdict", messages=[], ends={"0": 0}, expected=Why.NO_VERDICT)
    yield one("an allowed image", ALLOW, Why.ALLOWED)
    yield one("another image", ALLOW, Why.NO_VERDICT, image_id="j")
    yield one("other bytes", ALLOW, Why.BYTES_CHANGED, sha256=OTHER)
    yield one("no bytes were judged", replace(ALLOW, image_sha256=None), Why.BYTES_CHANGED, sha256="")
    yield one("an empty hash equals nothing", replace(ALLOW, image_sha256=""), Why.BYTES_CHANGED, sha256="")
    for status in (Status.BLUR, Status.REVIEW, Status.BLOCK):
        yield one(f"status {status}", verdict(status), Why.NOT_ALLOWED)
    yield one("status INDETERMINATE", verdict(Status.INDETERMINATE), Why.INDETERMINATE)
    yield one("a trial does not count", verdict(mode=Mode.SHADOW), Why.SHADOW)
    yield one("the policy is the oldest accepted", ALLOW, Why.ALLOWED, minimum=3)
    yield one("the policy is too old", ALLOW, Why.POLICY_TOO_OLD, minimum=4)
    expiring = verdict(expires_at=NOON + HOUR)
    yield one("a moment before it expires", expiring, Why.ALLOWED, now=NOON + HOUR - timedelta(microseconds=1))
    yield one("the moment it expires", expiring, Why.EXPIRED, now=NOON + HOUR)
    yield one("earlier by the clock skew", expiring, Why.EXPIRED, now=NOON + HOUR - timedelta(seconds=60), skew_s=60)
    yield one("before the clock skew", expiring, Why.ALLOWED, now=NOON + HOUR - timedelta(seconds=61), skew_s=60)
    with_tenant = replace(ALLOW, tenant_id="t\u00e9nant", reasons=("a",), coverage=0.5, indeterminate_reason=None)
    yield one("optional fields do not matter", with_tenant, Why.ALLOWED)


def _several() -> Iterator[Vector]:
    """Each in both orders."""
    person = Override(NOON, "somebody", "appeal")
    cases = (
        ("the stricter at equal version", (ALLOW, BLOCK), Why.NOT_ALLOWED),
        ("ALLOW of a higher version", (BLOCK, verdict(version=4)), Why.ALLOWED),
        ("BLOCK of a higher version", (ALLOW, verdict(Status.BLOCK, 4)), Why.NOT_ALLOWED),
        ("ALLOW of a lower version", (BLOCK, verdict(version=2)), Why.NOT_ALLOWED),
        ("INDETERMINATE against ALLOW", (ALLOW, verdict(Status.INDETERMINATE)), Why.INDETERMINATE),
        ("a finding against INDETERMINATE", (BLOCK, verdict(Status.INDETERMINATE)), Why.NOT_ALLOWED),
        ("a person allows", (BLOCK, verdict(override=person)), Why.ALLOWED),
        ("a person blocks, whatever models say later", (verdict(Status.BLOCK, override=person), verdict(version=9)),
         Why.NOT_ALLOWED),
        ("the later person", (verdict(Status.BLOCK, override=person), verdict(override=Override(NOON + HOUR))),
         Why.ALLOWED),
        ("a trial never replaces", (ALLOW, verdict(Status.BLOCK, 9, mode=Mode.SHADOW)), Why.ALLOWED),
        ("a tombstone", (ALLOW, None), Why.REVOKED),
    )  # fmt: skip
    for name, pair, expected in cases:
        messages = [GONE if found is None else sent(found) for found in pair]
        yield Vector(name=f"{name}, last", messages=messages, expected=expected)
        yield Vector(name=f"{name}, first", messages=messages[::-1], expected=expected)
    yield Vector(name="duplicates", messages=[sent(ALLOW)] * 3, expected=Why.ALLOWED)


def _state() -> Iterator[Vector]:
    shown = sent(ALLOW)
    yield Vector(name="nothing read, nothing known of the end", messages=[], ends={}, expected=Why.NOT_REPLAYED)
    yield Vector(name="one record before the end", messages=[shown], ends={"0": 2}, expected=Why.NOT_REPLAYED)
    yield Vector(name="past control records to the end", messages=[shown], read=2, ends={"0": 2}, expected=Why.ALLOWED)
    yield Vector(
        name="another partition is not read", messages=[shown], ends={"0": 1, "1": 1}, expected=Why.NOT_REPLAYED
    )
    yield Vector(name="read beyond the end: another topic", messages=[shown], read=1000, ends={"0": 5},
                 expected=Why.NOT_REPLAYED)  # fmt: skip
    yield Vector(name="what was read has no end", messages=[shown], ends={"1": 0}, expected=Why.NOT_REPLAYED)
    yield Vector(name="an end is not known", messages=[shown], ends={"0": -1001}, expected=Why.NOT_REPLAYED)
    yield Vector(name="unreadable bytes", messages=[shown, JUNK], expected=Why.UNVERIFIED)
    yield Vector(name="an unreadable record before a good one", messages=[JUNK, shown], expected=Why.UNVERIFIED)
    cut = Message(value=encode(BLOCK)[:-1])
    yield Vector(name="a verdict cut short", messages=[shown, cut], expected=Why.UNVERIFIED)
    long = Message(value=encode(BLOCK) + b"\0")
    yield Vector(name="a verdict with bytes behind it", messages=[shown, long], expected=Why.UNVERIFIED)
    unknown = Message(value=b"\xc3\x01" + bytes(8) + encode(BLOCK)[10:])
    yield Vector(name="an unknown schema", messages=[shown, unknown], expected=Why.UNVERIFIED)
    elsewhere = replace(JUNK, key="j")
    yield Vector(name="an unreadable record of another image", messages=[shown, elsewhere], expected=Why.ALLOWED)
    misplaced = replace(shown, key="j")
    yield Vector(name="the verdict names the image, not its key", messages=[misplaced], expected=Why.ALLOWED)
    marked = replace(shown, headers=(("sluice-revoked", b"1"), ("sluice-doubted", b"1")))
    yield Vector(name="marks of a store mean nothing on the topic", messages=[marked], expected=Why.ALLOWED)


def _signed() -> Iterator[Vector]:
    def signed(name: str, message: Message, expected: Why) -> Vector:
        return Vector(name=f"signatures: {name}", messages=[message], expected=expected, keys=RING)

    good = sent(ALLOW, NEW)
    late, early = (replace(ALLOW, produced_at=NOON + shift) for shift in (HOUR, -HOUR))
    yield signed("the new key", good, Why.ALLOWED)
    yield signed("the old key, where the windows overlap", sent(ALLOW, OLD), Why.ALLOWED)
    yield signed("the old key, before the new one", sent(early, OLD), Why.ALLOWED)
    yield signed("the old key, the moment its window ends", sent(late, OLD), Why.UNVERIFIED)
    yield signed("the new key, before its window", sent(early, NEW), Why.UNVERIFIED)
    yield signed("unsigned", sent(ALLOW), Why.UNVERIFIED)
    yield signed("no key id", replace(good, headers=good.headers[:1]), Why.UNVERIFIED)
    yield signed("an unknown key", sent(ALLOW, STRANGER), Why.UNVERIFIED)
    stolen = (sent(ALLOW, STRANGER).headers[0], good.headers[1])
    yield signed("an unknown key under a known name", replace(good, headers=stolen), Why.UNVERIFIED)
    forged = replace(good, value=encode(verdict(version=9)), verdict=verdict(version=9))
    yield signed("changed bytes", forged, Why.UNVERIFIED)
    damaged = ((good.headers[0][0], bytes(64)), good.headers[1])
    yield signed("a changed signature", replace(good, headers=damaged), Why.UNVERIFIED)
    yield signed("a signature of another label", replace(good, headers=_unlabelled(good)), Why.UNVERIFIED)
    repeated = replace(good, headers=(*damaged, *good.headers))
    yield signed("a header that decides stands once", repeated, Why.UNVERIFIED)
    unsigned_tombstone = [good, GONE]
    yield Vector(
        name="signatures: a tombstone needs none", messages=unsigned_tombstone, keys=RING, expected=Why.REVOKED
    )
    yield Vector(
        name="signatures: an unbelieved BLOCK", messages=[good, sent(BLOCK)], keys=RING, expected=Why.UNVERIFIED
    )
    yield Vector(name="signatures: no key is believed", messages=[good], keys=(), expected=Why.UNVERIFIED)
    yield Vector(name="signatures: not asked for", messages=[forged], expected=Why.ALLOWED)


def _unlabelled(message: Message) -> Headers:
    return ((message.headers[0][0], NEW.key.sign(message.value or b"")), message.headers[1])


def text() -> str:
    """Return the file's text: one vector a line, so that a change reads well."""
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors())
    digests = json.dumps({name: schema.hex() for name, schema in schema_digests().items()})
    return f'{{"schema_digests": {digests},\n"vectors": [\n{lines}\n]}}\n'


def schema_digests() -> dict[str, bytes]:
    """Return what names each released schema of a verdict in signatures."""
    verdicts = (schema for schema in released() if schema.event == Verdict.__name__)
    return {f"{schema.event}.v{schema.version}": parsed(schema.definition).digest() for schema in verdicts}


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
