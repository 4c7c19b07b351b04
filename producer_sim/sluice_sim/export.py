"""OpenTelemetry set-up of the simulator's own spans: OTLP over HTTP, as the standard `OTEL_*` variables say."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


@contextmanager
def exporting() -> Iterator[None]:
    """Export spans until the block ends, which waits for the last ones."""
    tracers = TracerProvider(
        resource=Resource.create({"service.name": "sluice-sim"}).merge(OTELResourceDetector().detect())
    )
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    try:
        yield
    finally:
        tracers.shutdown()
