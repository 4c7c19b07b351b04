"""Histograms of what every image has, a landing at a time.

The SDK takes one value a call, at 4 us for each reader: with four values an image that is a tenth of all the Python an
image costs. Counted here they cost a tenth of that, and join what the SDK has collected on its way out.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
)


@dataclass(slots=True)
class Tally:
    """One histogram without labels, counted from the start of the process. Its user takes care of locking."""

    bounds: tuple[float, ...]
    sum: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    counts: list[int] = field(init=False)
    since_ns: int = field(default_factory=time.time_ns)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, values: Sequence[float]) -> None:
        """Count one or more values; a bucket holds its upper bound."""
        counts, bounds = self.counts, self.bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.sum += sum(values)
        self.low, self.high = min(self.low, *values), max(self.high, *values)

    def metric(self, name: str, unit: str, text: str) -> Metric:
        """Return it as the SDK would."""
        point = HistogramDataPoint(
            attributes={},
            start_time_unix_nano=self.since_ns,
            time_unix_nano=time.time_ns(),
            count=self.count,
            sum=self.sum,
            bucket_counts=tuple(self.counts),
            explicit_bounds=self.bounds,
            min=self.low,
            max=self.high,
        )
        return Metric(name, text, unit, Histogram([point], AggregationTemporality.CUMULATIVE))


def joined(collected: MetricsData, metrics: Iterable[Metric]) -> MetricsData:
    """Return what the SDK collected with `metrics` added to its first scope."""
    resource, *resources = collected.resource_metrics
    scope, *scopes = resource.scope_metrics
    scope = replace(scope, metrics=[*scope.metrics, *metrics])
    return MetricsData([replace(resource, scope_metrics=[scope, *scopes]), *resources])
