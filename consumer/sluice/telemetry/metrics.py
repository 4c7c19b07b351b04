"""Where numbers go: each becomes a point of its OpenTelemetry instrument."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import get_args

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics.export import MetricsData

from sluice.core.metrics import Distribution, MetricName
from sluice.telemetry.bulk import Tally, joined
from sluice.telemetry.catalogue import METRICS, MetricSpec

Reading = tuple[float, Mapping[str, str]]
_Series = dict[tuple[tuple[str, str], ...], float]
Ask = Callable[[], Iterable[Reading]]
"""Returns the present values of a metric, with their labels; called by the collector, in a thread of its own."""


DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)


class Meter:
    """Satisfies the `Observe` seam, and `all` that of many; any thread may call.

    What is `asked` is read at each collection.
    """

    def __init__(self, asked: Mapping[MetricName, Ask] | None = None) -> None:
        self._asked = dict(asked or {})
        self._gauges: dict[MetricName, _Series] = {}
        self._lock = threading.Lock()
        self._tallies = {name: Tally(METRICS[name].buckets) for name in DISTRIBUTIONS}
        self._counters: dict[MetricName, Counter] = {}
        self._histograms: dict[MetricName, Histogram] = {}
        meter = metrics.get_meter("sluice")
        for name, meaning in METRICS.items():
            if name not in self._tallies:
                self._create(meter, name, meaning)

    def __call__(self, name: MetricName, value: float, labels: Mapping[str, str]) -> None:
        """Record `value`: added to a counter or a histogram, set on a gauge."""
        if counter := self._counters.get(name):
            counter.add(value, labels)
        elif histogram := self._histograms.get(name):
            histogram.record(value, labels)
        else:
            with self._lock:
                self._set(self._gauges.setdefault(name, {}), value, labels)

    def all(self, name: Distribution, values: Sequence[float]) -> None:
        """Record one number of each of many images."""
        if values:
            with self._lock:
                self._tallies[name].add(values)

    def ask(self, name: MetricName, read: Ask) -> None:
        """Read the gauge `name` there from now on."""
        self._asked[name] = read

    def begin(self) -> None:
        """Let every counter whose labels are known stand at 0: of one that appears at 1, the first event is unseen."""
        for name, counter in self._counters.items():
            labels = METRICS[name].labels
            for values in product(*labels.values()):
                counter.add(0, dict(zip(labels, values, strict=True)))

    def whole(self, collected: MetricsData) -> MetricsData:
        """Return what the SDK collected together with what is counted apart from it."""
        with self._lock:
            found = [
                tally.metric(name, METRICS[name].unit, METRICS[name].text)
                for name, tally in self._tallies.items()
                if tally.count
            ]
        return joined(collected, found)

    def _create(self, meter: metrics.Meter, name: MetricName, meaning: MetricSpec) -> None:
        unit, text = meaning.unit, meaning.text
        if meaning.kind == "gauge":
            meter.create_observable_gauge(name, [self._observations(name)], unit, text)
        elif name in self._asked:
            meter.create_observable_counter(name, [self._observations(name)], unit, text)
        elif meaning.kind == "counter":
            self._counters[name] = meter.create_counter(name, unit, text)
        else:
            self._histograms[name] = meter.create_histogram(
                name, unit, text, explicit_bucket_boundaries_advisory=meaning.buckets
            )

    def _observations(self, name: MetricName) -> Callable[[CallbackOptions], list[Observation]]:
        def kept() -> list[Reading]:
            with self._lock:
                return [(value, dict(labels)) for labels, value in self._gauges.get(name, {}).items()]

        return lambda _: [Observation(value, labels) for value, labels in self._asked.get(name, kept)()]

    @staticmethod
    def _set(series: _Series, value: float, labels: Mapping[str, str]) -> None:
        key = tuple(labels.items())
        if math.isnan(value):
            series.pop(key, None)
        else:
            series[key] = float(value)  # a bool passes for a float everywhere but in OTLP
