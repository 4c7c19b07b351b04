"""Writer schemas that producers of other versions might have, and values of any schema, from a source of randomness."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from sluice_schemas.released import newest
from sluice_schemas.shape import expanded, kind_of

_PROMOTED: dict[str, list[Any]] = {
    "string": ["string", "string", "bytes", {"type": "string", "logicalType": "made-up"}],
    "bytes": ["bytes", "bytes", "string"],
    "double": ["double", "float", "int", "long"],
    "long": ["long", "int"],
    "int": ["int"],
    "boolean": ["boolean"],
    "uuid": [{"type": "string", "logicalType": "uuid"}],
    "time": [
        {"type": "long", "logicalType": unit}
        for unit in ("timestamp-micros", "timestamp-millis", "local-timestamp-micros", "local-timestamp-millis")
    ],
}
_PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"]
_LEAVES = [*_PRIMITIVES, {"type": "long", "logicalType": "timestamp-millis"}, {"type": "int", "logicalType": "date"}]
_KINDS = ["leaf", "record", "enum", "fixed", "decimal", "array", "map", "union", "recursive", "known"]
_INNER = {"array": "items", "map": "values"}


@dataclass
class Writers:
    """Makes one writer schema; every named type is defined where it is met first, and only named after that."""

    random: Random
    defined: set[str] = field(default_factory=set)

    def any(self, depth: int = 3) -> Any:
        """Return a type of any kind, as a field that our readers do not know may have."""
        kind = self.random.choice(_KINDS if depth else ["leaf"])
        if kind == "leaf":
            return self.random.choice(_LEAVES)
        if kind == "known":
            return self.random.choice(sorted(self.defined) or ["null"])
        if kind in _INNER:
            return {"type": kind, _INNER[kind]: self.any(depth - 1)}
        if kind == "union":
            branches = self.random.sample(_PRIMITIVES, self.random.randint(1, 4))
            return [*branches, {"type": "array", "items": self.any(depth - 1)}]
        full = f"{self.random.choice(['io.sluice', 'other'])}.N{self.random.getrandbits(64):x}"
        made = self._named(kind, depth, full)
        self.defined.add(full)
        namespace, _, name = full.rpartition(".")
        return made | {"name": name, "namespace": namespace}

    def _named(self, kind: str, depth: int, full: str) -> dict[str, Any]:
        if kind == "enum":
            return {"type": "enum", "symbols": ["A", "B", "C"]}
        if kind == "fixed":
            return {"type": "fixed", "size": self.random.randint(1, 20)}
        if kind == "decimal":
            return {"type": "fixed", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2}
        fields = [{"name": f"f{at}", "type": self.any(depth - 1)} for at in range(self.random.randint(0, 3))]
        if kind == "recursive":
            fields.append({"name": "more", "type": {"type": "array", "items": full}})
        return {"type": "record", "fields": fields}

    def of(self, reader: Any) -> Any:
        """Return a type that the reader's type takes, or perhaps only almost."""
        kind = kind_of(reader)
        if kind == "union":
            return self._of_union(next(branch for branch in reader if branch != "null"))
        own = self._own(kind, reader)
        if kind in _PROMOTED.keys() - {"boolean"} and self.random.randrange(40) == 0:
            return self.random.choice([["null", own], [own], [own, "boolean", "null"]])
        return own

    def _of_union(self, inner: Any) -> Any:
        own = self._own(kind_of(inner), inner)
        others: list[Any] = [["null", own], ["null", own], own, [own], "null", [own, "null"]]
        if kind_of(inner) != "boolean":
            others.append(["null", "boolean", own])
        made = self.random.choice(others)
        if made == "null" and isinstance(own, dict) and "name" in own:
            return own  # it counts as defined by now
        return made

    def _own(self, kind: str, reader: Any) -> Any:
        if kind in _PROMOTED:
            return self.random.choice(_PROMOTED[kind])
        if kind in _INNER:
            return {"type": kind, _INNER[kind]: self.of(reader[_INNER[kind]])}
        full = f"io.sluice.{reader['name']}"
        if full in self.defined:
            return full
        made = self._record(reader) if kind == "record" else self._enum(reader)
        self.defined.add(full)
        return made | {"name": reader["name"], "namespace": "io.sluice"}

    def _enum(self, reader: Any) -> Any:
        symbols = [*reader["symbols"], "NEW"]
        return {"type": "enum", "symbols": self.random.sample(symbols, self.random.randint(1, len(symbols)))}

    def _record(self, reader: Any) -> Any:
        fields: list[Any] = []
        for known in self.random.sample(reader["fields"], len(reader["fields"])):
            if self.random.randrange(4) == 0:
                fields.append({"name": f"extra{len(fields)}", "type": self.any()})
            if "default" not in known or self.random.random() < 0.7:
                fields.append({"name": known["name"], "type": self.of(known["type"])})
        return {"type": "record", "fields": fields}


def writer_of(event: str, random: Random) -> Any:
    """Return a writer schema for an event: other order, promoted, optional or not, fields dropped and fields added.

    Its own namespace may be another one, too: those of its parts are spelled out.
    """
    made: dict[str, Any] = Writers(random).of(expanded(newest(event).definition, {}))
    return made | {"namespace": random.choice(["io.sluice", "com.producer", ""])}


def _number(random: Random, bits: int) -> int:
    return random.randrange(-(1 << bits - 1), 1 << bits - 1) >> random.randrange(bits)


def _text(random: Random) -> str:
    return "".join(random.choice("aé\0\U0001f600") for _ in range(random.randrange(70)))


def value_of(schema: Any, named: dict[str, Any], random: Random, depth: int = 6) -> Any:
    """Return a value of a parsed schema, as fastavro's writer takes it."""
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, list):
        return value_of(random.choice(schema), named, random, depth)
    kind, logical = (schema["type"], schema.get("logicalType", "")) if isinstance(schema, dict) else (schema, "")
    if kind == "record":
        return {f["name"]: value_of(f["type"], named, random, depth) for f in schema["fields"]}
    if kind in _INNER:
        items = [
            value_of(schema[_INNER[kind]], named, random, depth - 1) for _ in range(random.randrange(3) * (depth > 0))
        ]
        return items if kind == "array" else {_text(random): item for item in items}
    if kind == "enum":
        return random.choice(schema["symbols"])
    if kind == "fixed":
        return random.randbytes(schema["size"])
    return _logical(logical, random) if logical in _LOGICAL else _primitive(kind, random)


_LOGICAL = {"timestamp-micros", "timestamp-millis", "local-timestamp-micros", "local-timestamp-millis", "uuid"}


def _logical(logical: str, random: Random) -> Any:
    if logical == "uuid":
        return str(UUID(int=random.getrandbits(128)))
    return _number(random, 42) * (1 if logical.endswith("millis") else 1000) + 1  # within the years of a datetime


def _primitive(kind: str, random: Random) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "null": lambda: None,
        "boolean": lambda: random.random() < 0.5,
        "int": lambda: _number(random, 32),
        "long": lambda: _number(random, 64),
        "float": lambda: random.choice([0.5, -1.25, 3e38, float("inf")]),
        "double": lambda: random.choice([0.1, 1e300, -0.0, random.random()]),
        "string": lambda: _text(random),
        "bytes": lambda: _text(random).encode() if random.randrange(40) else random.randbytes(4),
    }
    return made[kind]()


def moments(value: Any) -> Any:
    """Return the value with the local times that fastavro gives as moments of UTC."""
    if isinstance(value, dict):
        return {key: moments(inner) for key, inner in value.items()}
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return [moments(inner) for inner in value] if isinstance(value, list) else value


def plain(schema: Any) -> Any:
    """Return a copy of a schema."""
    return json.loads(json.dumps(schema))
