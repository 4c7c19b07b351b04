"""The Python values and the schema files say the same, field by field."""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

import sluice_schemas
from sluice_schemas import events, parts
from sluice_schemas.events import CLASSES, EVENTS
from sluice_schemas.released import newest, released
from sluice_schemas.shape import branch_of, expanded, kind_of

_PYTHON = {
    "string": str,
    "bytes": bytes,
    "double": float,
    "boolean": bool,
    "int": int,
    "long": int,
    "uuid": UUID,
    "time": datetime,
}


def named_types(schema: Any) -> dict[str, Any]:
    """Every record and enum inside an expanded schema, by name."""
    kind = kind_of(schema)
    if kind == "record":
        found = {schema["name"]: schema}
        for field in schema["fields"]:
            found |= named_types(field["type"])
        return found
    if kind == "union":
        return named_types(branch_of(schema)[1])
    if kind in ("array", "map"):
        return named_types(schema.get("items") or schema["values"])
    return {schema["name"]: schema} if kind == "enum" else {}


NAMED = [
    (event.__name__, name, schema)
    for event in EVENTS
    for name, schema in named_types(expanded(newest(event.__name__).definition, {})).items()
]
RECORDS = [pytest.param(schema, id=f"{event}.{name}") for event, name, schema in NAMED if schema["type"] == "record"]
ENUMS = [pytest.param(schema, id=f"{event}.{name}") for event, name, schema in NAMED if schema["type"] == "enum"]


def python_type(schema: Any) -> Any:
    """Return the annotation a field of this type must have."""
    kind = kind_of(schema)
    if kind == "union":
        return python_type(branch_of(schema)[1]) | None
    if kind in ("record", "enum"):
        return CLASSES[schema["name"]]
    if kind == "array":
        item: Any = python_type(schema["items"])
        return tuple[item, ...]
    return Mapping[str, python_type(schema["values"])] if kind == "map" else _PYTHON[kind]  # type: ignore[misc]


def python_default(field: Any) -> Any:
    """Return the default of a field as Avro has it."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return list(field.default) if isinstance(field.default, tuple) else field.default


@pytest.mark.parametrize("schema", RECORDS)
def test_a_class_has_the_fields_of_its_record_in_order_with_type_and_default(schema: Any) -> None:
    cls = CLASSES[schema["name"]]
    hints = typing.get_type_hints(cls, {**vars(parts), **vars(events)})
    found = [(field.name, hints[field.name], python_default(field)) for field in fields(cls)]
    assert found == [
        (field["name"], python_type(field["type"]), field.get("default", MISSING)) for field in schema["fields"]
    ]


@pytest.mark.parametrize("schema", RECORDS)
def test_a_class_is_frozen_and_has_slots(schema: Any) -> None:
    cls = CLASSES[schema["name"]]
    assert cls.__dataclass_params__.frozen
    assert not hasattr(cls, "__dict__") or "__slots__" in vars(cls)


@pytest.mark.parametrize("schema", ENUMS)
def test_an_enum_has_the_symbols_of_its_schema_and_a_default_among_them(schema: Any) -> None:
    cls = CLASSES[schema["name"]]
    assert issubclass(cls, StrEnum)
    assert list(cls) == schema["symbols"]
    assert schema["default"] in schema["symbols"]


@pytest.mark.parametrize("schema", [schema for _, _, schema in NAMED], ids=[f"{e}.{n}" for e, n, _ in NAMED])
def test_every_type_and_field_is_documented_in_a_sentence(schema: Any) -> None:
    for part in (schema, *schema.get("fields", ())):
        assert part["doc"].endswith("."), part["name"]
        assert len(part["doc"].split()) > 1, part["name"]


@pytest.mark.parametrize("schema", RECORDS)
def test_an_optional_field_is_null_first_with_default_null(schema: Any) -> None:
    for field in schema["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null"
            assert field["default"] is None


def test_a_named_type_is_the_same_wherever_it_is_used() -> None:
    definitions: dict[str, list[Any]] = {}
    for _, name, schema in NAMED:
        definitions.setdefault(name, []).append(schema)
    for name, found in definitions.items():
        assert all(schema == found[0] for schema in found), name


def test_every_class_is_in_a_schema_and_the_package_exports_it() -> None:
    assert CLASSES.keys() == {name for _, name, _ in NAMED}
    assert all(getattr(sluice_schemas, name) is cls for name, cls in CLASSES.items())


def test_every_event_has_a_released_schema_and_every_schema_an_event() -> None:
    assert {schema.event for schema in released()} == {event.__name__ for event in EVENTS}
