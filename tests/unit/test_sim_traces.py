"""The simulator starts the trace of every event it sends, where an SDK records it."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from sluice_sim import traces

HEADERS = (("ce_id", b"1"), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), ("tracestate", b"v=1"))


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("sluice_sim"))
    yield exporter
    provider.shutdown()


def test_an_event_names_the_span_that_sends_it(exported: InMemorySpanExporter) -> None:
    sending = traces.started("images")
    headers = traces.naming(sending, HEADERS)
    traces.ended(sending, None)
    (span,) = exported.get_finished_spans()
    assert span.context
    assert headers == (
        ("ce_id", b"1"),
        ("traceparent", f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-03".encode()),
    )
    assert (span.name, span.kind, span.parent) == ("send images", SpanKind.PRODUCER, None)
    assert span.status.status_code is StatusCode.UNSET


def test_a_refused_event_is_an_error(exported: InMemorySpanExporter) -> None:
    traces.ended(traces.started("images"), "_MSG_TIMED_OUT")
    (span,) = exported.get_finished_spans()
    assert (span.status.status_code, dict(span.attributes or {})["error.type"]) == (StatusCode.ERROR, "_MSG_TIMED_OUT")


def test_without_an_sdk_an_event_keeps_the_context_it_has() -> None:
    sending = traces.started("images")
    assert traces.naming(sending, HEADERS) == HEADERS
    traces.ended(sending, None)
