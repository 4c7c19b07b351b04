"""CloudEvents 1.0 on Kafka (binary mode) and W3C trace context, written and read back.

Specifications: CloudEvents "Kafka Protocol Binding" 1.0.2, section 3.2; W3C "Trace Context" level 1.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sluice_schemas.events import Control, DeadLetter, Event, Feedback, ImageGenerated, Quality, Verdict

Headers = tuple[tuple[str, bytes | None], ...]

CONTENT_TYPE = "application/avro"
SPEC_VERSION = "1.0"
SIGNATURE = "sluice-signature"
KEY_ID = "sluice-key-id"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE_MAX = 512  # what the specification asks everyone to pass on
_VALUE_MAX = 64 * 1024  # CloudEvents 1.0.2, "Size Limits": a larger event need not be passed on at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """W3C trace context, passed on as it came."""

    traceparent: str
    tracestate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """The CloudEvents attributes of one record. `causation_id` is the `id` of the event that led to this one."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str
    causation_id: str | None = None
    trace: Trace | None = None

    @classmethod
    def of(cls, event: Event, *, source: str, causation_id: str | None = None, trace: Trace | None = None) -> Self:
        """Return the attributes of an event; `source` is a URI reference that names who publishes it.

        The id follows from the event, so a repeated event has the same one.
        """
        name, own_id, time, subject = type(event).__name__, *_own(event)
        return cls(
            id=f"{name}:{own_id}",
            source=source,
            type=f"io.sluice.{name}.v1",
            time=time,
            subject=subject,
            causation_id=causation_id,
            trace=trace,
        )

    def headers(self) -> Headers:
        """Return the Kafka headers of this event."""
        pairs = [
            ("content-type", CONTENT_TYPE.encode()),
            ("ce_specversion", SPEC_VERSION.encode()),
            ("ce_id", self.id.encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", self.type.encode()),
            ("ce_time", self.time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
            ("ce_subject", self.subject.encode()),
        ]
        if self.causation_id is not None:
            pairs.append(("ce_causationid", self.causation_id.encode()))
        if self.trace:
            pairs.append(("traceparent", self.trace.traceparent.encode()))
            if self.trace.tracestate is not None:
                pairs.append(("tracestate", self.trace.tracestate.encode()))
        return tuple(pairs)


def read_cloud_event(headers: Iterable[tuple[str, bytes | None]]) -> CloudEvent | None:
    """Return the CloudEvents attributes in these headers; None if there are none or they break the specification.

    Headers come from strangers and are advice only, so bad ones are no error.
    """
    found = _texts(headers)
    try:
        time = datetime.fromisoformat(found["ce_time"])
        if found["ce_specversion"] != SPEC_VERSION or time.tzinfo is None:
            return None
        return CloudEvent(
            id=found["ce_id"],
            source=found["ce_source"],
            type=found["ce_type"],
            time=time.astimezone(UTC),
            subject=found.get("ce_subject", ""),
            causation_id=found.get("ce_causationid"),
            trace=_trace(found),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def read_trace(headers: Iterable[tuple[str, bytes | None]]) -> Trace | None:
    """Return the trace context in these headers; None if there is no valid one."""
    return _trace(_texts(headers))


def _trace(found: dict[str, str]) -> Trace | None:
    parent = found.get("traceparent", "")
    if not _TRACEPARENT.fullmatch(parent) or parent.startswith("ff"):
        return None
    state = found.get("tracestate")
    return Trace(traceparent=parent, tracestate=state if state and len(state) <= _TRACESTATE_MAX else None)


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return the headers that are text of a length worth passing on; of repeated ones the last, as Kafka clients do."""
    return {
        name: value.decode("utf-8", "replace")
        for name, value in headers
        if value is not None and len(value) <= _VALUE_MAX
    }


def _own(event: Event) -> tuple[str, datetime, str]:
    """Return an event's own id, its time and what it is about."""
    match event:
        case ImageGenerated():
            return event.image_id, event.created_at, event.image_id
        case Verdict() | Quality() | DeadLetter():
            return str(event.verdict_id), event.produced_at, event.image_id
        case Feedback():
            return str(event.feedback_id), event.at, event.image_id
        case Control():
            key = f"{event.kind}/{event.key}"
            return f"{key}@{event.version}", event.issued_at, key
