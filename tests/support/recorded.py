"""Spans as an exporter gets them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from sluice.moderation import image_tracing
from sluice.stream import tracing


class Recorded:
    """The spans that have ended, in the order they began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0))

    def named(self, name: str) -> list[ReadableSpan]:
        """Return those of a name."""
        return [span for span in self if span.name == name]

    def under(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Return the children of a span."""
        return [span for span in self if span.parent and span.parent.span_id == id_of(parent)]


def id_of(span: ReadableSpan) -> int:
    """Return a span's own id."""
    assert span.context
    return int(span.context.span_id)


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch, sampler: Sampler = DEFAULT_ON) -> Iterator[Recorded]:
    """Record the consumer's tracing."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (tracing, image_tracing):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("sluice"))
    yield Recorded(exporter)
    provider.shutdown()
