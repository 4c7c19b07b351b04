"""Traces of the loop: a span for each poll, batch and commit, and one for each message of a traced record.

The batch's `process` span is linked to every record's creation context. A message that is `traced` names the span it
comes from; it gets a `send` span, whose context goes into its headers. All others pass on the context they came with,
and cost a look at their headers.

OpenTelemetry semantic conventions for messaging; without an SDK configured all of this is a no-op. Of an error a span
says the class or our own code and no more: a message or a traceback may quote what a stranger sent. A stranger's
`tracestate` is passed on in headers and never put on a span.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sluice.core.errors import Rejection
from sluice.core.records import Headers, Message, Offsets, Record
from sluice.stream.batch import Batch
from sluice_schemas import Trace, read_trace
from sluice_schemas.headers import TRACEPARENT

Attributes = dict[str, str | int]

tracer = trace.get_tracer("sluice")
_propagator = TraceContextTextMapPropagator()


@contextmanager
def process_span(batch: Batch) -> Iterator[Span]:
    """Open the span of one batch; what differs by record stands on the links."""
    topic = batch.records[0].partition.topic
    attributes = operation("process", "process", topic) | {"messaging.batch.message_count": len(batch.records)}
    with _current(f"process {topic}", SpanKind.CONSUMER, attributes) as span:
        if span.is_recording():  # samplers see no links: to read them costs more than to judge
            _link(span, batch)
        yield span


def poll_span(topic: str, records: int, began_ns: int) -> None:
    """Report a poll that brought records; `began_ns` since the epoch.

    It is not linked to them: the batch's span is, and says more.
    """
    attributes = operation("poll", "receive", topic) | {"messaging.batch.message_count": records}
    tracer.start_span(f"poll {topic}", kind=SpanKind.CLIENT, attributes=attributes, start_time=began_ns).end()


@contextmanager
def commit_spans(messages: Sequence[Message], offsets: Offsets) -> Iterator[Sequence[Message]]:
    """Open the `commit` span of one transaction, and a `send` span for each message of a traced image.

    Yields the messages to publish: those of traced images name their `send` span as the context they come from, all
    others are as they were.
    """
    topic = next((place.topic for place in offsets), "")
    attributes = operation("commit", "settle", topic) | {"sluice.commit.messages": len(messages)}
    with ExitStack() as stack:
        commit = stack.enter_context(_current(f"commit {topic}", SpanKind.CLIENT, attributes))
        links = links_to(commit)
        yield [_sent(message, links, stack) if message.traced else message for message in messages]


def _sent(message: Message, links: Sequence[Link], stack: ExitStack) -> Message:
    attributes, context = operation("send", "send", message.topic), parent_context(_origin(message.headers))
    span = tracer.start_span(f"send {message.topic}", context, SpanKind.PRODUCER, attributes, links)
    stack.push(lambda _kind, error, _trace: end_span(span, error))
    return sent_under(message, span)


@contextmanager
def _current(name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
    opened = tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    with opened as span, ExitStack() as leaving:
        leaving.push(lambda _kind, error, _trace: mark_error(span, error))
        yield span


def end_span(span: Span, error: BaseException | None, at_ns: int | None = None) -> None:
    """End a span, now or at a time in nanoseconds since the epoch; an error is marked."""
    mark_error(span, error)
    span.end(at_ns)


def mark_error(span: Span, error: BaseException | None) -> None:
    """Mark a span with the class or the reason of an error, if there is one."""
    if error:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", error.reason if isinstance(error, Rejection) else type(error).__qualname__)


def operation(name: str, kind: str, topic: str) -> Attributes:
    """Return the attributes of an operation on a topic."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
    }


def place_of(record: Record) -> Attributes:
    """Return the attributes that say where a record stands."""
    return {
        "messaging.destination.partition.id": str(record.partition.index),
        "messaging.kafka.offset": record.offset,
    }


def _link(span: Span, batch: Batch) -> None:
    for record in batch.records:
        origin = _origin(record.headers)
        if origin.is_valid:
            span.add_link(origin, place_of(record))


def links_to(span: Span) -> tuple[Link, ...]:
    """Return a link to a span that is recorded; one to a span that is not recorded leads nowhere."""
    return (Link(span.get_span_context()),) if span.is_recording() else ()


def _origin(headers: Headers) -> SpanContext:
    """Return the context that these headers name, its trace state aside; an invalid one if they name none."""
    found = read_trace(headers)
    return span_context(found) if found else trace.INVALID_SPAN_CONTEXT


def span_context(found: Trace) -> SpanContext:
    """Return the remote context that a record names."""
    flags = TraceFlags(found.flags)
    return SpanContext(int(found.trace_id, 16), int(found.span_id, 16), is_remote=True, trace_flags=flags)


def parent_context(origin: SpanContext) -> Context:
    """Return a context in which new spans are children of `origin`."""
    return trace.set_span_in_context(trace.NonRecordingSpan(origin))


def sent_under(message: Message, span: Span) -> Message:
    """Return the message with this span as the context it comes from; it is traced from then on."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    kept = (header for header in message.headers if header[0] != TRACEPARENT)
    return replace(message, headers=(*kept, (TRACEPARENT, carrier[TRACEPARENT].encode())), traced=True)
