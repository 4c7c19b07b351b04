"""A batch is a slice of the log, a flight is a batch under way."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.core.errors import DependencyDown, Rejection
from sluice.core.records import Partition, Record
from sluice.stream.outcome import Outcome


class FillReason(StrEnum):
    """Why a batch was cut where it was."""

    COUNT = "count"
    BYTES = "bytes"
    GREEDY = "greedy"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Batch:
    """A slice of the log: per partition contiguous, in order. `cut_at_s` is on the monotonic clock.

    With a `rejection` its records are rejected for that reason and never read.
    """

    records: tuple[Record, ...]
    reason: FillReason
    cut_at_s: float
    rejection: Rejection | None = None

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions this slice has records of."""
        return frozenset(record.partition for record in self.records)


@dataclass(slots=True)
class Flight:
    """A batch under way and the future of its outcomes, one per record and in its order.

    `lost` grows when partitions are revoked; a commit skips their records. `held_by` names the dependency that stopped
    the flight last.
    """

    batch: Batch
    outcomes: Future[Sequence[Outcome]]
    lost: set[Partition] = field(default_factory=set)
    held_by: str = ""

    @property
    def gone(self) -> bool:
        """Whether none of its records are ours any more."""
        return self.batch.partitions <= self.lost

    @property
    def down(self) -> DependencyDown | None:
        """What stopped it, if a dependency did."""
        error = self.outcomes.exception() if self.outcomes.done() else None
        return error if isinstance(error, DependencyDown) else None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.outcomes.done() and (self.down is None or self.gone)

    @property
    def ours(self) -> Iterator[Outcome]:
        """The outcomes that are ours to commit, once the flight is finished."""
        if self.down is None:
            yield from (outcome for outcome in self.outcomes.result() if outcome.record.partition not in self.lost)

    @property
    def waiting(self) -> Iterator[Record]:
        """The records that are ours to commit, finished or not."""
        return (record for record in self.batch.records if record.partition not in self.lost)
