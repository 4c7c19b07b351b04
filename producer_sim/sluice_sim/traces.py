"""A trace for every event: it starts with the span that sends the event, whose context travels in the record's headers.

Without an SDK configured there are no spans, and events keep the context they have.
"""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sluice_schemas.headers import Headers

_tracer = trace.get_tracer("sluice_sim")
_propagator = TraceContextTextMapPropagator()


def started(topic: str) -> Span:
    """Start the trace of one event; `ended` ends its span."""
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
    }
    return _tracer.start_span(f"send {topic}", Context(), SpanKind.PRODUCER, attributes)


def naming(span: Span, headers: Headers) -> Headers:
    """Return headers that name this span as the context of the event, if it has one to name."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    kept = (header for header in headers if header[0] not in _propagator.fields)
    return (*kept, *((name, text.encode()) for name, text in carrier.items())) if carrier else headers


def ended(span: Span, error: str | None) -> None:
    """End the span: the event is acknowledged, or refused for the reason that `error` names."""
    if error:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", error)
    span.end()
