"""What the loop asks of the outside: records in, messages out, a way to process a batch, a journal.

Adapters satisfy these by shape; tests satisfy them with fakes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sluice.core.records import GroupMetadata, JournalEntry, Message, Offsets, Partition, Record
from sluice.stream.batch import Batch
from sluice.stream.outcome import Outcome


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

    def serve(self) -> None:
        """Let the client run its callbacks; what it reports would else pile up in memory.

        The loop calls it once a turn. Raises Fatal errors.
        """

    def close(self) -> None:
        """Release the producer."""


Launch = Callable[[Batch], Future[Sequence[Outcome]]]
"""A batch goes in; one outcome per record, in order, comes out. The future may raise DependencyDown."""


class Duty(NamedTuple):
    """Something that a service does once a turn of the loop, under a name. Raises Fatal errors."""

    name: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PartitionEnd:
    """How far a partition reaches: up to, not including, `end`; nothing before `settled` waits, None where unknown.

    `settled` is what the group had committed before, or where reading found nothing further.
    """

    end: int
    settled: int | None = None


AskEnds = Callable[[Collection[Partition]], Mapping[Partition, PartitionEnd]]
"""The ends of partitions as last answered; those without an answer yet are left out. It asks and never waits."""

Journal = Callable[[JournalEntry], None]
"""Keep this entry, in place of the last one, for the next life of this process. Returns soon, never raises."""

CommitObserver = Callable[[Sequence[Outcome]], None]
"""Told which outcomes were committed, in their order, after each commit. Never raises."""
