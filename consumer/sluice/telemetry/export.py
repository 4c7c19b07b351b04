"""OpenTelemetry set-up: OTLP over HTTP, batch exporters only, so that a dead collector never slows the consumer."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
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
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sluice.core.deadline import Deadline
from sluice.settings import Telemetry
from sluice.telemetry.exposition import Reader
from sluice.telemetry.metrics import Meter

LEAVE_WITHIN_S = 5.0
"""How long leaving may wait for what is left to be sent; two exporters that try again would take fourteen seconds."""


@contextmanager
def exporting(telemetry: Telemetry, version: str, worker: str, meter: Meter) -> Iterator[None]:
    """Export spans and metrics as the standard `OTEL_*` variables say; those win over what is given here.

    With a port for scrapes `exposition.text` tells the metrics; with neither that nor OTLP nothing is collected.
    Leaving the block sends what is left, for `LEAVE_WITHIN_S` at most.
    """
    resource = _resource(version, worker)
    readers: list[MetricReader] = []
    ends: list[Callable[[], None]] = []
    if telemetry.otlp:
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracers)
        ends.append(tracers.shutdown)
    if telemetry.otlp and telemetry.otlp_metrics:
        readers.append(PeriodicExportingMetricReader(_Exporter(meter)))
    if telemetry.http_port is not None:
        readers.append(Reader(meter))
    if readers:
        meters = MeterProvider(resource=resource, metric_readers=readers, shutdown_on_exit=False)
        metrics.set_meter_provider(meters)
        meter.begin()
        ends.append(meters.shutdown)
    try:
        yield
    finally:
        _end(ends, Deadline.after(LEAVE_WITHIN_S, time.monotonic))


def _resource(version: str, worker: str) -> Resource:
    ours = Resource.create({"service.name": "sluice", "service.version": version, "service.instance.id": worker})
    return ours.merge(OTELResourceDetector().detect())  # alone, what is given to `create` wins over the variables


def _end(ends: Iterable[Callable[[], None]], deadline: Deadline) -> None:
    """End all at once, and wait for none beyond the deadline: a dead collector keeps no process from leaving."""
    ending = [Thread(target=end, name="telemetry-ends", daemon=True) for end in ends]
    for thread in ending:
        thread.start()
    for thread in ending:
        thread.join(deadline.remaining_s)


class _Exporter(OTLPMetricExporter):
    """Sends what the SDK collected together with what is counted in bulk."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._whole = meter.whole

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **options: Any
    ) -> MetricExportResult:
        return super().export(self._whole(metrics_data), timeout_millis, **options)
