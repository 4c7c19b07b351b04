"""A verdict to Avro bytes and back: the generated codec against fastavro on dicts, from event value to event value."""

import io
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import fastavro

from sluice_schemas import (
    Concept,
    Mode,
    ModelRef,
    PolicyRef,
    Source,
    Status,
    Timings,
    Verdict,
    decode,
    encode,
)
from sluice_schemas.released import newest
from tests.bench.measure import Ratio, side_by_side

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRAME_BYTES = 10


def ratios() -> Iterator[Ratio]:
    """Measure both directions; fastavro's share holds the step between value and dict, as any user of it needs."""
    verdict = _verdict()
    schema = fastavro.parse_schema(newest("Verdict").definition)
    data = encode(verdict)
    body = data[FRAME_BYTES:]

    def write() -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, _as_dict(verdict))
        return out.getvalue()

    def read() -> Verdict:
        return _from_dict(fastavro.schemaless_reader(io.BytesIO(body), schema, None))

    if write() != body or read() != verdict:
        raise AssertionError("the two ways do not say the same")
    yield side_by_side("write a verdict", {"fastavro": write, "sluice_schemas": lambda: encode(verdict)})
    yield side_by_side("read a verdict", {"fastavro": read, "sluice_schemas": lambda: decode(data, Verdict)})


def _verdict() -> Verdict:
    concepts = (Concept(f"sd.c{number:02}", 0.1, 0.2, 0.0, -0.1, fired=False) for number in range(1, 21))
    return Verdict(
        verdict_id=UUID(int=1),
        image_id="image-1",
        image_sha256="0" * 64,
        status=Status.ALLOW,
        concepts=tuple(concepts),
        reference_has_nsfw=False,
        coverage=1.0,
        policy=PolicyRef("balanced", 1, "0" * 64),
        models=tuple(ModelRef(role, "openai", "main", "0" * 64, "float16") for role in ("safety", "clip", "tower")),
        preprocess_digest="0" * 64,
        source=Source("images.generated.v1", 1, 42, NOW),
        timings_ms=Timings(1.0, 2.0, 3.0, 4.0, 5.0, 15.0),
        produced_at=NOW,
        mode=Mode.ENFORCE,
    )


def _as_dict(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _as_dict(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_as_dict(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _from_dict(found: Any) -> Verdict:
    nested = {
        "status": Status(found["status"]),
        "mode": Mode(found["mode"]),
        "reasons": tuple(found["reasons"]),
        "concepts": tuple(Concept(**concept) for concept in found["concepts"]),
        "opinions": tuple(found["opinions"]),
        "policy": PolicyRef(**found["policy"]),
        "models": tuple(ModelRef(**model) for model in found["models"]),
        "source": Source(**found["source"]),
        "timings_ms": Timings(**found["timings_ms"]),
    }
    return Verdict(**(found | nested))
