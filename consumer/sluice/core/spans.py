"""Traces: a span for each batch, and one image's own trace where its producer's is recorded.

The batch's `process` span is linked to every record's creation context. An image whose record says that its trace is
sampled gets a `process` span of its own besides, a child of that context and linked to the batch's; its stages are
children of it, and so are the `send` spans of what is published for it, whose contexts go into the outputs' headers.
All others pass on the context they came with, and cost a look at their headers.

OpenTelemetry semantic conventions for messaging; without an SDK configured all of this is a no-op. Of an error a span
says the class or our own code and no more: a message or a traceback may quote what a stranger sent. A stranger's
`tracestate` is passed on in headers and never put on a span.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sluice.core.domain import Batch, Headers, Message, Offsets, Outcome, Record
from sluice.core.errors import Rejection
from sluice_schemas import Trace, read_trace
from sluice_schemas.headers import TRACEPARENT

A = TypeVar("A")
B = TypeVar("B")
Attributes = dict[str, str | int]

_tracer = trace.get_tracer("sluice")
_propagator = TraceContextTextMapPropagator()


@contextmanager
def process_span(batch: Batch) -> Iterator[Span]:
    """Open the span of one batch; what differs by record stands on the links."""
    topic = batch.records[0].partition.topic
    attributes = _operation("process", "process", topic) | {"messaging.batch.message_count": len(batch.records)}
    with _current(f"process {topic}", SpanKind.CONSUMER, attributes) as span:
        if span.is_recording():  # samplers see no links: to read them costs more than to judge
            _link(span, batch)
        yield span


def polled(topic: str, records: int, began_ns: int) -> None:
    """Report a poll that brought records; `began_ns` since the epoch.

    It is not linked to them: the batch's span is, and says more.
    """
    attributes = _operation("poll", "receive", topic) | {"messaging.batch.message_count": records}
    _tracer.start_span(f"poll {topic}", kind=SpanKind.CLIENT, attributes=attributes, start_time=began_ns).end()


@contextmanager
def landing_spans(messages: Sequence[Message], offsets: Offsets) -> Iterator[Sequence[Message]]:
    """Open the `commit` span of one transaction, and a `send` span for each message of a traced image.

    Yields the messages to publish: those of traced images name their `send` span as the context they come from, all
    others are as they were.
    """
    topic = next((place.topic for place in offsets), "")
    attributes = _operation("commit", "settle", topic) | {"sluice.landing.messages": len(messages)}
    with ExitStack() as stack:
        commit = stack.enter_context(_current(f"commit {topic}", SpanKind.CLIENT, attributes))
        links = _links(commit)
        yield [_sent(message, links, stack) if message.traced else message for message in messages]


class ImageSpan:
    """The `process` span of one image, and those of its stages.

    One stage at a time is entered, by whichever thread; those laid over futures end with these, in their own time.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._under = trace.set_span_in_context(span)
        self._stage: Span | None = None

    def over(self, stage: str, step: Callable[[A], Future[B]]) -> Callable[[A], Future[B]]:
        """Return `step` as a stage that lasts until its future is done."""

        def watched(value: A) -> Future[B]:
            span = _tracer.start_span(stage, self._under)
            with ExitStack() as stack:
                stack.push(lambda _kind, error, _trace: _end(span, error))
                future = step(value)
                stack.pop_all()  # from here on it ends with the future
            future.add_done_callback(lambda done: _end(span, None if done.cancelled() else done.exception()))
            return future

        return watched

    def enter(self, stage: str, at: datetime | None = None) -> None:
        """Begin a stage, now unless it was before; the one entered last ends."""
        at_ns = int(at.timestamp() * 1e9) if at else None
        self.leave(at_ns)
        self._stage = _tracer.start_span(stage, self._under, start_time=at_ns)

    def conclude(self, outcome: Outcome, failure: Rejection | None) -> Outcome:
        """Say what became of the image, and return the outcome with its messages as those of a traced image."""
        self.leave()
        self._span.set_attribute("sluice.verdict.id", str(outcome.verdict.verdict_id))
        self._span.set_attribute("sluice.verdict.status", outcome.verdict.status)
        _blame(self._span, failure)
        return replace(outcome, messages=tuple(_named(message, self._span) for message in outcome.messages))

    def end(self, error: BaseException | None) -> None:
        """End the span, and the stage under way with it; an error is what stopped the whole batch."""
        self.leave(error=error)
        _end(self._span, error)

    def leave(self, at_ns: int | None = None, error: BaseException | None = None) -> None:
        """End the stage that was entered last, if it has not ended."""
        stage, self._stage = self._stage, None
        if stage:
            _end(stage, error, at_ns)


@contextmanager
def image_spans(batch: Batch, of_batch: Span, *, wanted: bool) -> Iterator[Sequence[ImageSpan | None]]:
    """Open a span for each record whose trace is sampled, if they are wanted; yields one or None for each, in order."""
    if not wanted:
        yield [None] * len(batch.records)
        return
    links = _links(of_batch)
    with ExitStack() as stack:
        yield [_image_span(record, links, stack) for record in batch.records]


def _image_span(record: Record, links: Sequence[Link], stack: ExitStack) -> ImageSpan | None:
    found = read_trace(record.headers)
    if found is None or not found.sampled:
        return None
    origin = _context(found)
    topic = record.partition.topic
    attributes = _operation("process", "process", topic) | _place(record)
    span = _tracer.start_span(f"process {topic}", _after(origin), SpanKind.CONSUMER, attributes, links)
    if not span.is_recording():
        return None
    image = ImageSpan(span)
    stack.push(lambda _kind, error, _trace: image.end(error))
    return image


def _sent(message: Message, links: Sequence[Link], stack: ExitStack) -> Message:
    attributes, under = _operation("send", "send", message.topic), _after(_origin(message.headers))
    span = _tracer.start_span(f"send {message.topic}", under, SpanKind.PRODUCER, attributes, links)
    stack.push(lambda _kind, error, _trace: _end(span, error))
    return _named(message, span)


@contextmanager
def _current(name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
    opened = _tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    with opened as span, ExitStack() as leaving:
        leaving.push(lambda _kind, error, _trace: _blame(span, error))
        yield span


def _end(span: Span, error: BaseException | None, at_ns: int | None = None) -> None:
    _blame(span, error)
    span.end(at_ns)


def _blame(span: Span, error: BaseException | None) -> None:
    if error:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", error.reason if isinstance(error, Rejection) else type(error).__qualname__)


def _operation(name: str, kind: str, topic: str) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
    }


def _place(record: Record) -> Attributes:
    return {
        "messaging.destination.partition.id": str(record.partition.index),
        "messaging.kafka.offset": record.offset,
    }


def _link(span: Span, batch: Batch) -> None:
    for record in batch.records:
        origin = _origin(record.headers)
        if origin.is_valid:
            span.add_link(origin, _place(record))


def _links(span: Span) -> tuple[Link, ...]:
    """Return a link to a span that is recorded; one to what nobody will find helps nobody."""
    return (Link(span.get_span_context()),) if span.is_recording() else ()


def _origin(headers: Headers) -> SpanContext:
    """Return the context that these headers name, its trace state aside; an invalid one if they name none."""
    found = read_trace(headers)
    return _context(found) if found else trace.INVALID_SPAN_CONTEXT


def _context(found: Trace) -> SpanContext:
    flags = TraceFlags(found.flags)
    return SpanContext(int(found.trace_id, 16), int(found.span_id, 16), is_remote=True, trace_flags=flags)


def _after(origin: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(origin))


def _named(message: Message, span: Span) -> Message:
    """Return the message with this span as the context it comes from."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    kept = (header for header in message.headers if header[0] != TRACEPARENT)
    return replace(message, headers=(*kept, (TRACEPARENT, carrier[TRACEPARENT].encode())), traced=True)
