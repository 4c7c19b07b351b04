"""Trace context of a batch: one `process` span, linked to every record's creation context.

OpenTelemetry semantic conventions for messaging; without an SDK configured all of this is a no-op.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sluice.core.domain import Batch, Record

_tracer = trace.get_tracer("sluice")
_propagator = TraceContextTextMapPropagator()
TRACE_HEADERS = ("traceparent", "tracestate")


@contextmanager
def process_span(batch: Batch) -> Iterator[Span]:
    """Open the span of one batch; what differs by record stands on the links.

    Of an error it says the class and no more: a message or a traceback may quote what a stranger sent, a line of a
    store's reply among it.
    """
    topic = batch.records[0].partition.topic
    opened = _tracer.start_as_current_span(
        f"process {topic}",
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.batch.message_count": len(batch.records),
        },
        record_exception=False,
        set_status_on_exception=False,
    )
    with opened as span, ExitStack() as leaving:
        leaving.push(lambda kind, _error, _trace: _blame(span, kind))
        if span.is_recording():  # samplers see no links: to read them costs more than to judge
            _link(span, batch)
        yield span


def _blame(span: Span, kind: type[BaseException] | None) -> None:
    if kind:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", kind.__qualname__)


def _link(span: Span, batch: Batch) -> None:
    for record in batch.records:
        context = _context(record)
        if context.is_valid:
            place: dict[str, str | int] = {
                "messaging.destination.partition.id": str(record.partition.index),
                "messaging.kafka.offset": record.offset,
            }
            span.add_link(context, place)


def _context(record: Record) -> SpanContext:
    carrier = {
        name: value.decode("ascii", "replace") for name, value in record.headers if name in TRACE_HEADERS and value
    }
    return trace.get_current_span(_propagator.extract(carrier)).get_span_context()
