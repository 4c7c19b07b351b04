"""The span of a batch, as an exporter gets it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from sluice.core import spans
from sluice.core.domain import Batch, FillReason, Partition, Record
from sluice.core.errors import DependencyDown

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
BATCH = Batch(
    (
        Record(Partition("images", 3), 7, 0, b"k", b"v", (("traceparent", PARENT.encode()), ("baggage", b"hidden"))),
        Record(Partition("images", 3), 8, 0, b"k", b"v", (("traceparent", b"hidden"),)),
    ),
    FillReason.COUNT,
    0.0,
)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("sluice"))
    yield exporter
    provider.shutdown()


def test_a_batch_is_one_span_with_a_link_to_each_record_that_has_a_context(exported: InMemorySpanExporter) -> None:
    with spans.process_span(BATCH):
        pass
    (span,) = exported.get_finished_spans()
    assert (span.name, span.status.status_code) == ("process images", StatusCode.UNSET)
    (link,) = span.links
    assert f"{link.context.trace_id:x}" == "a" * 32
    assert dict(link.attributes or {}) == {"messaging.destination.partition.id": "3", "messaging.kafka.offset": 7}


class Unread(tuple[tuple[str, bytes], ...]):
    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        raise AssertionError("read in vain")


def test_trace_contexts_are_read_only_for_a_span_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = replace(BATCH, records=tuple(replace(record, headers=Unread()) for record in BATCH.records))
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("sluice"))
    with spans.process_span(unread) as span:
        assert not span.is_recording()
    provider.shutdown()


def test_of_an_error_a_span_has_the_class_and_nothing_it_says(exported: InMemorySpanExporter) -> None:
    with pytest.raises(DependencyDown), spans.process_span(BATCH):
        fail()
    (span,) = exported.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "DependencyDown"
    assert "hidden" not in span.to_json()


def fail() -> None:
    raise DependencyDown("http://store", "hidden") from ValueError("illegal header line: hidden")
