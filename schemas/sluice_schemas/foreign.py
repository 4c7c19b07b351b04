"""Writer schemas from elsewhere: made plain, their names resolved, their parts answered for.

A registry may hand out anything. What is kept of a schema is only what says how bytes are laid out, within bounds; a
schema that is not Avro is WireError `unresolvable_schema` here, before any bytes are read with it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from sluice_schemas.errors import WireError
from sluice_schemas.shape import Schema

MAX_NESTING = 100
"""How deep a schema's text may nest; named types may refer to each other without end."""

_LAYOUT = ("type", "name", "namespace", "fields", "items", "values", "symbols", "size", "logicalType")
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


@dataclass(frozen=True, slots=True)
class Writer:
    """A schema in fastavro's parsed form: full names everywhere, each named type under its name in `named`."""

    root: Schema
    named: dict[str, Schema]

    def part(self, schema: Schema) -> Schema:
        """Return the schema behind a name, or the schema itself."""
        return self.named.get(schema, schema) if isinstance(schema, str) else schema

    def digest(self) -> bytes:
        """Return the SHA-256 of all that decides how bytes are read under this schema.

        It is taken of compact JSON with sorted keys: types with their full names, each defined where it is first used,
        and of them `type`, `name`, `fields`, `items`, `values`, `symbols`, `size` and `logicalType`. Avro's own
        canonical form drops the logical type, and its CRC-64 can be met on purpose.
        """
        text = json.dumps(_plain(self.root, self.named, set()), separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def parsed(definition: Schema, references: Iterable[Schema] = ()) -> Writer:
    """Return the schema, which may use the names its references define; each of them those of the ones before it."""
    named: dict[str, Schema] = {}
    for schema in references:
        _parse(schema, named)
    return Writer(_parse(definition, named), named)


def _parse(definition: Schema, named: dict[str, Schema]) -> Schema:
    before = dict(named)
    try:
        root = parse_schema(_bare(definition, MAX_NESTING), named, _write_hint=False)
    except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError("unresolvable_schema", f"its schema is not Avro ({type(error).__name__})") from None
    if any(named[name] is not schema for name, schema in before.items()):
        raise WireError("unresolvable_schema", "its references define one name twice")
    return root


def _bare(schema: Schema, depth: int) -> Schema:
    """Return what says how bytes are laid out, checked where fastavro does not; defaults are the reader's business."""
    if not depth:
        raise WireError("unresolvable_schema", "its schema is nested too deep")
    if isinstance(schema, list):
        return [_bare(branch, depth - 1) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {key: schema[key] for key in _LAYOUT if key in schema}
    for inner in bare.keys() & {"items", "values"}:
        bare[inner] = _bare(bare[inner], depth - 1)
    if bare["type"] in ("record", "error"):
        bare["fields"] = _bare_fields(bare["fields"], depth - 1)
    elif bare["type"] == "fixed" and (type(bare["size"]) is not int or bare["size"] < 0):
        raise ValueError("a fixed without a size")
    return bare


def _bare_fields(fields: Any, depth: int) -> list[dict[str, Any]]:
    bare = [{"name": field["name"], "type": _bare(field["type"], depth)} for field in fields]
    if len({field["name"] for field in bare}) != len(bare):
        raise ValueError("two fields of one name")
    return bare


def _plain(schema: Schema, named: dict[str, Schema], seen: set[str]) -> Schema:
    """Return a parsed schema as `Writer.digest` takes it in."""
    if isinstance(schema, list):
        return [_plain(branch, named, seen) for branch in schema]
    if isinstance(schema, str):
        return schema if schema in seen or schema not in named else _plain(named[schema], named, seen)
    if "name" in schema:
        seen.add(schema["name"])
    plain = {key: schema[key] for key in _LAYOUT if key in schema and key != "namespace"}
    for inner in plain.keys() & {"items", "values"}:
        plain[inner] = _plain(plain[inner], named, seen)
    if "fields" in plain:
        plain["fields"] = [
            {"name": field["name"], "type": _plain(field["type"], named, seen)} for field in plain["fields"]
        ]
    return plain["type"] if plain.keys() == {"type"} else plain


def base_of(schema: Schema) -> str:
    """Return how a part is written: union, record, array, map, enum, fixed or the primitive's name."""
    if isinstance(schema, list):
        return "union"
    kind = str(schema["type"] if isinstance(schema, dict) else schema)
    return "record" if kind == "error" else kind


def logical_of(schema: Schema) -> str:
    """Return the logical type a part is marked with, or nothing."""
    return str(schema.get("logicalType", "")) if isinstance(schema, dict) else ""


def short_name(schema: Schema) -> str:
    """Return a named type's name without its namespace; by that alone Avro matches a writer's type and a reader's."""
    return str(schema["name"]).rpartition(".")[2]
