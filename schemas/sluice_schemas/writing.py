"""Emits the source that writes a value of a released schema's class as Avro bytes."""

import struct
from itertools import groupby

from sluice_schemas import primitives
from sluice_schemas.shape import FIXED, PRIMITIVES, Schema, branch_of, is_fixed, kind_of
from sluice_schemas.source import Code


def emit_write(code: Code, schema: Schema, value: str) -> None:
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
            emit_write(code, branch, inner)
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


def _write_record(code: Code, schema: Schema, value: str) -> None:
    """Emit the fields in order; neighbours of fixed size are packed in one go."""
    for fixed, run in groupby(schema["fields"], key=is_fixed):
        if fixed:
            _write_fixed(code, [(f"{value}.{field['name']}", FIXED[kind_of(field["type"])]) for field in run])
        else:
            for field in run:
                emit_write(code, field["type"], f"{value}.{field['name']}")


def _write_fixed(code: Code, values: list[tuple[str, str]]) -> None:
    """Emit neighbours of fixed size in one go."""
    form = struct.Struct("<" + "".join(form for _, form in values).replace("B", "?"))
    code.line(f"w({code.name(form.pack)}({', '.join(value for value, _ in values)}))")


def _write_items(code: Code, schema: Schema, value: str) -> None:
    """Emit an array or a map as one block."""
    items, item = code.name(), code.name()
    code.line(f"{items} = {value}")
    with code.block(f"if {items}:"):
        code.line(f"w(write_count({items}))")
        if schema["type"] == "array":
            with code.block(f"for {item} in {items}:"):
                emit_write(code, schema["items"], item)
        else:
            key = code.name()
            with code.block(f"for {key}, {item} in {items}.items():"):
                emit_write(code, "string", key)
                emit_write(code, schema["values"], item)
    code.line("w(b'\\0')")
