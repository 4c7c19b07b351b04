"""Every number that Sluice reports, by its OpenTelemetry name, and how code reports one.

`telemetry/catalogue.py` says what each means.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

Distribution = Literal["sluice.event.age", "sluice.margin", "sluice.clip.cosine", "sluice.aesthetic.score"]
"""Numbers of which every image has one."""

MetricName = Literal[
    Distribution,
    "messaging.client.consumed.messages",
    "messaging.client.sent.messages",
    "messaging.client.operation.duration",
    "messaging.process.duration",
    "kafka.consumer_group.lag",
    "sluice.lag.age",
    "sluice.lag.drain_time",
    "sluice.activity.time",
    "sluice.partitions.assigned",
    "sluice.rebalances",
    "sluice.batch.records",
    "sluice.flights",
    "sluice.paused",
    "sluice.stage.duration",
    "sluice.commit.duration",
    "sluice.commit.records",
    "sluice.transactions.aborted",
    "sluice.producer.recycled",
    "sluice.verdicts",
    "sluice.dead_letters",
    "sluice.records.expired",
    "sluice.fuse.level",
    "sluice.dependency.down",
    "sluice.dependency.waiting",
    "sluice.breaker.open",
    "sluice.inference.images",
    "sluice.inference.rechecks",
    "sluice.inference.splits",
    "sluice.inference.non_finite",
    "sluice.inference.no_direction",
    "sluice.decoder.deaths",
    "sluice.model.load.time",
    "sluice.ready",
    "sluice.self_test.answers",
    "hw.gpu.utilization",
    "hw.gpu.memory.usage",
    "hw.gpu.memory.limit",
    "hw.gpu.temperature",
    "hw.gpu.power",
    "process.cpu.time",
    "process.memory.usage",
    "process.start_time",
]
"""Every number there is."""

Observe = Callable[[MetricName, float, Mapping[str, str]], None]
"""Report one number: its name, its value, its labels. NaN ends a gauge's series. Never raises, never blocks."""

ObserveAll = Callable[[Distribution, Sequence[float]], None]
"""Report one number of each of many images. Never raises, never blocks."""


def unobserved(_name: MetricName, _value: float, _labels: Mapping[str, str]) -> None:
    """Report nowhere."""
