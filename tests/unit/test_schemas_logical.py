"""Logical types go by unit: a moment is the same moment in millis, and a UUID in bytes the same UUID."""

from typing import Any
from uuid import UUID

import pytest

from sluice_schemas import ImageGenerated, Verdict
from tests.unit.schemas_bodies import BODY, image, read, refused, typed, written
from tests.unit.schemas_strategies import NOON, VERDICT, as_dicts

SECONDS = int(NOON.timestamp())


@pytest.mark.parametrize(
    ("logical", "number"),
    [
        ("timestamp-micros", SECONDS * 10**6),
        ("local-timestamp-micros", SECONDS * 10**6),
        ("timestamp-millis", SECONDS * 10**3),
        ("local-timestamp-millis", SECONDS * 10**3),
        ("timestamp-nanos", SECONDS * 10**9 + 999),
        ("local-timestamp-nanos", SECONDS * 10**9),
        ("something-else", SECONDS * 10**6),
    ],
)
@pytest.mark.parametrize("optional", [False, True])
def test_a_moment_is_the_same_moment_whatever_its_unit(logical: str, number: int, optional: bool) -> None:  # noqa: FBT001
    bare = typed("created_at", "long")
    kind: Any = {"type": "long", "logicalType": logical}
    body = written(typed("created_at", ["null", "long"]) if optional else bare, image("created_at", number))
    assert read(typed("created_at", ["null", kind] if optional else kind), body, ImageGenerated).created_at == NOON


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "int", "logicalType": "date"},
        {"type": "int", "logicalType": "time-millis"},
        {"type": "long", "logicalType": "time-micros"},
        "double",
    ],
)
def test_what_is_no_moment_is_not_taken_for_one(kind: Any) -> None:
    assert refused(typed("created_at", kind), BODY) == "unresolvable_schema"


@pytest.mark.parametrize("number", [2**62, -(2**62)])
@pytest.mark.parametrize("unit", ["millis", "micros"])
def test_a_moment_outside_the_calendar_is_malformed(unit: str, number: int) -> None:
    body = written(typed("created_at", "long"), image("created_at", number))
    assert refused(typed("created_at", {"type": "long", "logicalType": f"timestamp-{unit}"}), body) == "malformed"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, VERDICT.verdict_id.bytes),
        ({"type": "string", "logicalType": "uuid"}, str(VERDICT.verdict_id)),
        ("string", str(VERDICT.verdict_id)),
        ("bytes", str(VERDICT.verdict_id).encode()),
    ],
)
def test_a_uuid_is_read_from_text_and_from_its_bytes(kind: Any, value: Any) -> None:
    schema = typed("verdict_id", kind, "Verdict")
    body = written(schema, as_dicts(VERDICT) | {"verdict_id": value})
    assert read(schema, body, Verdict).verdict_id == VERDICT.verdict_id


@pytest.mark.parametrize("marks", [{"size": 15, "logicalType": "uuid"}, {"size": 16}])
def test_a_fixed_that_is_no_uuid_is_not_read_as_one(marks: dict[str, Any]) -> None:
    kind = {"type": "fixed", "name": "U"} | marks
    assert refused(typed("verdict_id", kind, "Verdict"), b"", Verdict) == "unresolvable_schema"


def test_an_identity_that_its_writer_calls_a_uuid_is_text_here() -> None:
    schema, name = typed("image_id", {"type": "string", "logicalType": "uuid"}), str(UUID(int=7))
    assert read(schema, written(schema, image("image_id", name)), ImageGenerated).image_id == name
