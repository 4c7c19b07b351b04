"""Any lawful writer schema is read as Avro resolves it; fastavro is the oracle, over generated pairs of schemas."""

import io
import json
import struct
from random import Random
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_schemas import EVENTS, ImageGenerated, WireError
from sluice_schemas.foreign import MAX_NESTING
from sluice_schemas.identity import fault_of
from sluice_schemas.primitives import write_long
from sluice_schemas.released import newest, released
from sluice_schemas.skipping import MAX_DEPTH, MAX_STEPS
from sluice_schemas.wire import decoder_for
from tests.unit.schemas_bodies import BODY, image, parsed, read, refused, typed, written
from tests.unit.schemas_pairs import moments, plain, value_of, writer_of
from tests.unit.schemas_strategies import IMAGE, as_dicts

PAIRS = settings(max_examples=100)


@pytest.mark.parametrize("event", EVENTS)
@PAIRS
@given(seed=st.integers(0, 2**32))
def test_any_writer_schema_is_read_as_fastavro_reads_it(event: type[Any], seed: int) -> None:
    random = Random(seed)
    named: dict[str, Any] = {}
    writer = writer_of(event.__name__, random)
    body = written(writer, value_of(parsed(writer, named), named, random))
    try:
        oracle: Any = fastavro.schemaless_reader(io.BytesIO(body), plain(writer), newest(event.__name__).definition)
    except SchemaResolutionError:
        assert refused(writer, body, event) == "unresolvable_schema"
    except UnicodeDecodeError:
        assert refused(writer, body, event) in {"malformed", "unresolvable_schema"}
    else:
        if event is ImageGenerated and fault_of(oracle["image_id"]):
            assert refused(writer, body, event) == "bad_image_id"
            return
        assert as_dicts(read(writer, body, event)) == moments(oracle)


def test_no_released_schema_declares_aliases_so_none_are_resolved() -> None:
    assert not [schema.event for schema in released() if '"aliases"' in schema.text]


def with_extra(kind: Any) -> dict[str, Any]:
    """Return the schema of an image with one more field in front of the others."""
    schema = newest("ImageGenerated").definition
    schema["fields"].insert(0, {"name": "extra", "type": kind})
    return schema


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": []}
LONGS = {"type": "array", "items": "long"}
NUMBERS = {"type": "map", "values": "float"}


@pytest.mark.parametrize(
    ("kind", "bytes_of_it"),
    [
        ("null", b""),
        ("float", struct.pack("<f", 1.5)),
        (["null", "int", "string"], b"\4\4hi"),
        (["null"], b"\0"),
        ({"type": "fixed", "name": "F", "size": 3}, b"abc"),
        ({"type": "fixed", "name": "F", "size": 0}, b""),
        (NODE, b"\2" * 4000 + b"\0"),
        (LONGS, b"\3\4\2\2" + b"\2\7" + b"\0"),  # a block of two with its size, and one of one without
        (NUMBERS, b"\1\x0c\2k\0\0\0\0" + b"\0"),
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0"),  # 2^63-1 times nothing
        ({"type": "array", "items": EMPTY}, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\1\0"),
        ({"type": "array", "items": "double"}, b"\xc0\x9a\x0c" + bytes(8 * 100_000) + b"\0"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 99}, b"\4\xff\xff"),
        ({"type": "error", "name": "Failed", "fields": [{"name": "why", "type": "string"}]}, b"\4no"),
    ],
)
def test_an_unknown_field_of_any_type_is_stepped_over(kind: Any, bytes_of_it: bytes) -> None:
    assert read(with_extra(kind), bytes_of_it + BODY, ImageGenerated) == IMAGE


@pytest.mark.parametrize(
    ("kind", "bytes_of_it"),
    [
        ("boolean", b"\2"),
        ("string", b"\2\xff"),
        ("int", b"\x80\x80\x80\x80\x10"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\2"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\1"),
        (["null", "int"], b"\1"),
        (["null", "int"], b"\4"),
        ([], b"\0"),
        (LONGS, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1"),
        (LONGS, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0"),
        ({"type": "array", "items": "double"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1"),
        ({"type": "fixed", "name": "F", "size": 2**62}, b""),
        (NODE, b"\2" * MAX_DEPTH + b"\0"),
        ({"type": "array", "items": "boolean"}, write_long(MAX_STEPS) + bytes(MAX_STEPS) + b"\0"),
        ({"type": "array", "items": LONGS}, write_long(MAX_STEPS) + bytes(MAX_STEPS) + b"\0"),
    ],
)
def test_what_is_stepped_over_is_checked_all_the_same(kind: Any, bytes_of_it: bytes) -> None:
    assert refused(with_extra(kind), bytes_of_it + BODY) == "malformed"


def test_a_type_that_holds_itself_without_end_has_no_values() -> None:
    endless = {"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}
    assert refused(with_extra(endless), BODY) == "malformed"


def test_a_type_held_by_its_only_part_is_stepped_over_as_often_as_it_is_there() -> None:
    box = {"type": "record", "name": "Box", "fields": [{"name": "node", "type": "Node"}]}
    node = {"type": "record", "name": "Node", "fields": [{"name": "in", "type": ["null", box]}]}
    assert read(with_extra(node), b"\2\2\2\0" + BODY, ImageGenerated) == IMAGE


def test_a_small_schema_that_expands_to_a_billion_fields_costs_nothing() -> None:
    last: Any = {"type": "record", "name": "T0", "fields": [{"name": "a", "type": "null"}]}
    for depth in range(1, 30):
        fields = [{"name": "a", "type": last}, {"name": "b", "type": f"T{depth - 1}"}]
        last = {"type": "record", "name": f"T{depth}", "fields": fields}
    assert read(with_extra(last), BODY, ImageGenerated) == IMAGE


def test_a_branch_that_has_no_place_here_is_refused_where_it_occurs_and_not_before() -> None:
    schema = typed("image_id", ["null", "string", "double"])
    assert read(schema, written(schema, image("image_id", "i")), ImageGenerated) == IMAGE
    assert refused(schema, written(schema, image("image_id", None))) == "unresolvable_schema"
    assert refused(schema, written(schema, image("image_id", 0.5))) == "unresolvable_schema"


def test_a_union_of_more_branches_than_one_byte_counts_is_read() -> None:
    many = [{"type": "fixed", "name": f"F{at}", "size": 1} for at in range(100)]
    schema = typed("prompt", [*many, "string"])
    body = written(schema, image("prompt", "a fox"))
    assert read(schema, body, ImageGenerated).prompt == "a fox"
    assert refused(schema, written(schema, image("prompt", b"x"))) == "unresolvable_schema"


def test_an_event_in_a_union_of_events_is_read_and_its_neighbours_are_refused() -> None:
    other = {"type": "record", "name": "other.Order", "fields": [{"name": "n", "type": "int"}]}
    schema = [other, newest("ImageGenerated").definition]
    assert read(schema, b"\2" + BODY, ImageGenerated) == IMAGE
    assert refused(schema, b"\0\2") == "unresolvable_schema"


def test_two_types_of_one_name_in_two_namespaces_are_two_types() -> None:
    theirs = {"type": "record", "name": "Image", "namespace": "other", "fields": [{"name": "n", "type": "string"}]}
    assert read(with_extra(theirs), b"\2x" + BODY, ImageGenerated) == IMAGE


@pytest.mark.parametrize("namespace", ["com.producer", "", None])
def test_an_event_goes_by_its_name_whatever_its_namespace(namespace: str | None) -> None:
    schema = newest("ImageGenerated").definition | {"namespace": namespace}
    assert read(schema, BODY, ImageGenerated) == IMAGE
    assert read([schema, "null"], b"\0" + BODY, ImageGenerated) == IMAGE


@pytest.mark.parametrize("name", ["Seal", "io.sluice.Seal"])
def test_a_named_type_may_have_attributes_around_its_name(name: str) -> None:
    seal = {"type": "fixed", "name": "Seal", "size": 2}
    fields = [{"name": "first", "type": seal}, {"name": "second", "type": {"type": name, "note": "the same"}}]
    extra = {"type": "record", "name": "Seals", "fields": fields}
    assert read(with_extra(extra), b"abcd" + BODY, ImageGenerated) == IMAGE


def lists(levels: int) -> Any:
    """Return a list in a list, and so on."""
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize("logical", [5, None, ["uuid"], {"a": 1}, lists(5000)], ids=type)
def test_what_is_no_logical_type_is_ignored(logical: Any) -> None:
    schema = with_extra({"type": "string", "logicalType": logical})
    assert read(schema, b"\2x" + BODY, ImageGenerated) == IMAGE


def test_a_long_chain_of_names_in_one_schema_is_followed() -> None:
    chain = [{"type": "record", "name": "T0", "fields": [{"name": "f", "type": "int"}]}]
    for at in range(1, 2000):
        fields: Any = [{"name": "f", "type": ["null", f"T{at - 1}"]}]
        chain.append({"type": "record", "name": f"T{at}", "fields": fields})
    schema = with_extra({"type": "map", "values": chain})
    assert read(schema, b"\2\2k\x9e\x1f\2\2\2\0\0" + BODY, ImageGenerated) == IMAGE


def nested(depth: int) -> Any:
    """Return an array of arrays, so deep."""
    kind: Any = "int"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def misnamed(schema: Any) -> Any:
    return json.loads(json.dumps(schema).replace('"Generator"', '"Producer"'))


@pytest.mark.parametrize(
    "schema",
    [
        with_extra(nested(MAX_NESTING)),
        with_extra("Unheard"),
        with_extra({"type": "fixed", "name": "F", "size": -1}),
        with_extra({"type": "fixed", "name": "F", "size": "4"}),
        with_extra({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}),
        with_extra({"type": ["null", "int"]}),
        with_extra({"type": "array"}),
        with_extra(7),
        with_extra(None),
        typed("generator.model_id", "int"),
        typed("generator.steps", "long"),
        typed("generator", "string"),
        misnamed(newest("ImageGenerated").definition),
        {"type": "record", "name": "io.sluice.ImageGenerated", "fields": []},
        {"type": "record", "name": "io.sluice.ImageGenerated"},
    ],
)
def test_a_pair_that_never_resolves_is_refused_by_name(schema: Any) -> None:
    assert refused(schema, BODY) == "unresolvable_schema"


@pytest.mark.parametrize("schema", ["io.sluice.ImageGenerated", 7, None, [], {}, {"type": None}, {"name": 7}, "string"])
def test_what_is_no_schema_of_the_event_is_refused(schema: Any) -> None:
    assert refused(schema, BODY) in {"unresolvable_schema", "wrong_type"}


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(WireError, match="ImageGenerated: Generator: long cannot be read as int"):
        decoder_for(typed("generator.steps", "long"), ImageGenerated)


def test_a_schema_cannot_claim_to_be_parsed() -> None:
    hint = {"__fastavro_parsed": True, "__named_schemas": {"io.sluice.Image": "string"}}
    assert read(newest("ImageGenerated").definition | hint, BODY, ImageGenerated) == IMAGE
