"""Compiles a schema into two straight-line functions: value -> Avro bytes and Avro bytes -> value.

Why not fastavro's reader and writer: they go through one dict per record, wrap negative enum and union indexes around
as Python lists do, have no bound on items, and recurse as deep as the bytes say, in C. Generated code writes a verdict
in a tenth of the time (`python -m tests.bench codec`), and refuses what it must.
fastavro parses schemas, computes fingerprints, and is the oracle of the tests: same bytes, same values.
"""

from collections.abc import Callable
from typing import Any

from sluice_schemas.foreign import Writer, parsed
from sluice_schemas.reading import Resolution
from sluice_schemas.shape import Schema, expanded
from sluice_schemas.skipping import parts_of
from sluice_schemas.source import Code
from sluice_schemas.writing import emit_write

Encoder = Callable[[Any, bytes], bytes]
Decoder = Callable[[bytes, int], tuple[Any, int]]


def compile_encoder(schema: Schema) -> Encoder:
    """Return the function that writes a value of this schema's class behind a prefix. It raises one of `BAD_VALUE`."""
    code = Code()
    with code.block("def run(v, prefix):"):
        code.line("parts = [prefix]")
        code.line("w = parts.append")
        emit_write(code, expanded(schema, {}), "v")
        code.line("return b''.join(parts)")
    encoder: Encoder = code.function("run")
    return encoder


def compile_decoder(writer: Writer | Schema, reader: Schema) -> Decoder:
    """Return the function that reads bytes of the writer schema into the reader schema's class.

    It resolves as Avro does ("Schema Resolution"). The function raises one of `BAD_BYTES`, or WireError
    `unresolvable_schema` where the bytes choose a branch of a union that the reader cannot take. A pair that never
    resolves is refused here, with the same reason.
    """
    code, schema = Code(), writer if isinstance(writer, Writer) else parsed(writer)
    with code.block("def run(data, p):"):
        Resolution(code, schema, parts_of(schema)).read(schema.root, expanded(reader, {}), "v")
        code.line("return v, p")
    decoder: Decoder = code.function("run")
    return decoder
