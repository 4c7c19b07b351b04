"""Writer schemas from elsewhere: made plain, their names resolved, their parts answered for.

A registry may hand out anything. What is kept of a schema is only what says how bytes are laid out, within bounds; a
schema that is not Avro is WireError `unresolvable_schema` here, before any bytes are read with it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from sluice_schemas.errors import WireError
from sluice_schemas.shape import Schema

MAX_NESTING = 100
"""How deep a schema's text may nest; named types may refer to each other without end."""

_LAYOUT = ("type", "name", "namespace", "fields", "items", "values", "symbols", "size", "logicalType")
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_COMPLEX = {"record", "error", "enum", "array", "map", "fixed"}


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
        digest = hashlib.sha256()
        for piece in _text(self):
            digest.update(piece.encode("utf-8", "surrogatepass"))
        return digest.digest()


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
    if isinstance(schema["type"], str) and schema["type"] not in _PRIMITIVES | _COMPLEX:
        return schema["type"]  # a named type with attributes around it, as Avro for Java reads and writes it
    bare = {key: schema[key] for key in _LAYOUT if key in schema}
    if type(bare.get("logicalType", "")) is not str:
        del bare["logicalType"]  # Avro ignores what is no logical type
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


def _text(writer: Writer) -> Iterator[str]:
    """Yield a schema as `Writer.digest` takes it in, piece by piece: a chain of names may be as long as it likes."""
    seen: set[str] = set()
    path = [_spelled(writer, writer.root, seen)]
    while path:
        piece = next(path[-1], None)
        if piece is None:
            path.pop()
        elif isinstance(piece, str):
            yield piece
        else:
            path.append(_spelled(writer, piece.schema, seen))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is still to be spelled out."""

    schema: Schema


def _spelled(writer: Writer, schema: Schema, seen: set[str]) -> Iterator[str | _Part]:
    """Yield a part's own text, and in their places the parts it holds."""
    if isinstance(schema, str) and (schema in seen or schema not in writer.named):
        yield _json(schema)
        return
    schema = writer.part(schema)
    if isinstance(schema, list):
        yield from _listed(("", _Part(branch), "") for branch in schema)
        return
    if "name" in schema:
        seen.add(schema["name"])
    kept = sorted(key for key in _LAYOUT if key in schema and key != "namespace")
    if kept == ["type"]:
        yield _json(schema["type"])
        return
    for at, key in enumerate(kept):
        yield f"{',' if at else '{'}{_json(key)}:"
        if key == "fields":
            fields = schema[key]
            yield from _listed(
                (f'{{"name":{_json(field["name"])},"type":', _Part(field["type"]), "}") for field in fields
            )
        else:
            yield _Part(schema[key]) if key in ("items", "values") else _json(schema[key])
    yield "}"


def _listed(items: Iterable[tuple[str, _Part, str]]) -> Iterator[str | _Part]:
    """Yield a JSON list of parts, each with the text before and after it."""
    yield "["
    for at, (before, part, after) in enumerate(items):
        yield f"{',' if at else ''}{before}"
        yield part
        yield after
    yield "]"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


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
