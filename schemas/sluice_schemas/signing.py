"""Ed25519 signatures on verdicts (RFC 8032): who may write the topic is then not enough to be believed.

Signed is what is read: a fixed label, the digest of the schema that the body was written with, and the Avro body. So a
frame may change on the way (see `wire`), and what the bytes mean may not. The signature and the id of its key travel in
the headers `sluice-signature` (64 bytes) and `sluice-key-id` (UTF-8). Needs the extra `signing`.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sluice_schemas.errors import WireError
from sluice_schemas.events import Verdict
from sluice_schemas.headers import KEY_ID, SIGNATURE, Headers, only
from sluice_schemas.wire import Decoded, Frame, digest_of, split

LABEL = b"sluice-signature-1\x00"
"""Keeps a signature on a verdict from being one on anything else the key may sign."""


def signed_bytes(digest: bytes, frame: Frame) -> bytes:
    """Return what is signed of a message: under which schema its body is read, and the body."""
    return LABEL + digest + frame.body


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs messages with one key."""

    key_id: str
    key: Ed25519PrivateKey

    @classmethod
    def of(cls, key_id: str, pem: bytes) -> Self:
        """Return the signer of a private key (PKCS #8, PEM, no password). ValueError if it is not one of Ed25519."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise ValueError("not a private key in PEM without a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")  # noqa: TRY004 -- a wrong file, not a wrong argument
        return cls(key_id, key)

    def __call__(self, value: bytes, headers: Headers) -> Headers:
        """Return the headers that prove a verdict as `Framing.encode` made it, whichever frame it has."""
        frame = split(value, headers)
        signature = self.key.sign(signed_bytes(digest_of(frame, Verdict.__name__), frame))
        return ((SIGNATURE, signature), (KEY_ID, self.key_id.encode()))

    def trusted(self, since: datetime | None = None, until: datetime | None = None) -> "TrustedKey":
        """Return the public half, for a key ring."""
        raw = self.key.public_key().public_bytes_raw()
        return TrustedKey(self.key_id, raw, since, until)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key (32 bytes) and the times of production it vouches for: from `since`, before `until`; None is open.

    Rotation: trust the new key from before it is used, sign with it, then close the old one's window; where the windows
    overlap both are believed. A stolen key is taken off the ring instead: its holder can write any time of
    production.
    """

    id: str
    public: bytes
    since: datetime | None = None
    until: datetime | None = None

    def covers(self, moment: datetime) -> bool:
        """Tell whether the key may sign what is produced at this moment."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the key ring's file."""
        window = {"since": self.since, "until": self.until}
        times = {name: moment and moment.isoformat() for name, moment in window.items()}
        return {"id": self.id, "public": b64encode(self.public).decode(), **times}


class KeyRing:
    """The keys a display service believes. ValueError if one of them is no Ed25519 key, or an id repeats."""

    def __init__(self, keys: Iterable[TrustedKey]) -> None:
        listed = tuple(keys)
        self.keys: Mapping[str, TrustedKey] = MappingProxyType({key.id: key for key in listed})
        self._named = {key.id.encode(): key for key in listed}
        self._public = {key.id: Ed25519PublicKey.from_public_bytes(key.public) for key in listed}
        if len(self.keys) != len(listed):
            raise ValueError("an id stands twice in the key ring")

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the key ring in a JSON list of entries `{"id", "public" (base64), "since"?, "until"?}` (ISO 8601)."""
        try:
            return cls(_entry(found) for found in json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a key ring ({type(error).__name__})") from None

    def check(self, message: Decoded[Verdict], headers: Headers) -> str | None:
        """Return why a message is not to be believed.

        That is `unsigned`, `repeated_header` (signature or key id stand twice), `unknown_key`, `outside_window` or
        `bad_signature`.
        """
        try:
            signature, key_id = only(headers, SIGNATURE), only(headers, KEY_ID)
        except WireError as error:
            return error.reason
        if signature is None or key_id is None:
            return "unsigned"
        key = self._named.get(key_id)
        if key is None:
            return "unknown_key"
        if not key.covers(message.event.produced_at):
            return "outside_window"
        try:
            self._public[key.id].verify(signature, signed_bytes(message.digest, message.frame))
        except InvalidSignature:
            return "bad_signature"
        return None


def new_key() -> bytes:
    """Return a new private key (PKCS #8, PEM, no password)."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Ed25519PrivateKey.generate().private_bytes(*form)


def _entry(found: Mapping[str, Any]) -> TrustedKey:
    moments = [found.get(name) and datetime.fromisoformat(found[name]) for name in ("since", "until")]
    if any(moment and moment.tzinfo is None for moment in moments):
        raise ValueError(f"key {found['id']}: a time without its zone")
    return TrustedKey(str(found["id"]), b64decode(found["public"], validate=True), *moments)
