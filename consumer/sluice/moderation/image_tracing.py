"""Traces of images: a span for each image whose producer records its trace, with its stages as children.

It is a child of the record's creation context and linked to the batch's span. `sluice.stream.tracing` sends what is
published for it under spans of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind

from sluice.core.errors import Rejection
from sluice.core.records import Record
from sluice.moderation.values import Judgement
from sluice.stream.batch import Batch
from sluice.stream.tracing import (
    end_span,
    links_to,
    mark_error,
    operation,
    parent_context,
    place_of,
    sent_under,
    span_context,
    tracer,
)
from sluice_schemas import read_trace

A = TypeVar("A")
B = TypeVar("B")


class ImageSpan:
    """The `process` span of one image, and those of its stages.

    One stage at a time is entered, by whichever thread; those laid over futures end with these, in their own time.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._context = trace.set_span_in_context(span)
        self._stage: Span | None = None

    def over(self, stage: str, step: Callable[[A], Future[B]]) -> Callable[[A], Future[B]]:
        """Return `step` as a stage that lasts until its future is done."""

        def watched(value: A) -> Future[B]:
            span = tracer.start_span(stage, self._context)
            with ExitStack() as stack:
                stack.push(lambda _kind, error, _trace: end_span(span, error))
                future = step(value)
                stack.pop_all()  # from here on it ends with the future
            future.add_done_callback(lambda done: end_span(span, None if done.cancelled() else done.exception()))
            return future

        return watched

    def enter(self, stage: str, at: datetime | None = None) -> None:
        """Begin a stage, now unless it was before; the one entered last ends."""
        at_ns = int(at.timestamp() * 1e9) if at else None
        self.leave(at_ns)
        self._stage = tracer.start_span(stage, self._context, start_time=at_ns)

    def conclude(self, outcome: Judgement, failure: Rejection | None) -> Judgement:
        """Say what became of the image, and return the outcome with its messages as those of a traced image."""
        self.leave()
        self._span.set_attribute("sluice.verdict.id", str(outcome.verdict.verdict_id))
        self._span.set_attribute("sluice.verdict.status", outcome.verdict.status)
        mark_error(self._span, failure)
        return replace(outcome, messages=tuple(sent_under(message, self._span) for message in outcome.messages))

    def end(self, error: BaseException | None) -> None:
        """End the span, and the stage under way with it; an error is what stopped the whole batch."""
        self.leave(error=error)
        end_span(self._span, error)

    def leave(self, at_ns: int | None = None, error: BaseException | None = None) -> None:
        """End the stage that was entered last, if it has not ended."""
        stage, self._stage = self._stage, None
        if stage:
            end_span(stage, error, at_ns)


@contextmanager
def image_spans(batch: Batch, of_batch: Span, *, wanted: bool) -> Iterator[Sequence[ImageSpan | None]]:
    """Open a span for each record whose trace is sampled, if they are wanted; yields one or None for each, in order."""
    if not wanted:
        yield [None] * len(batch.records)
        return
    links = links_to(of_batch)
    with ExitStack() as stack:
        yield [_image_span(record, links, stack) for record in batch.records]


def _image_span(record: Record, links: Sequence[Link], stack: ExitStack) -> ImageSpan | None:
    found = read_trace(record.headers)
    if found is None or not found.sampled:
        return None
    origin = span_context(found)
    topic = record.partition.topic
    attributes = operation("process", "process", topic) | place_of(record)
    span = tracer.start_span(f"process {topic}", parent_context(origin), SpanKind.CONSUMER, attributes, links)
    if not span.is_recording():
        return None
    image = ImageSpan(span)
    stack.push(lambda _kind, error, _trace: image.end(error))
    return image
