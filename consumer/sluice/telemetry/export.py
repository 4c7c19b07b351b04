"""OpenTelemetry set-up: OTLP over HTTP, batch exporters only, so that a dead collector never slows the consumer."""

from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sluice.telemetry.exposition import Reader
from sluice.telemetry.metrics import Meter


def configure(version: str, worker: str, meter: Meter, *, otlp: bool, scraped: bool) -> None:
    """Export spans and metrics as the standard `OTEL_*` variables say; those win over what is given here.

    `otlp` sends them, `scraped` lets `exposition.text` tell the metrics; with neither nothing is collected.
    """
    resource = Resource.create({"service.name": "sluice", "service.version": version, "service.instance.id": worker})
    readers: list[MetricReader] = []
    if otlp:
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracers)
        readers.append(PeriodicExportingMetricReader(_Exporter(meter)))
    if scraped:
        readers.append(Reader(meter))
    if readers:
        metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=readers))
        meter.begin()


class _Exporter(OTLPMetricExporter):
    """Sends what the SDK collected together with what is counted in bulk."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._whole = meter.whole

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **options: Any
    ) -> MetricExportResult:
        return super().export(self._whole(metrics_data), timeout_millis, **options)
