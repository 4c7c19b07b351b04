"""Later versions of a producer, and schemas that refer to others, as a real registry hands them out."""

import copy
import io
import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import fastavro
import httpx
import pytest

from sluice.core.errors import Undecodable
from sluice.core.records import Partition, Record
from sluice.kafka.codec import Codec
from sluice.settings import Topics
from sluice_schemas.registry import ConfluentFraming, connect
from sluice_schemas.released import newest
from sluice_schemas.topics import subject_of
from tests.contract.test_registry import address, topic
from tests.unit.schemas_strategies import IMAGE, as_dicts

__all__ = ["address", "topic"]


def posted(address: str, topic: str, schema: Any, references: Sequence[dict[str, Any]] = ()) -> int:
    """Register a schema that may refer to others, and return its id."""
    body = {"schema": json.dumps(schema), "schemaType": "AVRO", "references": list(references)}
    answer = httpx.post(f"{address}/subjects/{subject_of(topic)}/versions", json=body, trust_env=False)
    assert answer.is_success, answer.text
    number: int = answer.json()["id"]
    return number


def written(schema: Any, value: dict[str, Any], parts: Sequence[Any] = ()) -> bytes:
    """Return a value in a schema, by an independent writer."""
    named: dict[str, Any] = {}
    for part in parts:
        fastavro.parse_schema(copy.deepcopy(part), named)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema), named), value)
    return out.getvalue()


@pytest.mark.registry
def test_schemas_that_refer_to_others_are_resolved(address: str, topic: str) -> None:
    schema = newest("ImageGenerated").definition
    at = next(field for field in schema["fields"] if field["name"] == "image")
    seal = {"type": "fixed", "name": "Seal", "namespace": "other", "size": 4}
    image = {**at["type"], "namespace": "io.sluice"}
    image["fields"] = [*image["fields"], {"name": "seal", "type": "other.Seal"}]
    at["type"] = "io.sluice.Image"
    to_seal = {"name": "other.Seal", "subject": subject_of(f"{topic}.seal"), "version": 1}
    to_image = {"name": "io.sluice.Image", "subject": subject_of(f"{topic}.image"), "version": 1}
    posted(address, f"{topic}.seal", seal)
    posted(address, f"{topic}.image", image, [to_seal])
    number = posted(address, topic, schema, [to_image])
    event = as_dicts(IMAGE)
    body = written(schema, event | {"image": event["image"] | {"seal": b"seal"}}, [seal, image])
    with closing(connect(address)) as registry:
        read = ConfluentFraming(registry).decode(topic, b"\0" + number.to_bytes(4, "big") + body, (), type(IMAGE))
    assert read == IMAGE


def later_version() -> dict[str, Any]:
    """Return the next version of a producer that keeps to the rules, with fields of kinds that no event has."""
    schema = newest("ImageGenerated").definition
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"], "default": None}]}
    schema["fields"] += [
        {"name": "strength", "type": "float", "default": 0.5},
        {"name": "seal", "type": {"type": "fixed", "name": "Seal", "size": 2}, "default": "ab"},
        {"name": "more", "type": ["null", "int", "string", node], "default": None},
    ]
    return schema


@pytest.mark.registry
def test_a_later_version_and_a_poisonous_id_among_its_records_are_sixty_verdicts_and_one_dead_letter(
    address: str, topic: str
) -> None:
    schema = later_version()
    number = posted(address, topic, schema)
    extra = {"strength": 0.25, "seal": b"xy", "more": {"next": {"next": None}}}
    body = b"\0" + number.to_bytes(4, "big") + written(schema, as_dicts(IMAGE) | extra)
    values = [*[body] * 30, b"\0\xff\xff\xff\xff", b"\0\x7f\xff\xff\xff" + body[5:], *[body] * 30]
    with closing(connect(address)) as registry:
        codec = Codec(ConfluentFraming(registry), Topics(), "/test", 2**20)
        read: list[Any] = []
        for offset, value in enumerate(values):
            try:
                read.append(codec.decode(Record(Partition(topic, 0), offset, 0, b"", value)))
            except Undecodable as failure:
                read.append(failure.reason)
    assert read == [*[IMAGE] * 30, "unknown_schema_id", "unknown_schema_id", *[IMAGE] * 30]
