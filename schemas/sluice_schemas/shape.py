"""Questions about a schema as JSON gives it, asked by `codec` while it compiles."""

from typing import Any

from sluice_schemas.errors import WireError
from sluice_schemas.events import CLASSES

Schema = Any  # a name, a union's list, or an object

FIXED = {"double": "d", "boolean": "B"}
"""Kinds of fixed size, and their letter for struct."""
PRIMITIVES = {"string": "text", "bytes": "bytes", "long": "long", "int": "int", "time": "time", "uuid": "uuid"}
"""Kinds of variable size, and what their functions in `primitives` are called after."""

SAME_BYTES = {("int", "long"), ("long", "time"), ("string", "uuid")}
"""Written as the one, to be read as the other: a writer may leave a logical type out, or start from a smaller int."""


def expanded(schema: Schema, seen: dict[str, Schema]) -> Schema:
    """Return the schema with every named type in place of its name, namespaces cut off."""
    if isinstance(schema, str):
        return seen.get(_short(schema), schema)
    if isinstance(schema, list):
        return [expanded(branch, seen) for branch in schema]
    out = dict(schema)
    if "name" in out:
        out["name"] = _short(out["name"])
    if "fields" in out:
        out["fields"] = [dict(field, type=expanded(field["type"], seen)) for field in out["fields"]]
    for inner in out.keys() & {"items", "values"}:
        out[inner] = expanded(out[inner], seen)
    if out["type"] in ("record", "enum"):
        seen[out["name"]] = out
    return out


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def kind_of(schema: Schema) -> str:
    """Return what an expanded schema is: record, enum, array, map, union, time, uuid or the primitive's name."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, str):
        return schema
    logical = {"timestamp-micros": "time", "uuid": "uuid"}.get(schema.get("logicalType", ""))
    return logical or str(schema["type"])


def is_fixed(field: Schema) -> bool:
    """Tell whether a field's encoding has a fixed size."""
    return kind_of(field["type"]) in FIXED


def branch_of(union: list[Schema]) -> tuple[int, Schema]:
    """Return index and schema of the one branch that is not null."""
    branches = [(index, branch) for index, branch in enumerate(union) if branch != "null"]
    if len(branches) != 1 or len(union) != 2:  # noqa: PLR2004 -- null and one other
        raise WireError("unresolvable_schema", "a union that is not of null and one other type")
    return branches[0]


def counterpart(kind: str, reader: Schema | None) -> Schema | None:
    """Return the part of the reader's type that takes this kind; refuse the pair if there is none."""
    if kind not in PRIMITIVES.keys() | FIXED.keys() | {"record", "union", "array", "map", "enum"}:
        raise WireError("unresolvable_schema", f"no event has a field of type {kind}")
    if reader is None:
        return None
    if kind != "union" and kind_of(reader) == "union":
        reader = branch_of(reader)[1]
    if kind != kind_of(reader) and (kind, kind_of(reader)) not in SAME_BYTES:
        raise WireError("unresolvable_schema", f"{kind} cannot be read as {kind_of(reader)}")
    return reader


def members_of(symbols: list[str], reader: Schema | None) -> dict[int, Any]:
    """Return the Python member of each written index; what the reader does not know becomes its default symbol."""
    if reader is None:
        return dict(enumerate(symbols))
    member, known = CLASSES[reader["name"]], set(reader["symbols"])
    return {index: member(s if s in known else reader["default"]) for index, s in enumerate(symbols)}
