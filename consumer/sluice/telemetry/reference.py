"""The reference of all metrics, made from the table of their meanings."""

from collections.abc import Iterator

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from sluice.telemetry.catalogue import METRICS, Labels, MetricSpec

HEAD = """\
# Metrics

Made by `sluice config metrics`; a test keeps it in step with the code.

`telemetry.otlp` sends them by OTLP/HTTP, as OpenTelemetry's `OTEL_*` variables say (every minute, unless
`OTEL_METRIC_EXPORT_INTERVAL` says otherwise). `telemetry.http_port` serves them at `/metrics` as Prometheus text, read
at each scrape, without exemplars. Both may be on. Which replica a series is of stands in `target_info`
(`service_instance_id` is the transactional id) and in the scrape's own `instance`.

- **The objective is `sluice_event_age_seconds`**: of every image, from its record's timestamp to the commit of its
  verdict; 99 % under 10 s unless you say otherwise.
- **Lag** is reported by the member that owns the partition. Of a partition without an owner `sluice lag` tells it.
  End offsets are asked for every `telemetry.lag_every_s`, in passing; brokers that do not answer leave the last value.
  They count what is no record, too: where a transactional producer writes the images, its commit markers are in the
  lag until reading has passed them.
- **Lag in seconds** is the age of the oldest record that was read and has not landed. Where all that waits is unread,
  it counts from the timestamp of what landed last, or from when nothing waited last, whichever is later.
- **Time to drain** is told after ten seconds of the same assignment.
- Counters whose labels are known beforehand stand at 0 from the start. Gauges of partitions that left are told no more.

Dots in label names become underscores for Prometheus.
"""


def markdown() -> str:
    """Return the reference as Markdown."""
    return "\n".join([HEAD, *_metrics(), "", *_buckets(), ""])


def prometheus_name(name: str, meaning: MetricSpec) -> str:
    """Return what Prometheus calls a metric, as the reader itself names it."""
    registry = CollectorRegistry()
    provider = MeterProvider(
        [PrometheusMetricReader(registry=registry, disable_target_info=True)], shutdown_on_exit=False
    )
    meter = provider.get_meter("sluice")
    if meaning.kind == "counter":
        meter.create_counter(name, meaning.unit).add(1)
    elif meaning.kind == "gauge":
        meter.create_gauge(name, meaning.unit).set(1)
    else:
        meter.create_histogram(name, meaning.unit).record(1)
    (family,) = registry.collect()
    provider.shutdown()
    return f"{family.name}_total" if meaning.kind == "counter" else family.name


def _metrics() -> Iterator[str]:
    yield "| Prometheus | OpenTelemetry | Kind | Unit | Labels | What |"
    yield "|---|---|---|---|---|---|"
    for name, meaning in METRICS.items():
        cells = (
            f"`{prometheus_name(name, meaning)}`",
            f"`{name}`",
            meaning.kind,
            f"`{meaning.unit}`",
            _labels(meaning.labels),
            meaning.text,
        )
        yield "| " + " | ".join(cells) + " |"


def _labels(labels: Labels) -> str:
    return "; ".join(
        f"`{label}`" + (f": {', '.join(f'`{value}`' for value in values)}" if values else "")
        for label, values in labels.items()
    )


def _buckets() -> Iterator[str]:
    yield "| Histogram | Upper bounds of its buckets |"
    yield "|---|---|"
    for name, meaning in METRICS.items():
        if meaning.buckets:
            yield f"| `{name}` | {' '.join(f'{bound:g}' for bound in meaning.buckets)} |"
