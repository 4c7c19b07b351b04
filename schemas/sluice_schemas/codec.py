"""Compiles a schema into two straight-line functions: value -> Avro bytes and Avro bytes -> value.

Why not fastavro's reader and writer: they go through one dict per record, wrap negative enum and union indexes around
as Python lists do, and have no bound on items. Generated code writes a verdict in a tenth of the time
(`python -m tests.bench codec`), and refuses what it must.
fastavro parses schemas, computes fingerprints, and is the oracle of the tests: same bytes, same values.

A decoder resolves an older or newer writer schema by name as Avro does: unknown fields are read and dropped, missing
ones get their default, unknown enum symbols become the reader's default symbol.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count, groupby
from typing import Any

from sluice_schemas import primitives
from sluice_schemas.errors import WireError
from sluice_schemas.events import CLASSES
from sluice_schemas.shape import (
    FIXED,
    PRIMITIVES,
    Schema,
    branch_of,
    counterpart,
    expanded,
    is_fixed,
    kind_of,
    members_of,
)

Encoder = Callable[[Any, bytes], bytes]
Decoder = Callable[[bytes, int], tuple[Any, int]]

MAX_LINES = 20_000
MAX_DEPTH = 18
"""What a schema from elsewhere may cost to compile; Python itself nests 20 loops."""


def compile_encoder(schema: Schema) -> Encoder:
    """Return the function that writes a value of this schema's class behind a prefix. It raises one of `BAD_VALUE`."""
    code = _Code()
    with code.block("def run(v, prefix):"):
        code.line("parts = [prefix]")
        code.line("w = parts.append")
        _write(code, expanded(schema, {}), "v")
        code.line("return b''.join(parts)")
    encoder: Encoder = code.function("run")
    return encoder


def compile_decoder(writer: Schema, reader: Schema) -> Decoder:
    """Return the function that reads bytes of the writer schema into the reader schema's class.

    It raises one of `BAD_BYTES`. A pair that does not resolve is refused here: WireError `unresolvable_schema`.
    """
    code = _Code()
    with code.block("def run(data, p):"):
        _read(code, expanded(writer, {}), expanded(reader, {}), "v")
        code.line("return v, p")
    decoder: Decoder = code.function("run")
    return decoder


class _Code:
    """Python source that grows by lines, and the names it may use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.numbers = count()
        self.names: dict[str, Any] = dict(vars(primitives)) | {"FLAGS": (False, True)}

    def line(self, text: str) -> None:
        if len(self.lines) >= MAX_LINES or self.depth > MAX_DEPTH:
            raise WireError("unresolvable_schema", "nested too deep or too large")
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


# Writing


def _write(code: _Code, schema: Schema, value: str) -> None:
    """Emit what appends the encoding of the expression `value`."""
    kind = kind_of(schema)
    if kind == "record":
        _write_record(code, schema, value)
    elif kind == "union":
        index, branch = branch_of(schema)
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
    elif kind in FIXED:
        _write_fixed(code, [(value, FIXED[kind])])
    elif kind == "bytes":  # in two parts: an inline image is copied once, by the join
        code.line(f"w(write_size({value}))")
        code.line(f"w({value})")
    else:
        code.line(f"w(write_{PRIMITIVES[kind]}({value}))")


def _write_record(code: _Code, schema: Schema, value: str) -> None:
    """Emit the fields in order; neighbours of fixed size are packed in one go."""
    for fixed, run in groupby(schema["fields"], key=is_fixed):
        if fixed:
            _write_fixed(code, [(f"{value}.{field['name']}", FIXED[kind_of(field["type"])]) for field in run])
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
    reader = counterpart(kind_of(writer), reader)
    kind = kind_of(writer if reader is None else reader)
    if kind == "record":
        _read_record(code, writer, reader, out)
    elif kind == "union":
        _read_union(code, writer, reader, out)
    elif kind in ("array", "map"):
        _read_items(code, writer, reader, out)
    elif kind == "enum":
        code.line(f"{out}, p = read_long(data, p)")
        code.line(f"{out} = {code.name(members_of(writer['symbols'], reader))}[{out}]")
    elif kind in FIXED:
        _read_fixed(code, [(out, FIXED[kind])])
    else:
        code.line(f"{out}, p = read_{PRIMITIVES[kind]}(data, p)")


def _read_union(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit null or the other branch; any other index is refused."""
    index, branch = branch_of(writer)
    tag = code.name()
    code.line(f"{tag} = data[p]")
    code.line("p += 1")
    with code.block(f"if {tag} == {2 * index}:"):
        _read(code, branch, reader and branch_of(reader)[1], out)
    with code.block(f"elif {tag} == {2 * (1 - index)}:"):
        code.line(f"{out} = None")
    with code.block("else:"):
        code.line("raise ValueError('no such branch')")


def _read_record(code: _Code, writer: Schema, reader: Schema | None, out: str) -> None:
    """Emit the writer's fields in order, then the value made of those the reader knows."""
    wanted = {field["name"]: field for field in reader["fields"]} if reader else {}
    made: dict[str, str] = {}
    for fixed, run in groupby(writer["fields"], key=is_fixed):
        targets = [(field, wanted.get(field["name"]), code.name()) for field in run]
        for field, want, name in targets:
            want_type = want and want["type"]
            if fixed:
                counterpart(kind_of(field["type"]), want_type)
            else:
                _read(code, field["type"], want_type, name)
            if want:
                made[field["name"]] = name
        if fixed:
            _read_fixed(code, [(name, FIXED[kind_of(field["type"])]) for field, _, name in targets])
    if reader:
        _construct(code, reader, made, out)


def _construct(code: _Code, reader: Schema, made: Mapping[str, str], out: str) -> None:
    """Emit the construction of the reader's class; fields the writer lacks keep the class's defaults."""
    missing = [field["name"] for field in reader["fields"] if field["name"] not in made and "default" not in field]
    if missing:
        raise WireError("unresolvable_schema", f"{reader['name']} needs {', '.join(missing)}")
    cls = CLASSES[reader["name"]]
    in_order = list(made) == list(cls.__match_args__)  # then by position, which is quicker
    arguments = ", ".join(var if in_order else f"{name}={var}" for name, var in made.items())
    code.line(f"{out} = {code.name(cls)}({arguments})")


def _read_fixed(code: _Code, targets: list[tuple[str, str]]) -> None:
    """Emit neighbours of fixed size in one go; a boolean is the byte 0 or 1 and nothing else."""
    form = struct.Struct("<" + "".join(form for _, form in targets))
    code.line(f"{', '.join(name for name, _ in targets)}, = {code.name(form.unpack_from)}(data, p)")
    code.line(f"p += {form.size}")
    for name, kind in targets:
        if kind == FIXED["boolean"]:
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
