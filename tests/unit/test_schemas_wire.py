"""Events as bytes: what is written, and what hostile bytes get."""

import io
import struct
import tracemalloc
from dataclasses import replace
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice_schemas import (
    EVENTS,
    Feedback,
    Generator,
    Image,
    ImageGenerated,
    Lora,
    Verdict,
    WireError,
    decode,
    encode,
    wire,
)
from sluice_schemas.primitives import (
    BAD_BYTES,
    MAX_ITEMS,
    read_bytes,
    read_int,
    read_long,
    read_text,
    read_uuid,
    write_long,
    write_text,
)
from sluice_schemas.released import newest
from tests.unit.schemas_strategies import IMAGE, NOON, PROPERTY, VERDICT, any_event, as_dicts

DATA = encode(IMAGE)
PREFIX = DATA[:10]
HEAD = write_text("i") + b"\0\0" + write_long(0)  # image_id, no tenant, no request, created_at


def reason(data: bytes | None, expected: Any = ImageGenerated, **options: int) -> str:
    """Why these bytes are refused."""
    with pytest.raises(WireError) as caught:
        decode(data, expected, **options)
    return caught.value.reason


@PROPERTY
@given(any_event())
def test_an_event_is_read_back_as_it_was_written(event: Any) -> None:
    assert decode(encode(event), type(event)) == event


@PROPERTY
@given(any_event())
def test_the_bytes_are_those_of_an_independent_avro_library(event: Any) -> None:
    schema = fastavro.parse_schema(newest(type(event).__name__).definition)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, as_dicts(event))
    assert encode(event)[10:] == out.getvalue()
    assert fastavro.schemaless_reader(io.BytesIO(out.getvalue()), schema, None) == as_dicts(event)


def test_a_message_starts_with_the_marker_and_the_fingerprint_of_the_specification() -> None:
    canonical = fastavro.schema.to_parsing_canonical_form(newest("ImageGenerated").definition)
    crc = int.from_bytes(bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")), "little")
    assert DATA[:10] == b"\xc3\x01" + struct.pack("<Q", crc)
    assert crc == rabin(canonical.encode())


def rabin(data: bytes) -> int:
    """CRC-64-AVRO as the specification spells it out."""
    empty = 0xC15D213AA4D7A795
    table = list(range(256))
    for _ in range(8):
        table = [(x >> 1) ^ (empty & -(x & 1)) for x in table]
    crc = empty
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


@PROPERTY
@given(st.data())
def test_altered_bytes_give_an_event_or_a_wire_error_and_nothing_else(data: st.DataObject) -> None:
    event = data.draw(any_event())
    altered = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(10, len(altered) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(altered)))
    for hostile in (bytes(altered), bytes(altered[:cut])):
        try:
            assert isinstance(decode(hostile, type(event)), type(event))
        except WireError:
            continue


@PROPERTY
@given(st.binary(max_size=300), st.sampled_from(EVENTS))
def test_any_bytes_behind_a_known_fingerprint_give_an_event_or_a_wire_error(body: bytes, event: Any) -> None:
    try:
        decode(wire.SINGLE_OBJECT + newest(event.__name__).fingerprint + body, event)
    except WireError as error:
        assert error.reason in {"malformed", "trailing_bytes"}  # noqa: PT017 -- it may also be a valid event


@pytest.mark.parametrize("size", range(len(DATA)))
def test_a_truncated_message_is_refused(size: int) -> None:
    assert reason(DATA[:size]) in {"empty", "wrong_magic", "malformed"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(None, "empty", id="tombstone"),
        pytest.param(b"", "empty", id="no-bytes"),
        pytest.param(DATA + b"\0", "trailing_bytes", id="trailing"),
        pytest.param(b'{"image_id": "i"}', "wrong_magic", id="json"),
        pytest.param(b"\0\0\0\0\7" + DATA[10:], "wrong_magic", id="confluent-without-registry"),
        pytest.param(b"\xc3\x01" + b"\7" * 8 + DATA[10:], "unknown_fingerprint", id="fingerprint"),
        pytest.param(PREFIX + write_long(2**62) + b"x", "malformed", id="huge-string"),
        pytest.param(PREFIX + write_long(-5) + b"abcde", "malformed", id="negative-length"),
        pytest.param(PREFIX + b"\xff" * 11 + b"\1", "malformed", id="endless-varint"),
        pytest.param(PREFIX + write_long(2) + b"\xff\xfe", "malformed", id="invalid-utf8"),
        pytest.param(PREFIX + write_text("i") + b"\1" + DATA[13:], "malformed", id="negative-branch"),
        pytest.param(PREFIX + write_text("i") + b"\4" + DATA[13:], "malformed", id="no-such-branch"),
        pytest.param(PREFIX + write_text("i") + b"\0\0" + write_long(2**62), "malformed", id="time-beyond-9999"),
    ],
)
def test_hostile_bytes_are_refused_with_their_reason(data: bytes | None, expected: str) -> None:
    assert reason(data) == expected


def test_another_event_is_refused_by_its_fingerprint() -> None:
    assert reason(DATA, Verdict) == "wrong_type"


def test_a_message_over_the_limit_is_refused_unread() -> None:
    assert reason(DATA, max_bytes=len(DATA) - 1) == "too_large"
    assert decode(DATA, ImageGenerated, max_bytes=len(DATA)) == IMAGE


@pytest.mark.parametrize("index", [-1, -11, 11, 2**40])
def test_an_enum_index_that_names_no_symbol_is_refused(index: int) -> None:
    body = write_text(str(UUID(int=7))) + write_text("i") + b"\0\0" + write_long(index)
    tail = b"\0\0" + write_long(0) + write_long(0) + b"\0"
    start = wire.SINGLE_OBJECT + newest("Feedback").fingerprint
    assert reason(start + body + tail, Feedback) == "malformed"
    valid = body[: -len(write_long(index))] + write_long(10)
    assert decode(start + valid + tail, Feedback).kind == "OTHER"


@pytest.mark.parametrize("boolean", [2, 255])
def test_a_boolean_is_zero_or_one(boolean: int) -> None:
    whole = encode(VERDICT)
    at = whole.index(write_text("c") + b"\0" * 32) + 34
    assert whole[at] == 1
    assert reason(whole[:at] + bytes([boolean]) + whole[at + 1 :], Verdict) == "malformed"


@pytest.mark.parametrize("count", [MAX_ITEMS + 1, 2**31, 2**62, -(2**62), -(2**63)])
def test_a_huge_item_count_costs_no_memory(count: int) -> None:
    """An array of 2-byte records is the cheapest way to make a reader allocate: a million in 2 MB."""
    image = b"\0" * 6  # all six fields of image are null
    generator = write_text("m") + b"\0" * 6
    block = write_long(count) + (write_long(0) if count < 0 else b"")
    data = PREFIX + HEAD + image + b"\0\0\0" + generator + block + b"\0" * 2_000_000
    tracemalloc.start()
    try:
        assert reason(data) == "malformed"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_blocks_add_up_to_the_item_limit() -> None:
    image, generator = b"\0" * 6, write_text("m") + b"\0" * 6
    block = write_long(MAX_ITEMS // 2) + b"\0\0\0" * (MAX_ITEMS // 2)
    start = PREFIX + HEAD + image + b"\0\0\0" + generator
    rest = b"\0" + b"\0\0\0" + b"\0"
    assert len(decode(start + block * 2 + rest, ImageGenerated).generator.loras) == MAX_ITEMS
    assert reason(start + block * 2 + write_long(1) + b"\0\0\0" + rest) == "malformed"


def test_an_array_in_sized_blocks_is_read() -> None:
    """Java writers may put a block's size in bytes before its items."""
    plain = encode(IMAGE)
    lora = write_text("a") + b"\2" + struct.pack("<d", 0.5) + b"\0"
    assert plain.count(write_long(1) + lora) == 1
    sized = plain.replace(write_long(1) + lora, write_long(-1) + write_long(len(lora)) + lora)
    assert decode(sized, ImageGenerated) == IMAGE


@PROPERTY
@given(st.integers(-(2**63), 2**63 - 1))
@example(2**63 - 1)
@example(-(2**63))
@example(1023)
@example(1024)
def test_a_long_is_read_back_as_it_was_written(value: int) -> None:
    data = write_long(value)
    assert read_long(data, 0) == (value, len(data))


def test_writing_ever_new_texts_does_not_take_ever_more_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(10_000):
            text = f"{number:060}"
            assert read_text(write_text(text), 0)[0] == text
            write_text(text * 20)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000  # of about 2.5 million for the short ones alone
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("read", "data"),
    [
        pytest.param(read_bytes, write_long(3) + b"ab", id="bytes-beyond-the-end"),
        pytest.param(read_bytes, b"ab" + write_long(-1), id="bytes-backwards"),
        pytest.param(read_text, write_long(3) + b"ab", id="short-text-beyond-the-end"),
        pytest.param(read_text, write_long(99) + b"a" * 98, id="long-text-beyond-the-end"),
        pytest.param(read_text, b"ab" + write_long(-1), id="text-backwards"),
        pytest.param(read_long, b"\x80" * 11 + b"\0", id="zeros-without-end"),
        pytest.param(read_long, b"\xff" * 9 + b"\2", id="65-bits"),
        pytest.param(read_int, write_long(2**31), id="33-bits"),
        pytest.param(read_uuid, write_text(UUID(int=7).hex), id="uuid-without-dashes"),
    ],
)
def test_a_primitive_the_specification_forbids_is_refused(read: Any, data: bytes) -> None:
    at = 2 if data.startswith(b"ab") else 0
    with pytest.raises(BAD_BYTES):
        read(data, at)


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": None},
        {"created_at": NOON.replace(tzinfo=None)},
        {"prompt": "\ud800"},
        {"image": Image(width=2**31)},
        {"generator": Generator("m", seed=2**63)},
        {"image": Image(bytes="text")},  # type: ignore[arg-type]
        {"attributes": {"k": 7}},
        {"generator": Generator("m", loras=(Lora("a"),) * (MAX_ITEMS + 1))},
    ],
)
def test_a_value_its_schema_forbids_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        encode(replace(IMAGE, **change))
    assert caught.value.reason == "unencodable"
