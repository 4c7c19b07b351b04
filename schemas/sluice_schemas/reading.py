"""Emits the source that reads bytes of any writer schema into a released schema's class, as Avro resolves schemas.

Fields go by name: those the reader does not know are stepped over, those the writer lacks get their default, and an
enum symbol the reader does not know becomes its default symbol. Numbers and texts are promoted as the specification
says. Beyond it, logical types go by unit: a moment in milliseconds or nanoseconds is the same moment here, a local one
is taken for UTC, a UUID may be 16 bytes; and a date or a time of day, which are no moments, are refused.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn

from sluice_schemas.errors import WireError
from sluice_schemas.events import CLASSES
from sluice_schemas.foreign import Writer, base_of, logical_of, short_name
from sluice_schemas.shape import Schema, branch_of, kind_of
from sluice_schemas.skipping import Parts, compile_skipper
from sluice_schemas.source import Code

_PACKED = {"double": "d", "float": "f", "boolean": "B"}
"""Writer's kinds of fixed size, and their letter for struct."""

_PRIMITIVES = {
    ("boolean", "boolean"): "read_boolean",
    ("int", "int"): "read_int",
    ("int", "long"): "read_int",
    ("int", "double"): "read_int_as_double",
    ("long", "long"): "read_long",
    ("long", "double"): "read_long_as_double",
    ("float", "double"): "read_float",
    ("double", "double"): "read_double",
    ("string", "string"): "read_text",
    ("string", "bytes"): "read_text_as_bytes",
    ("bytes", "bytes"): "read_bytes",
    ("bytes", "string"): "read_text",
    ("string", "uuid"): "read_uuid",
    ("bytes", "uuid"): "read_uuid",
    ("int", "time"): "read_time",
    ("long", "time"): "read_time",
}
"""Which function of `primitives` reads what was written as the one into the other."""

_UNITS = {"timestamp-millis": "read_time_of_millis", "timestamp-nanos": "read_time_of_nanos"}
_NO_MOMENTS = {"date", "time-millis", "time-micros"}
_UUID_BYTES = 16
_ONE_BYTE = 64
"""A union of at most so many branches has its index in one byte."""
_MAX_BRANCHES = 50
"""Branches of one union that are read into one type of the reader; more are no longer an `elif`."""


def unfit(tag: int, branches: int) -> NoReturn:
    """Refuse the branch that the bytes chose; `tag` is twice its index, and odd for one below zero."""
    if tag & 1 or not 0 <= tag < 2 * branches:
        raise ValueError("no such branch")
    raise WireError("unresolvable_schema", "it holds a branch of a union that has no place in the reader's type")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Emits the reading of parts of one writer schema."""

    code: Code
    writer: Writer
    parts: Parts

    def read(self, schema: Schema, reader: Schema, out: str) -> None:
        """Emit what reads the writer's encoding at p into the variable `out`; refuse the pair if none fits."""
        schema = self.writer.part(schema)
        base = base_of(schema)
        if base == "union":
            self._union(schema, reader, out)
        elif kind_of(reader) == "union":
            self._into_union(schema, reader, out)
        elif base == "record" and kind_of(reader) == base:
            self._record(schema, reader, out)
        elif base == "enum" and kind_of(reader) == base:
            _same_name(schema, reader)
            self.code.line(f"{out}, p = read_long(data, p)")
            self.code.line(f"{out} = {self.code.name(_members(schema['symbols'], reader))}[{out}]")
        elif base in ("array", "map") and kind_of(reader) == base:
            self._items(schema, reader, out)
        elif base in _PACKED:
            self._packed([(out, _letter(schema, reader))])
        else:
            self.code.line(f"{out}, p = {_primitive(schema, reader)}(data, p)")

    def _into_union(self, schema: Schema, reader: list[Schema], out: str) -> None:
        if base_of(schema) == "null":
            self.code.line(f"{out} = None")
        else:
            self.read(schema, branch_of(reader)[1], out)

    def _union(self, branches: list[Schema], reader: Schema, out: str) -> None:
        """Emit the branches the reader can take; data that chooses another one is refused."""
        code, tag = self.code, self.code.name()
        if len(branches) <= _ONE_BYTE:
            code.line(f"{tag} = data[p]")
            code.line("p += 1")
        else:
            code.line(f"{tag}, p = read_long(data, p)")
            code.line(f"{tag} *= 2")
        taken = 0
        for index, branch in enumerate(branches):
            taken += self._branch(f"{'elif' if taken else 'if'} {tag} == {2 * index}:", branch, reader, out)
        if not 0 < taken <= _MAX_BRANCHES:
            raise WireError("unresolvable_schema", f"no union of its can be read as {kind_of(reader)}")
        with code.block("else:"):
            code.line(f"{code.name(unfit)}({tag}, {len(branches)})")

    def _branch(self, head: str, branch: Schema, reader: Schema, out: str) -> bool:
        """Emit one branch of a union, or nothing if it does not resolve."""
        before = len(self.code.lines)
        try:
            with self.code.block(head):
                self.read(branch, reader, out)
        except WireError:
            del self.code.lines[before:]
            return False
        return True

    def _record(self, schema: Schema, reader: Schema, out: str) -> None:
        """Emit the writer's fields in order, then the value made of those the reader knows."""
        _same_name(schema, reader)
        wanted = {field["name"]: field for field in reader["fields"]}
        made: dict[str, str] = {}
        for packed, run in groupby(schema["fields"], key=lambda field: self._base(field) in _PACKED):
            targets = [(field, wanted.get(field["name"]), self.code.name()) for field in run]
            made |= {field["name"]: name for field, want, name in targets if want}
            try:
                self._fields(targets, packed=packed)
            except WireError as error:
                raise WireError(error.reason, f"{reader['name']}: {error.message}") from None
        _construct(self.code, reader, made, out)

    def _fields(self, targets: list[tuple[Schema, Schema, str]], *, packed: bool) -> None:
        if packed:
            parts = ((name, self.writer.part(field["type"]), want and want["type"]) for field, want, name in targets)
            self._packed([(name, _letter(schema, reader)) for name, schema, reader in parts])
            return
        for field, want, name in targets:
            if want:
                self.read(field["type"], want["type"], name)
            else:
                skip = compile_skipper(self.writer, field["type"], self.parts)
                self.code.line(f"p = {self.code.name(skip)}(data, p)")

    def _base(self, field: Schema) -> str:
        return base_of(self.writer.part(field["type"]))

    def _packed(self, targets: list[tuple[str, str]]) -> None:
        """Emit neighbours of fixed size in one go; a boolean is the byte 0 or 1 and nothing else."""
        form = struct.Struct("<" + "".join(letter for _, letter in targets))
        names = ", ".join(name for name, _ in targets)
        self.code.line(f"{names}, = {self.code.name(form.unpack_from)}(data, p)")
        self.code.line(f"p += {form.size}")
        for name, letter in targets:
            if letter == _PACKED["boolean"]:
                self.code.line(f"{name} = FLAGS[{name}]")

    def _items(self, schema: Schema, reader: Schema, out: str) -> None:
        """Emit the blocks of an array (a tuple) or a map (a dict)."""
        code, inner = self.code, "items" if base_of(schema) == "array" else "values"
        items, item, key, left = code.name(), code.name(), code.name(), code.name()
        code.line(f"{items} = {'[]' if inner == 'items' else '{}'}")
        code.line(f"{left}, p = read_count(data, p, held=0)")
        with code.block(f"while {left}:"):
            with code.block(f"for _ in range({left}):"):
                if inner == "values":
                    code.line(f"{key}, p = read_text(data, p)")
                self.read(schema[inner], reader[inner], item)
                code.line(f"{items}.append({item})" if inner == "items" else f"{items}[{key}] = {item}")
            code.line(f"{left}, p = read_count(data, p, held=len({items}))")
        code.line(f"{out} = tuple({items})" if inner == "items" else f"{out} = {items}")


def _mismatch(schema: Schema, reader: Schema) -> WireError:
    return WireError("unresolvable_schema", f"{base_of(schema)} cannot be read as {kind_of(reader)}")


def _same_name(schema: Schema, reader: Schema) -> None:
    if short_name(schema) != reader["name"]:
        raise WireError("unresolvable_schema", f"a type of another name where {reader['name']} is read")


def _letter(schema: Schema, reader: Schema | None) -> str:
    """Return the struct letter of a kind of fixed size, if the reader takes it or does not know it."""
    if reader is not None:
        _primitive(schema, branch_of(reader)[1] if kind_of(reader) == "union" else reader)
    return _PACKED[base_of(schema)]


def _primitive(schema: Schema, reader: Schema) -> str:
    """Return which function reads this into the reader's primitive type."""
    base, kind, logical = base_of(schema), kind_of(reader), logical_of(schema).removeprefix("local-")
    if (base, kind, logical) == ("fixed", "uuid", "uuid") and schema["size"] == _UUID_BYTES:
        return "read_uuid_of_bytes"
    if (base, kind) not in _PRIMITIVES or (kind == "time" and logical in _NO_MOMENTS):
        raise _mismatch(schema, reader)
    if (base, kind) == ("long", "time"):
        return _UNITS.get(logical, _PRIMITIVES[base, kind])
    return _PRIMITIVES[base, kind]


def _members(symbols: list[str], reader: Schema) -> dict[int, Any]:
    """Return the Python member of each written index; what the reader does not know becomes its default symbol."""
    member, known = CLASSES[reader["name"]], set(reader["symbols"])
    return {index: member(s if s in known else reader["default"]) for index, s in enumerate(symbols)}


def _construct(code: Code, reader: Schema, made: Mapping[str, str], out: str) -> None:
    """Emit the construction of the reader's class; fields the writer lacks keep the class's defaults."""
    missing = [field["name"] for field in reader["fields"] if field["name"] not in made and "default" not in field]
    if missing:
        raise WireError("unresolvable_schema", f"{reader['name']} needs {', '.join(missing)}")
    cls = CLASSES[reader["name"]]
    in_order = list(made) == list(cls.__match_args__)  # then by position, which is quicker
    arguments = ", ".join(var if in_order else f"{name}={var}" for name, var in made.items())
    code.line(f"{out} = {code.name(cls)}({arguments})")
