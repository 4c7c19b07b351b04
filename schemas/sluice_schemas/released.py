"""The released schema files and what follows from them: versions, fingerprints, the newest one of each event."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

_FILE_NAME = re.compile(r"(?P<event>[A-Z][A-Za-z]+)\.v(?P<version>[1-9][0-9]*)\.avsc")


@dataclass(frozen=True, slots=True)
class ReleasedSchema:
    """One version of one event's schema. `fingerprint` is CRC-64-AVRO, 8 bytes little-endian as on the wire."""

    event: str
    version: int
    text: str
    fingerprint: bytes

    @property
    def definition(self) -> dict[str, Any]:
        """The schema as JSON gives it, a fresh copy."""
        definition: dict[str, Any] = json.loads(self.text)
        return definition


def avro_dir() -> Path:
    """Return the folder of the .avsc files: beside this module in a wheel, beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "avro", here.parent / "avro") if folder.is_dir())


def crc64(definition: Mapping[str, Any]) -> bytes:
    """Return the CRC-64-AVRO fingerprint of a schema's parsing canonical form, in wire order (little-endian)."""
    canonical = to_parsing_canonical_form(parse_schema(dict(definition)))
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


@cache
def released() -> tuple[ReleasedSchema, ...]:
    """Return every released schema, oldest version first per event."""
    found = []
    for path in avro_dir().glob("*.avsc"):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: schema files are called Event.vN.avsc")
        text = path.read_text(encoding="utf-8")
        found.append(ReleasedSchema(match["event"], int(match["version"]), text, crc64(json.loads(text))))
    return tuple(sorted(found, key=lambda schema: (schema.event, schema.version)))


@cache
def newest(event: str) -> ReleasedSchema:
    """Return the schema an event of this class name is written with, and read into."""
    return [schema for schema in released() if schema.event == event][-1]


@cache
def by_fingerprint() -> Mapping[bytes, ReleasedSchema]:
    """Return the released schemas by wire fingerprint; where two versions read alike, the newer one."""
    return MappingProxyType({schema.fingerprint: schema for schema in released()})
