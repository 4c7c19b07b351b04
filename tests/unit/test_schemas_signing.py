"""Signatures: what is signed is believed for as long as its key is, and nothing else."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice_schemas import SingleObjectFraming, Status, Verdict, Why, encode
from sluice_schemas.headers import KEY_ID, SIGNATURE, Headers
from sluice_schemas.signing import KeyRing, Signer, TrustedKey, new_key
from sluice_schemas.verdict_view import VerdictView
from tests.unit.schemas_strategies import NOON, VERDICT
from tests.unit.test_schemas_package import ALONE

HOUR = timedelta(hours=1)
OLD, NEW = (Signer(name, Ed25519PrivateKey.from_private_bytes(name.encode() * 32)) for name in "on")
RING = KeyRing([OLD.trusted(until=NOON + HOUR), NEW.trusted(since=NOON)])
VALUE = encode(VERDICT)
GOOD = NEW(VALUE, ())


@pytest.mark.parametrize(
    ("value", "headers", "refused"),
    [
        (VALUE, GOOD, None),
        (VALUE, OLD(VALUE, ()), None),  # the windows overlap
        (VALUE, (), "unsigned"),
        (VALUE, GOOD[:1], "unsigned"),
        (VALUE, ((SIGNATURE, None), GOOD[1]), "unsigned"),
        (VALUE, (GOOD[0], (KEY_ID, b"x")), "unknown_key"),
        (VALUE, (GOOD[0], (KEY_ID, b"\xff")), "unknown_key"),
        (VALUE, (GOOD[0], (KEY_ID, b"o")), "bad_signature"),
        (VALUE, ((SIGNATURE, b""), GOOD[1]), "bad_signature"),
        (encode(replace(VERDICT, status=Status.BLOCK)), GOOD, "bad_signature"),
        (VALUE, (*GOOD, (SIGNATURE, None)), "repeated_header"),
        (VALUE, (*GOOD, GOOD[0]), "repeated_header"),
        (VALUE, (*GOOD, (KEY_ID, b"x")), "repeated_header"),
        (VALUE, (*GOOD, (KEY_ID.upper(), b"x"), (SIGNATURE.title(), b"x")), None),  # names are other names
    ],
)
def test_only_what_a_trusted_key_signed_is_believed(value: bytes, headers: Headers, refused: str | None) -> None:
    assert check(RING, value, headers) == refused


def check(ring: KeyRing, value: bytes, headers: Headers) -> str | None:
    return ring.check(SingleObjectFraming().read("t", value, headers, Verdict), headers)


def test_an_id_that_is_no_text_is_no_key_even_if_one_is_called_like_its_replacement() -> None:
    ring = KeyRing([replace(NEW.trusted(), id="\ufffd")])
    assert check(ring, VALUE, (GOOD[0], (KEY_ID, b"\xff"))) == "unknown_key"
    assert check(ring, VALUE, (GOOD[0], (KEY_ID, "\ufffd".encode()))) is None


@pytest.mark.parametrize(
    ("signer", "minutes", "refused"),
    [(OLD, 59, None), (OLD, 60, "outside_window"), (NEW, -1, "outside_window"), (NEW, 0, None), (NEW, 10_000, None)],
)
def test_a_key_vouches_for_what_was_produced_in_its_window(signer: Signer, minutes: int, refused: str | None) -> None:
    verdict = replace(VERDICT, produced_at=NOON + timedelta(minutes=minutes))
    value = encode(verdict)
    assert check(RING, value, signer(value, ())) == refused


def test_a_display_that_asks_for_signatures_shows_nothing_without_and_checks_again_after_a_restart() -> None:
    def reason(ring: KeyRing, headers: Headers) -> Why:
        first, again = VerdictView(check=ring.check), VerdictView(check=RING.check)
        first.fold(b"i", VALUE, headers)
        again.restore(first.all_kept(), {0: 1})
        again.aim({0: 1})
        sha256 = VERDICT.image_sha256 or ""
        return again.may_show("i", sha256, minimum_policy_version=1, now=NOON).reason

    stranger = Signer("s", Ed25519PrivateKey.from_private_bytes(b"s" * 32))
    assert reason(RING, GOOD) is Why.ALLOWED
    assert reason(RING, ()) is Why.UNVERIFIED
    assert reason(KeyRing([stranger.trusted()]), stranger(VALUE, ())) is Why.UNVERIFIED


def test_a_key_ring_is_read_as_it_was_written() -> None:
    keys = [key.as_json() for key in RING.keys.values()]
    assert KeyRing.of(json.dumps(keys)).keys == RING.keys


@pytest.mark.parametrize(
    "entries",
    [
        "{",
        "7",
        "[7]",
        "[{}]",
        '[{"id": "k", "public": "?"}]',
        '[{"id": "k", "public": "AAAA"}]',
        json.dumps([NEW.trusted().as_json() | {"since": "2026-01-01T00:00:00"}]),
        json.dumps([NEW.trusted().as_json()] * 2),
    ],
)
def test_what_is_no_key_ring_is_a_value_error(entries: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        KeyRing.of(entries)


def test_a_new_key_signs() -> None:
    signer = Signer.of("k", new_key())
    assert check(KeyRing([signer.trusted()]), VALUE, signer(VALUE, ())) is None


def test_a_key_of_another_kind_is_refused() -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for pem in (b"", b"-----BEGIN X-----", generate_private_key(SECP256R1()).private_bytes(*form)):
        with pytest.raises(ValueError, match="not a"):
            Signer.of("k", pem)
    with pytest.raises(ValueError, match=r"32 bytes|key"):
        KeyRing([TrustedKey("k", b"short")])


def test_only_signing_needs_the_extra() -> None:
    alone = ALONE.replace('"httpx"', '"httpx", "cryptography"')
    for source, fine in (("import sluice_schemas.verdict_view", True), ("import sluice_schemas.signing", False)):
        done = subprocess.run([sys.executable, "-c", alone + source], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is fine
