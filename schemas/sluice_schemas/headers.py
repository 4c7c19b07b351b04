"""CloudEvents 1.0 on Kafka (binary mode) and W3C trace context, written and read back; how repeated headers count.

Kafka allows a header any number of times, and null as its value; names are compared byte for byte. Two rules, each in
one function: of a header that is advice the last *valid* one counts (`last`), and a header that decides what a message
says or whether it is believed stands once, or the message is refused (`only`).
Specifications: CloudEvents "Kafka Protocol Binding" 1.0.2, section 3.2; W3C "Trace Context" level 1.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self, TypeVar

from sluice_schemas.errors import WireError
from sluice_schemas.events import Control, DeadLetter, Event, Feedback, ImageGenerated, Quality, Verdict

T = TypeVar("T")
Headers = tuple[tuple[str, bytes | None], ...]
AnyHeaders = Iterable[tuple[str, bytes | None]]

CONTENT_TYPE = "application/avro"
SPEC_VERSION = "1.0"
SIGNATURE = "sluice-signature"
KEY_ID = "sluice-key-id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

# Version 00 has four fields and no more; of a later one these four come first. Zeros name no trace, ff is no version.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_TRACESTATE = re.compile(rb"[ -~]{1,512}")  # what the specification asks everyone to pass on
_VERSION = b"00"
_SAMPLED = 0x01
_ATTRIBUTES = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_causationid")
_VALUE_MAX = 64 * 1024  # CloudEvents 1.0.2, "Size Limits": a larger event need not be passed on at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """W3C trace context, as it is passed on: in version 00, the one that is known here."""

    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        """The id of the trace, 32 hexadecimal digits."""
        return self.traceparent.split("-")[1]

    @property
    def span_id(self) -> str:
        """The id of the span that led here, 16 hexadecimal digits."""
        return self.traceparent.split("-")[2]

    @property
    def flags(self) -> int:
        """The trace's flags, a byte."""
        return int(self.traceparent.split("-")[3], 16)

    @property
    def sampled(self) -> bool:
        """Whether the trace is recorded."""
        return bool(self.flags & _SAMPLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """The CloudEvents attributes of one record. `causation_id` is the `id` of the event that led to this one."""

    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str = ""
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
        ]
        if self.time is not None:
            pairs.append(("ce_time", self.time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()))
        pairs.append(("ce_subject", self.subject.encode()))
        if self.causation_id is not None:
            pairs.append(("ce_causationid", self.causation_id.encode()))
        if self.trace:
            pairs.append(("traceparent", self.trace.traceparent.encode()))
            if self.trace.tracestate is not None:
                pairs.append(("tracestate", self.trace.tracestate.encode()))
        return tuple(pairs)


def read_cloud_event(headers: AnyHeaders) -> CloudEvent | None:
    """Return the CloudEvents attributes in these headers; None if there are none or they break the specification.

    Headers come from strangers and are advice only, so bad ones are no error. Of repeated ones the last valid counts.
    """
    given = tuple(headers)
    found = {name: value for name in _ATTRIBUTES if (value := last(given, name, _text)) is not None}
    time = last(given, "ce_time", _moment)
    timeless = time is None and any(name == "ce_time" and value is not None for name, value in given)
    if timeless or found.get("ce_specversion") != SPEC_VERSION:
        return None
    try:
        return CloudEvent(
            id=found["ce_id"],
            source=found["ce_source"],
            type=found["ce_type"],
            time=time,
            subject=found.get("ce_subject", ""),
            causation_id=found.get("ce_causationid"),
            trace=read_trace(given),
        )
    except KeyError:
        return None


def read_event_id(headers: AnyHeaders) -> str | None:
    """Return the `ce_id` of these headers, whatever else they say; None if there is none to read."""
    return last(headers, "ce_id", lambda value: _text(value) or None)


def read_trace(headers: AnyHeaders) -> Trace | None:
    """Return the trace context in these headers, of several the last valid one; None if there is none.

    This function alone decides which trace a record belongs to: for logs, spans and outputs alike.
    """
    given = tuple(headers)
    parent = last(given, TRACEPARENT, _parent)
    return Trace(traceparent=parent, tracestate=last(given, TRACESTATE, _state)) if parent else None


def last(headers: AnyHeaders, name: str, read: Callable[[bytes], T | None]) -> T | None:
    """Return what the last valid header of this name says; `read` returns None for what is not valid."""
    for own, value in reversed(tuple(headers)):
        if own == name and value is not None and len(value) <= _VALUE_MAX:
            found = read(value)
            if found is not None:
                return found
    return None


def only(headers: AnyHeaders, name: str) -> bytes | None:
    """Return the value of a header that may stand once; None if it is absent or null.

    WireError `repeated_header` if it stands twice, be it with null: readers would differ in which of them counts.
    """
    values = [value for own, value in headers if own == name]
    if len(values) > 1:
        raise WireError("repeated_header", f"header {name} stands {len(values)} times, and may stand once")
    return values[0] if values else None


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _moment(value: bytes) -> datetime | None:
    """Return the moment in RFC 3339; one without its zone is none."""
    try:
        moment = datetime.fromisoformat(value.decode())
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _parent(value: bytes) -> str | None:
    """Return a `traceparent` in version 00; of a later version no flag is known but the sampled one."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == _VERSION:
        return None if more else value.decode()
    return f"00-{trace.decode()}-{span.decode()}-{int(flags, 16) & _SAMPLED:02x}"


def _state(value: bytes) -> str | None:
    return value.decode() if _TRACESTATE.fullmatch(value) else None


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
