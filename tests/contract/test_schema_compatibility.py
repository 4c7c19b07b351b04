"""Released schemas never change, and every version reads every other: FULL_TRANSITIVE, judged by Apache Avro."""

import copy
import hashlib
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from sluice_schemas.released import ReleasedSchema, avro_dir, newest, released
from tests.contract.fake_registry import reads

LOCK = avro_dir() / "fingerprints.json"
PAIRS = [
    pytest.param(writer, reader, id=f"{writer.event}-v{writer.version}-read-as-v{reader.version}")
    for writer, reader in product(released(), repeat=2)
    if writer.event == reader.event
]


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_every_version_reads_every_version(writer: ReleasedSchema, reader: ReleasedSchema) -> None:
    assert reads(reader.text, writer.text)


@pytest.mark.parametrize("schema", released(), ids=lambda schema: f"{schema.event}.v{schema.version}")
def test_a_released_schema_file_is_frozen(schema: ReleasedSchema) -> None:
    """To change a released event, add a file with the next version, and its line to fingerprints.json."""
    name = f"{schema.event}.v{schema.version}.avsc"
    locked = json.loads(LOCK.read_text(encoding="utf-8")).get(name)
    sha256 = hashlib.sha256(schema.text.encode()).hexdigest()
    assert locked == {"crc64_avro": schema.fingerprint.hex(), "sha256": sha256}


def test_every_frozen_schema_is_still_there() -> None:
    names = {f"{schema.event}.v{schema.version}.avsc" for schema in released()}
    assert json.loads(LOCK.read_text(encoding="utf-8")).keys() == names


def test_versions_count_from_one_without_gaps() -> None:
    versions: dict[str, list[int]] = {}
    for schema in released():
        versions.setdefault(schema.event, []).append(schema.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())


Change = Callable[[dict[str, Any]], None]


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one field of a record schema."""
    found: dict[str, Any] = next(field for field in schema["fields"] if field["name"] == name)
    return found


def add_optional(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "later", "type": ["null", "string"], "default": None})


def add_symbol(schema: dict[str, Any]) -> None:
    field(schema, "status")["type"]["symbols"].append("QUARANTINE")


def drop_optional(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "coverage"))


def add_required(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "later", "type": "string"})


def drop_required(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "image_id"))


def change_type(schema: dict[str, Any]) -> None:
    field(schema, "image_id")["type"] = "long"


def make_required(schema: dict[str, Any]) -> None:
    changed = field(schema, "coverage")
    changed["type"] = "double"
    del changed["default"]


def widen_number(schema: dict[str, Any]) -> None:
    """Old readers cannot take a long for their int, so one direction is lost."""
    field(schema, "policy")["type"]["fields"][1]["type"] = "long"


def rename_record(schema: dict[str, Any]) -> None:
    schema["name"] = "Judgement"


def full(change: Change) -> bool:
    """Tell whether the check above would let a changed Verdict be released."""
    old = newest("Verdict")
    changed = copy.deepcopy(old.definition)
    change(changed)
    text = json.dumps(changed)
    return reads(text, old.text) and reads(old.text, text)


@pytest.mark.parametrize("change", [add_optional, add_symbol, drop_optional])
def test_an_additive_change_is_let_through(change: Change) -> None:
    assert full(change)


@pytest.mark.parametrize(
    "change", [add_required, drop_required, change_type, make_required, widen_number, rename_record]
)
def test_a_breaking_change_is_reported(change: Change) -> None:
    assert not full(change)
