"""Bodies of writer schemas, by an independent writer, and what the consumer makes of them."""

import copy
import io
from typing import Any

import fastavro
import pytest

from sluice_schemas import Event, ImageGenerated, WireError
from sluice_schemas.released import newest
from sluice_schemas.wire import Frame, decode_body, decoder_for
from tests.unit.schemas_pairs import plain
from tests.unit.schemas_strategies import IMAGE, as_dicts


def parsed(schema: Any, named: dict[str, Any] | None = None) -> Any:
    """Return a schema as fastavro wants it."""
    return fastavro.parse_schema(plain(schema), named, _write_hint=named is None)


def written(schema: Any, value: Any) -> bytes:
    """Return a value in a schema, by an independent writer."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), value)
    return out.getvalue()


def read(schema: Any, body: bytes, event: type[Event]) -> Any:
    """Return the event in a body, or raise what the consumer would see."""
    return decode_body(Frame(0, body, 0), event, decoder_for(schema, event))


def refused(schema: Any, body: bytes, event: type[Event] = ImageGenerated) -> str:
    """Why a body of this schema is refused."""
    with pytest.raises(WireError) as caught:
        read(schema, body, event)
    return caught.value.reason


BODY = written(newest("ImageGenerated").definition, as_dicts(IMAGE))


def typed(path: str, kind: Any, event: str = "ImageGenerated") -> dict[str, Any]:
    """Return a released schema with one field, perhaps of a record in it, of another type."""
    schema = copy.deepcopy(newest(event).definition)
    at = schema
    *outer, name = path.split(".")
    for part in outer:
        at = next(field for field in at["fields"] if field["name"] == part)["type"]
    next(field for field in at["fields"] if field["name"] == name)["type"] = kind
    return schema


def image(path: str, value: Any) -> dict[str, Any]:
    """Return an image's fields, one of them with another value."""
    record: Any = plain(as_dicts(IMAGE) | {"created_at": None}) | {"created_at": IMAGE.created_at}
    at = record
    *outer, name = path.split(".")
    for part in outer:
        at = at[part]
    at[name] = value
    return record  # type: ignore[no-any-return]
