"""Records of a verdict topic, genuine and forged, with the truth about each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice_schemas import Mode, Override, PolicyRef, Status, Verdict, encode
from sluice_schemas.headers import Headers
from sluice_schemas.signing import KeyRing, Signer
from tests.unit.schemas_strategies import NOON, VERDICT

IMAGES = ("a", "b", "c")
SHAS = ("1" * 64, "2" * 64)
Truth = Literal["genuine", "gone", "bad"]


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


OLD, NEW, STRANGER = (Signer(name, Ed25519PrivateKey.from_private_bytes(name.encode() * 32)) for name in "ons")
RING = KeyRing([OLD.trusted(until=minute(2)), NEW.trusted(since=minute(1))])


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of the log, and the truth about it. `image` is that of its key."""

    truth: Truth
    image: str
    value: bytes | None
    headers: Headers = ()
    verdict: Verdict | None = None


@cache
def genuine(verdict: Verdict) -> Sent:
    """Return the verdict as a worker publishes it: with the new key as soon as that is trusted."""
    value = encode(verdict)
    signer = NEW if verdict.produced_at >= minute(1) else OLD
    return Sent("genuine", verdict.image_id, value, signer(value, ()), verdict)


@cache
def forged(verdict: Verdict, how: str) -> Sent:
    """Return a record that must not be believed."""
    good = genuine(verdict)
    value = good.value or b""
    headers: Mapping[str, Headers] = {
        "unsigned": (),
        "stranger": STRANGER(value, ()),
        "stolen name": (STRANGER(value, ())[0], NEW(value, ())[1]),
        "too late": OLD(value, ()),
        "too early": NEW(value, ()),
        "other's signature": genuine(replace(verdict, image_id="z")).headers,
    }
    if how == "junk":
        return Sent("bad", good.image, value[:-1], good.headers)
    if how == "bytes":
        status = Status.ALLOW if verdict.status is not Status.ALLOW else Status.BLUR
        return Sent("bad", good.image, encode(replace(verdict, status=status)), good.headers)
    moment = {"too late": minute(2), "too early": minute(0)}.get(how)
    if moment is not None:
        value = encode(replace(verdict, produced_at=moment))
        return Sent("bad", good.image, value, (OLD if how == "too late" else NEW)(value, ()))
    return Sent("bad", good.image, value, headers[how])


FORGERIES = ("unsigned", "stranger", "stolen name", "too late", "too early", "other's signature", "junk", "bytes")


def any_verdict(dice: Random) -> Verdict:
    """Return a verdict from few values, so that verdicts collide."""
    statuses = (Status.ALLOW, Status.ALLOW, Status.ALLOW, *Status)
    version = dice.choice((1, 1, 2, 2, 3))
    override = Override(minute(dice.choice((1, 5)))) if dice.random() < 0.1 else None
    expires = minute(dice.choice((4, 8, 30))) if dice.random() < 0.3 else None
    return replace(
        VERDICT,
        image_id=dice.choice(IMAGES),
        image_sha256=SHAS[dice.random() < 0.1],
        status=dice.choice(statuses),
        mode=Mode.SHADOW if dice.random() < 0.1 else Mode.ENFORCE,
        policy=PolicyRef("p", version, "d"),
        verdict_id=UUID(int=version),
        produced_at=minute(dice.choice((0, 1, 1, 3))),
        expires_at=expires,
        override=override,
    )
