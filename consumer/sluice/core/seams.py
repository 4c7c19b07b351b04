"""What the loop and the pipeline ask of the outside: Kafka in, Kafka out, a road for a batch, a place for numbers.

Adapters satisfy these by shape; tests satisfy them with fakes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from sluice.core.domain import (
    Batch,
    Extent,
    GroupMetadata,
    Job,
    Message,
    Notes,
    Offsets,
    Outcome,
    Partition,
    Record,
    Scores,
)
from sluice.core.errors import Rejection


class Source(Protocol):
    """The input topic as this member of the group sees it. One thread only: the loop's."""

    def subscribe(
        self,
        *,
        on_revoke: Callable[[frozenset[Partition]], None],
        on_lost: Callable[[frozenset[Partition]], None],
        on_assign: Callable[[frozenset[Partition]], None] = ...,
    ) -> None:
        """Join the group. All run inside `poll`.

        `on_assign` runs before anything is read of the partitions, `on_revoke` while they are still ours, `on_lost`
        when not.
        """

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records, waiting at most `timeout_s` for the first; also serves rebalances.

        Raises BrokerLost when no broker answered within the deadline.
        """

    def pause(self) -> None:
        """Stop fetching from every assigned partition, those assigned later included; polling goes on."""

    def resume(self) -> None:
        """Fetch again."""

    @property
    def assignment(self) -> Collection[Partition]:
        """The partitions that are ours now."""

    def group_metadata(self) -> GroupMetadata:
        """Fresh group metadata; every transaction needs its own (KIP-447)."""

    def close(self) -> None:
        """Leave the group."""


class Committer(Protocol):
    """One transaction a call: messages and offsets together, or nothing. One thread only: the loop's."""

    def commit(self, messages: Sequence[Message], offsets: Offsets, group: GroupMetadata) -> None:
        """Publish and commit atomically.

        Raises TransactionAborted (nothing happened, call again) or Fenced (leave).
        """

    def close(self) -> None:
        """Release the producer."""


Road = Callable[[Batch], Future[list[Outcome]]]
"""A batch goes in; one outcome per record, in order, comes out. The future may raise DependencyDown."""

Begun = Callable[[], None]
"""Called once, by whichever thread, when the turn of what was asked for has come."""

Lane = Callable[[Sequence[Job], Begun], Future[list[Scores | Rejection]]]
"""Pictures go in; for each, scores or the reason there are none."""

Extents = Callable[[Collection[Partition]], Mapping[Partition, Extent]]
"""How far partitions reach, as last heard of; those not heard of yet are left out. Asks in passing, never waits."""

Journal = Callable[[Notes], None]
"""Keep these notes, in place of the last ones, for the next life of this process. Returns soon, never raises."""

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
    "sluice.landing.duration",
    "sluice.landing.records",
    "sluice.transactions.aborted",
    "sluice.producer.recycled",
    "sluice.verdicts",
    "sluice.dead_letters",
    "sluice.records.expired",
    "sluice.fuse.level",
    "sluice.dependency.down",
    "sluice.dependency.waiting",
    "sluice.breaker.open",
    "sluice.lane.images",
    "sluice.lane.rechecks",
    "sluice.lane.splits",
    "sluice.lane.non_finite",
    "sluice.lane.no_direction",
    "sluice.decoder.deaths",
    "sluice.model.load.time",
    "sluice.ready",
    "sluice.canary.answers",
    "hw.gpu.utilization",
    "hw.gpu.memory.usage",
    "hw.gpu.memory.limit",
    "hw.gpu.temperature",
    "hw.gpu.power",
    "process.cpu.time",
    "process.memory.usage",
    "process.start_time",
]
"""Every number there is, by its OpenTelemetry name; `telemetry/meanings.py` says what each means."""

Observe = Callable[[MetricName, float, Mapping[str, str]], None]
"""Report one number: its name, its value, its labels. NaN ends a gauge's series. Never raises, never blocks."""

ObserveAll = Callable[[Distribution, Sequence[float]], None]
"""Report one number of each of many images. Never raises, never blocks."""


def unobserved(_name: MetricName, _value: float, _labels: Mapping[str, str]) -> None:
    """Report to nobody."""
