"""Signed verdicts and somebody who writes the topic and registers schemas: read as they were signed, or refused."""

import copy
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sluice_schemas import SingleObjectFraming, Status, Verdict, VerdictView, WireError, encode
from sluice_schemas.foreign import parsed
from sluice_schemas.headers import KEY_ID, SIGNATURE, Headers
from sluice_schemas.registry import ConfluentFraming, Registry
from sluice_schemas.released import crc64, newest
from sluice_schemas.signing import KeyRing, Signer
from sluice_schemas.wire import SCHEMA_ID_HEADER, encode_body
from tests.contract.fake_registry import FakeRegistry
from tests.unit.schemas_strategies import VERDICT

SIGNED = replace(VERDICT, status=Status.BLOCK)
BODY = encode_body(SIGNED, prefix=b"")
SIGNER, OTHER = (Signer(name, Ed25519PrivateKey.from_private_bytes(name.encode() * 32)) for name in "ko")
RING = KeyRing([SIGNER.trusted(), OTHER.trusted()])
PROOF, OTHERS = SIGNER(encode(SIGNED), ()), OTHER(encode(VERDICT), ())


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(field for field in schema["fields"] if field["name"] == name)
    return found


def statuses_exchanged(schema: dict[str, Any]) -> None:
    symbols = field(schema, "status")["type"]["symbols"]
    allow, block = symbols.index("ALLOW"), symbols.index("BLOCK")
    symbols[allow], symbols[block] = symbols[block], symbols[allow]


def statuses_renamed(schema: dict[str, Any]) -> None:
    """Make BLOCK an unknown symbol, and add symbols: with a few, a CRC comes out as one likes."""
    status = field(schema, "status")["type"]
    status["symbols"] = [{"BLOCK": "B"}.get(symbol, symbol) for symbol in status["symbols"]] + ["X1", "X2"]


def hashes_exchanged(schema: dict[str, Any]) -> None:
    mine, other = field(schema, "image_sha256"), field(schema, "tenant_id")
    mine["name"], other["name"] = other["name"], mine["name"]


def times_in_nanoseconds(schema: dict[str, Any]) -> None:
    field(schema, "produced_at")["type"]["logicalType"] = "timestamp-nanos"


def modes_exchanged(schema: dict[str, Any]) -> None:
    field(schema, "mode")["type"]["symbols"].reverse()


CHANGES: tuple[Callable[[dict[str, Any]], None], ...] = (
    statuses_exchanged,
    statuses_renamed,
    hashes_exchanged,
    times_in_nanoseconds,
    modes_exchanged,
)


def altered(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    schema = copy.deepcopy(newest("Verdict").definition)
    change(schema)
    return schema


def world() -> tuple[FakeRegistry, ConfluentFraming]:
    """Return a registry that knows the genuine schema, with id 1, and each of an attacker's after it."""
    fake = FakeRegistry()
    framing = ConfluentFraming(Registry(fake.client()), auto_register=True)
    framing.encode("t", SIGNED)
    for change in CHANGES:
        fake.ids[json.dumps(altered(change))] = len(fake.ids) + 1
    return fake, framing


FAKE, FRAMING = world()
GUIDS = [b"\1" + bytes.fromhex(FAKE._known(schema)["guid"].replace("-", "")) for schema in FAKE.ids]
IDS = [b"\0" + struct.pack(">I", number) for number in FAKE.ids.values()]
NAMES: list[bytes | None] = [*GUIDS, *IDS, None, b"", b"junk", b"\xff\xfe", GUIDS[0] + b"\0", b"\1" + bytes(16)]
VALUES = [encode(SIGNED), *(name + BODY for name in (*GUIDS, *IDS)), BODY]


def believed(value: bytes, headers: Headers) -> Verdict | None:
    """Return the verdict that a display service believes, None if it refuses the message; nothing else may be."""
    standing = VerdictView(check=RING.check, framing=FRAMING)
    if standing.fold(SIGNED.image_id.encode(), value, headers).refused is not None:
        return None
    kept = standing.kept(SIGNED.image_id)
    return FRAMING.decode("t", kept.value, kept.headers, Verdict)


def orders() -> Iterator[tuple[bytes | None, ...]]:
    for count in range(3):
        yield from product(NAMES, repeat=count)
    yield from product(NAMES[:2] + NAMES[-5:], repeat=3)


def test_a_signed_verdict_is_read_under_its_schema_or_refused_whatever_schema_ids_stand_around_it() -> None:
    taken = 0
    for value, names in product(VALUES, orders()):
        headers: Headers = tuple((SCHEMA_ID_HEADER, name) for name in names)
        for around in ((*PROOF, *headers), (*headers, *PROOF)):
            found = believed(value, around)
            assert found in (None, SIGNED), (value[:20], names)
            taken += found is not None
            assert found is None or len(names) < 2
    assert taken > 10


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (encode(SIGNED), ()),
        (IDS[0] + BODY, ()),
        (GUIDS[0] + BODY, ()),
        (BODY, ((SCHEMA_ID_HEADER, GUIDS[0]),)),
        (BODY, ((SCHEMA_ID_HEADER, IDS[0]),)),
    ],
)
def test_one_body_may_change_its_frame_and_its_signature_holds(value: bytes, headers: Headers) -> None:
    assert believed(value, (*headers, *PROOF)) == SIGNED
    assert SIGNER(value, headers) == PROOF


@pytest.mark.parametrize("change", CHANGES)
def test_a_signature_binds_the_schema_whatever_the_registry_says(change: Callable[[dict[str, Any]], None]) -> None:
    number = FAKE.ids[json.dumps(altered(change))]
    value = b"\0" + struct.pack(">I", number) + BODY
    assert FRAMING.decode("t", value, (), Verdict) != SIGNED
    assert believed(value, PROOF) is None


def test_a_schema_that_only_avros_fingerprint_takes_for_the_signed_one_is_another() -> None:
    """Parsing canonical form drops the logical type, by which a moment is read."""
    other = altered(times_in_nanoseconds)
    assert crc64(other) == newest("Verdict").fingerprint
    assert parsed(other).digest() != parsed(newest("Verdict").definition).digest()


def test_a_schema_is_the_same_however_it_is_written_down() -> None:
    plain = newest("Verdict").definition
    digest = parsed(plain).digest()
    spaced = json.loads(json.dumps(plain, indent=4, sort_keys=True))
    spaced["doc"], spaced["aliases"] = "another", ["Other"]
    apart = copy.deepcopy(plain)
    policy = field(apart, "policy")["type"]
    field(apart, "policy")["type"] = policy["name"]
    assert parsed(spaced).digest() == digest
    assert parsed(apart, [policy | {"namespace": plain["namespace"]}]).digest() == digest


@pytest.mark.parametrize(
    "headers",
    [
        (*PROOF, *PROOF),
        (*PROOF, PROOF[0]),
        (*PROOF, (SIGNATURE, None)),
        ((SIGNATURE, b""), *PROOF),
        (*OTHERS[:1], *PROOF),
        (*PROOF, *OTHERS[:1]),
        (*PROOF, PROOF[1]),
        (*PROOF, (KEY_ID, None)),
        ((KEY_ID, b"o"), *PROOF),
        (*PROOF, (KEY_ID, b"o")),
    ],
)
def test_a_second_signature_or_key_id_is_refused_wherever_it_stands(headers: Headers) -> None:
    assert believed(encode(SIGNED), headers) is None
    assert believed(encode(SIGNED), headers[::-1]) is None


_NAME = st.sampled_from(
    (SCHEMA_ID_HEADER, SCHEMA_ID_HEADER.upper(), SIGNATURE, SIGNATURE.title(), KEY_ID, "ce_id", "x")
)
_CONTENT = st.none() | st.sampled_from([name for name in NAMES if name] + [value for _, value in (*PROOF, *OTHERS)])
_NOISE = st.lists(st.tuples(_NAME, _CONTENT | st.binary(max_size=70)), max_size=5)
_SOUND = st.sampled_from([((), v) for v in VALUES] + [(((SCHEMA_ID_HEADER, name),), BODY) for name in GUIDS + IDS])


@given(_SOUND, _NOISE, st.randoms(use_true_random=False))
def test_whatever_verifies_is_what_was_signed(sound: Any, noise: list[Any], dice: Any) -> None:
    own, value = sound
    headers = [*own, *PROOF, *noise]
    dice.shuffle(headers)
    found = believed(value, tuple(headers))
    assert found in (None, SIGNED)
    if found:
        assert sum(name == SIGNATURE for name, _ in headers) == 1


@given(_NOISE)
def test_without_signatures_two_schema_ids_are_refused_all_the_same(noise: list[Any]) -> None:
    headers = ((SCHEMA_ID_HEADER, GUIDS[0]), *noise, (SCHEMA_ID_HEADER, GUIDS[1]))
    for framing in (FRAMING, SingleObjectFraming()):
        with pytest.raises(WireError) as refused:
            framing.decode("t", BODY, headers, Verdict)
        assert refused.value.reason == "repeated_header"
