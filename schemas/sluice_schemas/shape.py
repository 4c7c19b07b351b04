"""Questions about a released schema, asked while it is compiled; `foreign` answers for those from elsewhere."""

from typing import Any

from sluice_schemas.errors import WireError

Schema = Any  # a name, a union's list, or an object

FIXED = {"double": "d", "boolean": "B"}
"""Kinds of fixed size, and their letter for struct."""
PRIMITIVES = {"string": "text", "bytes": "bytes", "long": "long", "int": "int", "time": "time", "uuid": "uuid"}
"""Kinds of variable size, and what their functions in `primitives` are called after."""


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
