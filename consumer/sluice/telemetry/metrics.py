"""Where numbers go: every metric has one name, one kind, one meaning, and is both an instrument and a live figure."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, _Gauge

from sluice.core.seams import MetricName

Kind = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a metric says; becomes its OpenTelemetry description."""

    kind: Kind
    unit: str
    text: str


MEANINGS: Mapping[MetricName, Meaning] = {
    "records.polled": Meaning("counter", "{record}", "Records read from the images topic"),
    "batch.records": Meaning("histogram", "{record}", "Records per batch, by the reason it was cut"),
    "flights": Meaning("gauge", "{batch}", "Batches under way"),
    "landing.seconds": Meaning("histogram", "s", "Duration of a landing: one transaction"),
    "stage.seconds": Meaning("histogram", "s", "Duration of one stage of a batch, by stage"),
    "event_age.seconds": Meaning(
        "histogram", "s", "Age of an input record when its verdict was made, oldest of a landing"
    ),
    "verdicts": Meaning("counter", "{verdict}", "Verdicts committed, by status"),
    "dead_letters": Meaning("counter", "{record}", "Records that could not be judged, by reason"),
    "transactions.aborted": Meaning("counter", "{transaction}", "Landings that were aborted and tried again"),
    "producer.recycled": Meaning("counter", "{producer}", "Producers closed and built anew in doubt, by reason"),
    "rebalances": Meaning("counter", "{rebalance}", "Times partitions were revoked or lost"),
    "paused": Meaning("gauge", "1", "Whether back-pressure holds the partitions paused, 0 or 1"),
    "dependency.down": Meaning("counter", "{pause}", "Pauses because a dependency was not available, by its name"),
    "lane.rechecks": Meaning("counter", "{image}", "Images near a threshold that were scored again in float32"),
    "lane.splits": Meaning("counter", "{batch}", "Forward passes halved for want of device memory"),
    "lane.non_finite": Meaning("counter", "{image}", "Images whose scores were not finite"),
    "decoder.deaths": Meaning("counter", "{process}", "Decoder processes that died or were killed, by reason"),
}


class Meter:
    """Satisfies the `Observe` seam; any thread may call it."""

    def __init__(self) -> None:
        meter = metrics.get_meter("sluice")
        self._instruments = {name: _instrument(meter, f"sluice.{name}", m) for name, m in MEANINGS.items()}
        self._live: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, name: MetricName, value: float, labels: Mapping[str, str]) -> None:
        """Record `value`: added to a counter or a histogram, set on a gauge."""
        instrument = self._instruments[name]
        key = ".".join((name, *labels.values()))
        with self._lock:
            if isinstance(instrument, Counter):
                self._live[key] = self._live.get(key, 0.0) + value
                instrument.add(value, labels)
            elif isinstance(instrument, Histogram):
                self._live[key + ".count"] = self._live.get(key + ".count", 0.0) + 1
                self._live[key + ".sum"] = self._live.get(key + ".sum", 0.0) + value
                instrument.record(value, labels)
            else:
                self._live[key] = value
                instrument.set(value, labels)

    def write(self, file: Path) -> None:
        """Write the live figures to `file` as JSON, in one step, so that a reader never sees half of them."""
        with self._lock:
            text = json.dumps(self._live, sort_keys=True)
        part = file.with_suffix(".part")
        part.write_text(text)
        part.replace(file)


def _instrument(meter: metrics.Meter, name: str, meaning: Meaning) -> Counter | Histogram | _Gauge:
    if meaning.kind == "counter":
        return meter.create_counter(name, unit=meaning.unit, description=meaning.text)
    if meaning.kind == "histogram":
        return meter.create_histogram(name, unit=meaning.unit, description=meaning.text)
    return meter.create_gauge(name, unit=meaning.unit, description=meaning.text)
