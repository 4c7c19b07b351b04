"""Compiles a schema into two straight-line functions: value -> Avro bytes and Avro bytes -> value.

Why not fastavro's reader and writer: they go through one dict per record, wrap negative enum and union indexes around
as Python lists do, and have no bound on items. Generated code needs a third of the time and refuses what it must.
fastavro parses schemas, computes fingerprints, and is the oracle of the tests: same bytes, same values.

A decoder resolves an older or newer writer schema by name as Avro does: unknown fields are read and dropped, missing
ones get their default, unknown enum symbols become the reader's default symbol.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count, groupby
from typing import Any
from uuid import UUID

from sluice_schemas import events, primitives
from sluice_schemas.errors import WireError

Encoder = Callable[[Any], bytes]
Decoder = Callable[[bytes, int], tuple[Any, int]]
Schema = Any  # a schema as JSON gives it: a name, a union's list, or an object

_FIXED = {"double": "d", "boolean": "B"}
_PRIMITIVES = {"string": "text", "bytes": "bytes", "long": "long", "int": "int", "time": "time", "uuid": "uuid"}


def compile_encoder(schema: Schema) -> Encoder:
    """Return the function that writes values of this schema's class. It raises one of `BAD_VALUE`."""
    code = _Code()
    with code.block("def run(v):"):
        code.line("parts = []")
        code.line("w = parts.append")
        _write(code, _expand(schema, {}), "v")
        code.line("return b''.join(parts)")
    encoder: Encoder = code.function("run")
    return encoder


def compile_decoder(writer: Schema, reader: Schema) -> Decoder:
    """Return the function that reads bytes of the writer schema into the reader schema's class.

    It raises one of `BAD_BYTES`. A pair that does not resolve is refused here: WireError `unresolvable_schema`.
    """
    code = _Code()
    with code.block("def run(data, p):"):
        _read(code, _expand(writer, {}), _expand(reader, {}), "v")
        code.line("return v, p")
    decoder: Decoder = code.function("run")
    return decoder


class _Code:
    """Python source that grows by lines, and the names it may use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.numbers = count()
        self.names: dict[str, Any] = dict(vars(primitives)) | {"UUID": UUID, "FLAGS": (False, True)}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self.depth += 1
        yield
        self.depth -= 1

    def name(self, value: Any = None) -> str:
        """Return a fresh name; with a value, one that means it."""
        name = f"x{next(self.numbers)}"
        if value is not None:
            self.names[name] = value
        return name

    def function(self, name: str) -> Any:
        # Of a schema only the field names of our own classes and numbers enter the source.
        exec(compile("\n".join(self.lines), "<codec>", "exec"), self.names)  # noqa: S102
        return self.names[name]


def _expand(schema: Schema, seen: dict[str, Schema]) -> Schema:
    """Return the schema with every named type in place of its name, namespaces cut off."""
    if isinstance(schema, str):
        return seen.get(_short(schema), schema)
    if isinstance(schema, list):
        return [_expand(branch, seen) for branch in schema]
    out = dict(schema)
    if "name" in out:
        out["name"] = _short(out["name"])
    if "fields" in out:
        out["fields"] = [dict(field, type=_expand(field["type"], seen)) for field in out["fields"]]
    for inner in out.keys() & {"items", "values"}:
        out[inner] = _expand(out[inner], seen)
    if out["type"] in ("record", "enum"):
        seen[out["name"]] = out
    return out


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _kind(schema: Schema) -> str:
    """Return what an expanded schema is: record, enum, array, map, union, time, uuid or the primitive's name."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, str):
        return schema
    logical = {"timestamp-micros": "time", "uuid": "uuid"}.get(schema.get("logicalType", ""))
    return logical or str(schema["type"])


def _is_fixed(field: Schema) -> bool:
    return _kind(field["type"]) in _FIXED


def _branch(union: list[Schema]) -> tuple[int, Schema]:
    """Return index and schema of the one branch that is not null."""
    branches = [(index, branch) for index, branch in enumerate(union) if branch != "null"]
    if len(branches) != 1 or len(union) != 2:  # noqa: PLR2004 -- null and one other
        raise WireError("unresolvable_schema", "a union that is not of null and one other type")
    return branches[0]


# Writing


def _write(code: _Code, schema: Schema, value: str) -> None:
    """Emit what appends the encoding of the expression `value`."""
    kind = _kind(schema)
    if kind == "record":
        _write_record(code, schema, value)
    elif kind == "union":
        index, branch = _branch(schema)
        inner = code.name()
        code.line(f"{inner} = {value}")
        with code.block(f"if {inner} is None:"):
            code.line(f"w({primitives.write_long(1 - index)!r})")
        with code.block("else:"):
            code.line(f"w({primitives.write_long(index)!r})")
            _write(code, branch, inner)
    elif kind in ("array", "map"):
        _write_items(code, schema, value)
    elif kind == "enum":
        symbols = {symbol: primitives.write_long(i) for i, symbol in enumerate(schema["symbols"])}
        code.line(f"w({code.name(symbols)}[{value}])")
    elif kind in _FIXED:
        _write_fixed(code, [(value, _FIXED[kind])])
    else:
        code.line(f"w(write_{_PRIMITIVES[kind]}({value}))")


def _write_record(code: _Code, schema: Schema, value: str) -> None:
    """Emit the fields in order; neighbours of fixed size are packed in one go."""
    for fixed, run in groupby(schema["fields"], key=_is_fixed):
        if fixed:
            _write_fixed(code, [(f"{value}.{field['name']}", _FIXED[_kind(field["type"])]) for field in run])
        else:
            for field in run:
                _write(code, field["type"], f"{value}.{field['name']}")


def _write_fixed(code: _Code, values: list[tuple[str, str]]) -> None:
    """Emit neighbours of fixed size in one go."""
    form = struct.Struct("<" + "".join(form for _, form in values).replace("B", "?"))
    code.line(f"w({code.name(form.pack)}({', '.join(value for value, _ in values)}))")


def _write_items(code: _Code, schema: Schema, value: str) -> None:
    """Emit an array or a map as one block."""
    items, item = code.name(), code.name()
    code.line(f"{items} = {value}")
    with code.block(f"if {items}:"):
        code.line(f"w(write_count({items}))")
        if schema["type"] == "array":
            with code.block(f"for {item} in {items}:"):
                _write(code, schema["items"], item)
        else:
            key = code.name()
            with code.block(f"for {key}, {item} in {items}.items():"):
                _write(code, "string", key)
                _write(code, schema["values"], item)
    code.line("w(b'\\0')")


# Reading: `reader` None means that the reader does not know the field, so it is read to be dropped.


def _read(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit what reads the writer's encoding at p into the variable `out`."""
    kind = _kind(writer)
    reader = _counterpart(kind, reader)
    if kind == "record":
        _read_record(code, writer, reader, out)
    elif kind == "union":
        _read_union(code, writer, reader, out)
    elif kind in ("array", "map"):
        _read_items(code, writer, reader, out)
    elif kind == "enum":
        code.line(f"{out}, p = read_long(data, p)")
        code.line(f"{out} = {code.name(_members(writer['symbols'], reader))}[{out}]")
    elif kind in _FIXED:
        _read_fixed(code, [(out, _FIXED[kind])])
    else:
        code.line(f"{out}, p = read_{_PRIMITIVES[kind]}(data, p)")


def _counterpart(kind: str, reader: Schema | None) -> Schema | None:
    """Return the part of the reader's type that takes this kind; refuse the pair if there is none."""
    if kind not in _PRIMITIVES.keys() | _FIXED.keys() | {"record", "union", "array", "map", "enum"}:
        raise WireError("unresolvable_schema", f"no event has a field of type {kind}")
    if reader is None:
        return None
    if kind != "union" and _kind(reader) == "union":
        reader = _branch(reader)[1]
    if (kind, _kind(reader)) != ("int", "long") and kind != _kind(reader):
        raise WireError("unresolvable_schema", f"{kind} cannot be read as {_kind(reader)}")
    return reader


def _read_union(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit null or the other branch; any other index is refused."""
    index, branch = _branch(writer)
    tag = code.name()
    code.line(f"{tag} = data[p]")
    code.line("p += 1")
    with code.block(f"if {tag} == {2 * index}:"):
        _read(code, branch, reader and _branch(reader)[1], out)
    with code.block(f"elif {tag} == {2 * (1 - index)}:"):
        code.line(f"{out} = None")
    with code.block("else:"):
        code.line("raise ValueError('no such branch')")


def _members(symbols: list[str], reader: Schema | None) -> dict[int, Any]:
    """Return the Python member of each written index; what the reader does not know becomes its default symbol."""
    if reader is None:
        return dict(enumerate(symbols))
    member, known = getattr(events, reader["name"]), set(reader["symbols"])
    return {index: member(s if s in known else reader["default"]) for index, s in enumerate(symbols)}


def _read_record(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit the writer's fields in order, then the value made of those the reader knows."""
    wanted = {field["name"]: field for field in reader["fields"]} if reader else {}
    made: dict[str, str] = {}
    for fixed, run in groupby(writer["fields"], key=_is_fixed):
        targets = [(field, wanted.get(field["name"]), code.name()) for field in run]
        for field, want, name in targets:
            want_type = want and want["type"]
            if fixed:
                _counterpart(_kind(field["type"]), want_type)
            else:
                _read(code, field["type"], want_type, name)
            if want:
                made[field["name"]] = name
        if fixed:
            _read_fixed(code, [(name, _FIXED[_kind(field["type"])]) for field, _, name in targets])
    if reader:
        _construct(code, reader, made, out)


def _construct(code: _Code, reader: Schema, made: Mapping[str, str], out: str) -> None:
    """Emit the construction of the reader's class; fields the writer lacks keep the class's defaults."""
    missing = [field["name"] for field in reader["fields"] if field["name"] not in made and "default" not in field]
    if missing:
        raise WireError("unresolvable_schema", f"{reader['name']} needs {', '.join(missing)}")
    cls = getattr(events, reader["name"])
    in_order = list(made) == list(cls.__match_args__)  # then by position, which is quicker
    arguments = ", ".join(var if in_order else f"{name}={var}" for name, var in made.items())
    code.line(f"{out} = {code.name(cls)}({arguments})")


def _read_fixed(code: _Code, targets: list[tuple[str, str]]) -> None:
    """Emit neighbours of fixed size in one go; a boolean is the byte 0 or 1 and nothing else."""
    form = struct.Struct("<" + "".join(form for _, form in targets))
    code.line(f"{', '.join(name for name, _ in targets)}, = {code.name(form.unpack_from)}(data, p)")
    code.line(f"p += {form.size}")
    for name, kind in targets:
        if kind == _FIXED["boolean"]:
            code.line(f"{name} = FLAGS[{name}]")


def _read_items(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit the blocks of an array (a tuple) or a map (a dict)."""
    inner = "items" if writer["type"] == "array" else "values"
    items, item, key, left = code.name(), code.name(), code.name(), code.name()
    code.line(f"{items} = {'[]' if inner == 'items' else '{}'}")
    code.line(f"{left}, p = read_count(data, p, held=0)")
    with code.block(f"while {left}:"):
        with code.block(f"for _ in range({left}):"):
            code.line(f"{item} = None")
            if inner == "values":
                code.line(f"{key}, p = read_text(data, p)")
            _read(code, writer[inner], reader and reader[inner], item)
            code.line(f"{items}.append({item})" if inner == "items" else f"{items}[{key}] = {item}")
        code.line(f"{left}, p = read_count(data, p, held=len({items}))")
    code.line(f"{out} = tuple({items})" if inner == "items" else f"{out} = {items}")
