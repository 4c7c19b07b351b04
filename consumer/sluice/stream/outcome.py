"""What becomes of a record, as far as the loop needs to know."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from sluice.core.records import Message, Offsets, Record


class Outcome(Protocol):
    """One record is done: what is to be published for it, and whether it was rejected."""

    @property
    def record(self) -> Record:
        """The record that it came of."""

    @property
    def messages(self) -> Sequence[Message]:
        """What to publish, in the transaction that commits the record."""

    @property
    def rejected(self) -> str:
        """The reason why the record could not be processed; empty if it was."""


def next_offsets(outcomes: Iterable[Outcome]) -> Offsets:
    """Return the offset to commit in each partition once `outcomes`, in their order, are published."""
    return {outcome.record.partition: outcome.record.next_offset for outcome in outcomes}
