"""What readers make of older and newer schemas than their own; Avro's own resolution is the oracle."""

import copy
import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import pytest
from hypothesis import given

from sluice_schemas import Status, Verdict, WireError, encode
from sluice_schemas.codec import compile_decoder
from sluice_schemas.events import EVENTS, ImageGenerated
from sluice_schemas.primitives import BAD_BYTES
from sluice_schemas.released import newest
from sluice_schemas.wire import decoder_for
from tests.unit.schemas_strategies import PROPERTY, VERDICT, as_dicts, of_type

V1 = newest("Verdict").definition


def field(schema: Any, name: str) -> Any:
    """Return one field of a record schema."""
    return next(field for field in schema["fields"] if field["name"] == name)


def newer() -> dict[str, Any]:
    """Return a Verdict schema from the future: more fields, nested ones too, another order, another symbol."""
    schema = copy.deepcopy(V1)
    extra = {"type": "record", "name": "Extra", "fields": [{"name": "flag", "type": "boolean"}]}
    schema["fields"].insert(0, {"name": "extra", "type": {"type": "array", "items": extra}, "default": []})
    schema["fields"].insert(5, {"name": "weight", "type": "double", "default": 0.0})
    schema["fields"].append({"name": "extras", "type": {"type": "map", "values": "Extra"}, "default": {}})
    field(schema, "concepts")["type"]["items"]["fields"].insert(1, {"name": "pack", "type": ["null", "string"]})
    field(schema, "status")["type"]["symbols"].insert(0, "QUARANTINE")
    return schema


def older() -> dict[str, Any]:
    """Return a Verdict schema from the past: fewer optional fields and symbols."""
    schema = copy.deepcopy(V1)
    for name in ("override", "opinions", "tenant_id", "guard_band_recheck"):
        schema["fields"].remove(field(schema, name))
    field(schema, "status")["type"]["symbols"].remove("REVIEW")
    field(schema, "coverage").update(type="double", default=0.0)
    return schema


def parsed(schema: dict[str, Any]) -> Any:
    """Return a schema as fastavro wants it, without touching the original."""
    return fastavro.parse_schema(copy.deepcopy(schema))


def written(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """Return a record in another schema, by an independent writer."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), record)
    return out.getvalue()


def record_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the dict a writer of another version would start from."""
    record: dict[str, Any] = as_dicts(verdict)
    record |= {"extra": [{"flag": True}], "weight": 1.0, "extras": {"a": {"flag": False}}}
    record["concepts"] = [{**concept, "pack": "p"} for concept in record["concepts"]]
    return record


@pytest.mark.parametrize("schema", [newer(), older()], ids=["newer", "older"])
@PROPERTY
@given(verdict=of_type(Verdict))
def test_a_reader_resolves_another_version_as_avro_does(schema: dict[str, Any], verdict: Verdict) -> None:
    record = record_of(verdict)
    if "REVIEW" not in field(schema, "status")["type"]["symbols"]:
        record |= {"status": "ALLOW", "coverage": 0.5}
    data = written(schema, record)
    value, end = compile_decoder(schema, V1)(data, 0)
    oracle = fastavro.schemaless_reader(io.BytesIO(data), parsed(schema), parsed(V1))
    assert end == len(data)
    assert as_dicts(value) == oracle


def test_an_unknown_status_is_read_as_indeterminate() -> None:
    record = record_of(VERDICT) | {"status": "QUARANTINE"}
    value, _ = compile_decoder(newer(), V1)(written(newer(), record), 0)
    assert value.status is Status.INDETERMINATE


def test_an_unknown_mode_is_read_as_shadow() -> None:
    schema = copy.deepcopy(V1)
    field(schema, "mode")["type"]["symbols"].append("CANARY")
    value, _ = compile_decoder(schema, V1)(written(schema, record_of(VERDICT) | {"mode": "CANARY"}), 0)
    assert value.mode == "SHADOW"


def test_what_is_dropped_is_checked_all_the_same() -> None:
    data = bytearray(written(newer(), record_of(VERDICT)))
    assert data[:3] == b"\x02\x01\x00"  # one extra whose flag is true
    data[1] = 7
    with pytest.raises(BAD_BYTES):
        compile_decoder(newer(), V1)(bytes(data), 0)


def without_image_id(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "image_id"))


def image_id_as_double(schema: dict[str, Any]) -> None:
    field(schema, "image_id")["type"] = "double"


def version_as_long(schema: dict[str, Any]) -> None:
    field(schema, "policy")["type"]["fields"][1]["type"] = "long"


@pytest.mark.parametrize(
    "change",
    [
        without_image_id,
        image_id_as_double,
        version_as_long,
    ],
)
def test_a_schema_that_does_not_resolve_is_refused_before_any_data(change: Callable[[Any], None]) -> None:
    schema = copy.deepcopy(V1)
    change(schema)
    with pytest.raises(WireError) as caught:
        decoder_for(schema, Verdict)
    assert caught.value.reason == "unresolvable_schema"


def test_the_schema_of_another_record_is_refused() -> None:
    with pytest.raises(WireError) as caught:
        decoder_for(V1, ImageGenerated)
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize("event", EVENTS)
def test_a_schema_in_canonical_form_is_taken(event: Any) -> None:
    """Registries may hand out a schema with full names and nothing but what the bytes need."""
    canonical = json.loads(fastavro.schema.to_parsing_canonical_form(newest(event.__name__).definition))
    assert callable(decoder_for(canonical, event))


def test_a_writer_without_logical_types_is_read_into_times_and_uuids() -> None:
    canonical = json.loads(fastavro.schema.to_parsing_canonical_form(copy.deepcopy(V1)))
    value, _ = decoder_for(canonical, Verdict)(encode(VERDICT), 10)
    assert value == VERDICT
