"""Numbers for those who watch: one name and one meaning each, on `/metrics` and by OTLP."""

import ast
import math
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once
from prometheus_client.parser import text_string_to_metric_families

from sluice.core.metrics import Distribution, MetricName
from sluice.settings import Telemetry
from sluice.telemetry import export, exposition
from sluice.telemetry.catalogue import METRICS
from sluice.telemetry.metrics import Meter

PRODUCT = Path(__file__).parents[2] / "consumer/sluice"
NAMES = frozenset(get_args(MetricName))


def test_every_metric_has_a_meaning() -> None:
    assert set(METRICS) == NAMES


@pytest.fixture
def scraped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """Make the meter of a process that is scraped, with OpenTelemetry's provider set anew."""
    monkeypatch.setattr(api, "_METER_PROVIDER", None)
    monkeypatch.setattr(api, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(api, "_PROXY_METER_PROVIDER", api._ProxyMeterProvider())
    meter = Meter({"process.cpu.time": lambda: [(12.5, {})]})
    with export.exporting(Telemetry(http_port=0), "1", "worker-0", meter):
        yield meter


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(exposition.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_scrape_tells_what_was_observed_by_prometheus_names(scraped: Meter) -> None:
    scraped("sluice.verdicts", 2, {"status": "ALLOW", "generator": "sdxl"})
    scraped("kafka.consumer_group.lag", 7, {"topic": "t", "partition": "3", "group": "g"})
    scraped("sluice.commit.duration", 0.3, {})
    scraped("hw.gpu.memory.usage", 5.0, {"hw_id": "0"})
    found = samples()
    assert found["sluice_verdicts_total", (("generator", "sdxl"), ("status", "ALLOW"))] == 2
    assert found["kafka_consumer_group_lag", (("group", "g"), ("partition", "3"), ("topic", "t"))] == 7
    assert found["sluice_commit_duration_seconds_bucket", (("le", "0.25"),)] == 0
    assert found["sluice_commit_duration_seconds_bucket", (("le", "0.5"),)] == 1
    assert found["hw_gpu_memory_usage_bytes", (("hw_id", "0"),)] == 5
    assert found["process_cpu_time_seconds_total", ()] == 12.5
    labels = next(dict(labels) for name, labels in found if name == "target_info")
    assert (labels["service_name"], labels["service_instance_id"]) == ("sluice", "worker-0")


def test_counters_add_gauges_stay_histograms_keep_count_and_sum(scraped: Meter) -> None:
    scraped("sluice.verdicts", 2, {"status": "ALLOW", "generator": "sdxl"})
    scraped("sluice.verdicts", 3, {"status": "ALLOW", "generator": "sdxl"})
    scraped("sluice.flights", 4, {})
    scraped("sluice.flights", 1, {})
    scraped("sluice.commit.duration", 0.5, {})
    scraped("sluice.commit.duration", 0.25, {})
    scraped.all("sluice.event.age", (1.0, 2.5))
    scraped.all("sluice.event.age", ())
    scraped("hw.gpu.power", 70.0, {"hw_id": "gone"})
    scraped("hw.gpu.power", math.nan, {"hw_id": "gone"})
    scraped("hw.gpu.power", math.nan, {"hw_id": "never was"})
    found = samples()
    assert found["sluice_verdicts_total", (("generator", "sdxl"), ("status", "ALLOW"))] == 5
    assert found["sluice_flights", ()] == 1
    assert (found["sluice_commit_duration_seconds_count", ()], found["sluice_commit_duration_seconds_sum", ()]) == (
        2,
        0.75,
    )
    assert (found["sluice_event_age_seconds_count", ()], found["sluice_event_age_seconds_sum", ()]) == (2, 3.5)
    assert not [name for name, _ in found if name.startswith("hw_gpu_power")]


def test_what_every_image_has_is_told_in_buckets_that_hold_their_upper_bound(scraped: Meter) -> None:
    scraped.all("sluice.event.age", (0.1, 0.100001, 9.9, 10.0, 10.1, 5000.0))
    scraped.all("sluice.margin", (-0.3, 0.0, 0.004))
    found = samples()
    ages = {key: found["sluice_event_age_seconds_bucket", (("le", key),)] for key in ("0.1", "0.25", "10.0", "+Inf")}
    assert ages == {"0.1": 1, "0.25": 2, "10.0": 4, "+Inf": 6}
    assert found["sluice_event_age_seconds_count", ()] == 6
    assert found["sluice_event_age_seconds_sum", ()] == pytest.approx(5030.200001)
    assert (found["sluice_margin_bucket", (("le", "0.0"),)], found["sluice_margin_bucket", (("le", "0.005"),)]) == (
        2,
        3,
    )


def test_a_gauge_that_was_ended_is_told_no_more(scraped: Meter) -> None:
    for partition in ("0", "1"):
        scraped("sluice.lag.age", 1.0, {"topic": "t", "partition": partition})
    scraped("sluice.lag.age", math.nan, {"topic": "t", "partition": "0"})
    assert [labels for name, labels in samples() if name == "sluice_lag_age_seconds"] == [
        (("partition", "1"), ("topic", "t"))
    ]


def test_what_is_exported_can_be_encoded_a_truth_for_a_number_too(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(api, "_METER_PROVIDER", MeterProvider([reader], shutdown_on_exit=False))
    meter = Meter({"process.cpu.time": lambda: [(12.5, {})]})
    waits = True
    meter("sluice.dependency.waiting", waits, {"dependency": "store"})
    meter.all("sluice.event.age", (0.5, 30.0))
    collected = reader.get_metrics_data()
    assert collected is not None
    sent = encode_metrics(meter.whole(collected)).resource_metrics[0].scope_metrics[0].metrics
    points = {metric.name: metric for metric in sent}
    assert points["sluice.dependency.waiting"].gauge.data_points[0].as_double == 1
    age = points["sluice.event.age"].histogram
    assert (age.data_points[0].count, age.data_points[0].sum, age.aggregation_temporality) == (2, 30.5, 2)


def test_counters_whose_labels_are_known_stand_at_0_before_anything_happens(scraped: Meter) -> None:
    found = samples()
    assert found["sluice_transactions_aborted_total", ()] == 0
    assert found["sluice_rebalances_total", (("kind", "lost"),)] == 0
    assert not [name for name, _ in found if name.startswith("sluice_verdicts")]
    del scraped


def test_every_metric_is_observed_somewhere_in_the_product() -> None:
    assert set(observed()) == NAMES


def observed() -> Iterator[str]:
    """Yield the names of metrics that calls of the product are given, and those it tells when it is asked."""
    for file in PRODUCT.rglob("*.py"):
        if file.name not in {"metrics.py", "catalogue.py"}:
            for node in ast.walk(ast.parse(file.read_text())):
                given = node.args[:1] if isinstance(node, ast.Call) else node.keys if isinstance(node, ast.Dict) else []
                values = [name.value for name in given if isinstance(name, ast.Constant)]
                yield from (value for value in values if isinstance(value, str) and value in NAMES)


def test_what_every_image_has_is_counted_in_bulk() -> None:
    assert set(get_args(Distribution)) <= {n for n, m in METRICS.items() if m.kind == "histogram"}
