"""What is read from a log and what is written to one, and where it stands there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[str, bytes | None], ...]
GroupMetadata = Any  # confluent_kafka's opaque value; only `sluice.kafka` looks inside


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A partition of a topic."""

    topic: str
    index: int


Offsets = Mapping[Partition, int]
"""The offset to commit in each partition: that of the next record to read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka message. `timestamp_ms` is the broker's or producer's, milliseconds since the epoch."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def next_offset(self) -> int:
        """The offset to commit once this record is done."""
        return self.offset + 1

    @property
    def size_bytes(self) -> int:
        """What holding this record costs in memory, near enough."""
        return len(self.value or b"") + len(self.key or b"")


@dataclass(frozen=True, slots=True)
class Message:
    """One record to publish. `traced`: its image has a trace, and its headers name the span to send it under."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    traced: bool = False


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets of a partition from `first` up to, not including, `end`; and in how many deaths of the process.

    `deaths` counts those with these records in flight, `alone` the ones of them with nothing else in flight.
    """

    partition: Partition
    first: int
    end: int
    deaths: int = 0
    alone: int = 0

    def covers(self, offset: int) -> bool:
        """Whether `offset` lies in it."""
        return self.first <= offset < self.end


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What one life of the process leaves to the next: what is in flight, and what was when earlier lives ended."""

    flying: tuple[OffsetRange, ...] = ()
    suspects: tuple[OffsetRange, ...] = ()
