"""Events to test with: two plain ones, and hypothesis strategies that follow the schema files."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st

from sluice_schemas import (
    EVENTS,
    Concept,
    Event,
    Generator,
    Image,
    ImageGenerated,
    Lora,
    Mode,
    PolicyRef,
    Source,
    Status,
    Timings,
    Verdict,
)
from sluice_schemas.events import CLASSES
from sluice_schemas.released import newest
from sluice_schemas.shape import branch_of, expanded, kind_of

PROPERTY = settings(max_examples=60)
"""For tests that share two cores with others: how long an example takes says nothing."""

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
IMAGE = ImageGenerated(
    image_id="i",
    created_at=NOON,
    image=Image(uri="https://store.example/i.png"),
    generator=Generator("m", loras=(Lora("a", 0.5),)),
    attributes={"k": "v"},
)
VERDICT = Verdict(
    verdict_id=UUID(int=1),
    image_id="i",
    image_sha256="a" * 64,
    status=Status.ALLOW,
    concepts=(Concept("c", 0.0, 0.0, 0.0, 0.0, fired=True),),
    policy=PolicyRef("p", 3, "d"),
    preprocess_digest="d",
    source=Source("images.generated.v1", 0, 7),
    timings_ms=Timings(),
    produced_at=NOON,
    mode=Mode.ENFORCE,
)

_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    "bytes": st.binary(max_size=200),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "uuid": st.uuids(),
    "time": st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 12, 31)),  # noqa: DTZ001
}

IMAGE_IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80).filter(str.strip)
"""What producers may name an image; by chance none begins with the reserved `unreadable:`."""


def _of(schema: Any) -> st.SearchStrategy[Any]:
    kind = kind_of(schema)
    if kind == "record":
        parts = {field["name"]: _of(field["type"]) for field in schema["fields"]}
        if schema["name"] == ImageGenerated.__name__:
            parts["image_id"] = IMAGE_IDS
        return st.builds(CLASSES[schema["name"]], **parts)
    if kind == "enum":
        symbols: Any = CLASSES[schema["name"]]
        return st.sampled_from(list(symbols))
    if kind == "union":
        return st.none() | _of(branch_of(schema)[1])
    if kind == "array":
        return st.lists(_of(schema["items"]), max_size=3).map(tuple)
    if kind == "map":
        return st.dictionaries(_LEAVES["string"], _of(schema["values"]), max_size=3)
    return _LEAVES[kind]


def of_type(event: type[Event]) -> st.SearchStrategy[Any]:
    """Any value of one event."""
    return _of(expanded(newest(event.__name__).definition, {}))


def any_event() -> st.SearchStrategy[Any]:
    """Any value of any event."""
    return st.one_of([of_type(event) for event in EVENTS])


def as_dicts(value: Any) -> Any:
    """Return the same value as fastavro takes and gives it."""
    if is_dataclass(value):
        return {field.name: as_dicts(getattr(value, field.name)) for field in fields(value)}
    return [as_dicts(item) for item in value] if isinstance(value, tuple) else value
