"""`/metrics` for sites that scrape: the SDK's collection as Prometheus text."""

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sluice.telemetry.metrics import Meter

CONTENT_TYPE: str = CONTENT_TYPE_PLAIN_0_0_4
_REGISTRY = CollectorRegistry()


class Reader(PrometheusMetricReader):
    """Collects at each scrape; what is counted in bulk included."""

    def __init__(self, meter: Meter, registry: CollectorRegistry = _REGISTRY) -> None:
        super().__init__(scope_info_enabled=False, registry=registry)
        self._whole = meter.whole

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: object) -> None:
        super()._receive_metrics(self._whole(metrics_data), timeout_millis, **options)


def text() -> bytes:
    """Return every metric as Prometheus text, of the kind `CONTENT_TYPE` says; nothing before the set-up."""
    return generate_latest(_REGISTRY)
