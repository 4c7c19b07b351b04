"""Compiles a writer schema of any kind into the function that steps over its bytes and checks them on the way.

Nothing here recurses while it reads: a type that holds itself may nest as deep as the bytes say, up to MAX_DEPTH. Every
step that is repeated uses up bytes (what is always of no size is not stepped over at all, what is always of one size is
jumped over), so the work follows from the size of the message and not from a count that stands in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sluice_schemas import primitives
from sluice_schemas.errors import WireError
from sluice_schemas.foreign import Writer, base_of
from sluice_schemas.shape import Schema

MAX_DEPTH = 10_000
"""How deep bytes may nest; each level is one entry of a list."""
MAX_STEPS = 200_000
"""Parts of no fixed size in one field: a second of work, where a message of 2 MiB could ask for ten."""

SIZES = {"null": 0, "float": 4, "double": 8}
_READERS: dict[str, Callable[[bytes, int], tuple[Any, int]]] = {
    "boolean": primitives.read_boolean,
    "int": primitives.read_int,
    "long": primitives.read_long,
    "bytes": primitives.read_bytes,
    "string": primitives.read_text,
}


@dataclass(slots=True)
class _Body:
    """Bytes, and how far they are read."""

    data: bytes
    at: int

    def jump(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise ValueError("ends too early")
        self.at += size

    def number(self) -> int:
        value, self.at = primitives.read_long(self.data, self.at)
        return value

    def blocks(self) -> Iterator[int]:
        """Return the item counts of an array or map, one block after the other."""
        while count := self.number():
            if count < 0:
                self.number()  # the block's size in bytes: for those who do not check what they skip
            yield abs(count)


Step = Callable[[_Body], Iterator["_Part"]]
"""Reads the beginning of a part and returns what of it is still to be stepped over, made as it is asked for."""


def _unmade(_: _Body) -> Iterator["_Part"]:
    raise AssertionError("a part that is still being made")


@dataclass(slots=True)
class _Part:
    """Steps over one type; `size` is its size in bytes where that is always the same. A type may hold itself."""

    size: int | None = None
    step: Step = _unmade


Parts = dict[str, _Part]


def parts_of(writer: Writer) -> Parts:
    """Return what steps over each named type.

    They are made in the order of their definition, when all they name is made or around them: so a chain of names, as
    long as it may be, is no deeper here than the schema's text.
    """
    parts: Parts = {}
    for name in writer.named:
        _part(writer, name, parts)
    return parts


def compile_skipper(writer: Writer, schema: Schema, parts: Parts) -> Callable[[bytes, int], int]:
    """Return the function from bytes and a position to the position after this part. It raises one of `BAD_BYTES`."""
    part = _part(writer, schema, parts)

    def skip(data: bytes, at: int) -> int:
        body = _Body(data, at)
        _walk(part, body)
        return body.at

    return skip


def _walk(part: _Part, body: _Body) -> None:
    path, steps = [iter((part,))], 0
    while path:
        for inner in path[-1]:
            if inner.size is not None:
                body.jump(inner.size)
                continue
            if len(path) > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
            steps += 1
            if steps > MAX_STEPS:
                raise ValueError(f"more than {MAX_STEPS} parts")
            path.append(inner.step(body))
            break
        else:
            path.pop()


def _part(writer: Writer, schema: Schema, parts: Parts) -> _Part:
    """Return the part of a schema; that of a named type is made once."""
    schema = writer.part(schema)
    if not isinstance(schema, dict) or "name" not in schema:
        return _unnamed(writer, schema, parts)
    if schema["name"] not in parts:
        parts[schema["name"]] = part = _Part()
        made = _named(writer, schema, parts)
        part.size, part.step = made.size, made.step
    return parts[schema["name"]]


def _named(writer: Writer, schema: Schema, parts: Parts) -> _Part:
    kind = base_of(schema)
    if kind == "fixed":
        return _Part(schema["size"])
    if kind == "enum":
        return _indexed([_Part(0) for _ in schema["symbols"]])
    return _fields([_part(writer, inner["type"], parts) for inner in schema["fields"]])


def _unnamed(writer: Writer, schema: Schema, parts: Parts) -> _Part:
    kind = base_of(schema)
    if kind in SIZES:
        return _Part(SIZES[kind])
    if kind in _READERS:
        return _leaf(_READERS[kind])
    if kind == "union":
        return _indexed([_part(writer, branch, parts) for branch in schema])
    if kind == "array":
        return _items(_part(writer, schema["items"], parts))
    if kind == "map":
        return _items(_fields([_leaf(primitives.read_text), _part(writer, schema["values"], parts)]))
    raise WireError("unresolvable_schema", "a type that Avro does not have")


def _leaf(read: Callable[[bytes, int], tuple[Any, int]]) -> _Part:
    def step(body: _Body) -> Iterator[_Part]:
        _, body.at = read(body.data, body.at)
        return iter(())

    return _Part(step=step)


def _fields(fields: list[_Part]) -> _Part:
    """Step over parts in order. Those of no size cost nothing, and a record around one part is that part."""
    fields = [part for part in fields if part.size != 0]
    if all(part.size is not None for part in fields):
        return _Part(sum(part.size or 0 for part in fields))
    if len(fields) == 1 and fields[0].step is not _unmade:
        return fields[0]
    return _Part(step=lambda _: iter(fields))


def _indexed(branches: list[_Part]) -> _Part:
    """Step over an index, and over what it names."""

    def step(body: _Body) -> Iterator[_Part]:
        index = body.number()
        if not 0 <= index < len(branches):
            raise ValueError("no such branch")
        return iter((branches[index],))

    return _Part(step=step)


def _items(item: _Part) -> _Part:
    """Step over the blocks of an array, or of a map whose items are keys and values."""

    def step(body: _Body) -> Iterator[_Part]:
        for count in body.blocks():
            if item.size is not None:
                body.jump(count * item.size)
            elif count > len(body.data) - body.at:
                raise ValueError("more items than bytes")
            else:
                for _ in range(count):
                    yield item

    return _Part(step=step)
