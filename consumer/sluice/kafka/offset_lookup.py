"""Where partitions begin and end, and where the group stands in them: asked of the brokers without waiting.

The end is the high watermark everywhere: images of a transaction that hangs undecided count as waiting, too.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from sluice.core.errors import Denied
from sluice.core.records import Partition
from sluice.kafka.errors import Meaning, error_of, means
from sluice.kafka.group_offsets import AskCommits

END = IsolationLevel.READ_UNCOMMITTED
"""What makes the latest offset the high watermark."""

STABLE = IsolationLevel.READ_COMMITTED
"""What makes the latest offset the one where the first open transaction begins."""

PATIENCE_S = 10.0
Found = Mapping[Partition, "Future[Any]"]


@dataclass(frozen=True, slots=True)
class Place:
    """One partition: `start` to `end` are on the brokers; `committed` is None before a commit."""

    committed: int | None
    start: int
    end: int


def offsets(
    admin: AdminClient,
    handles: Collection[TopicPartition],
    spec: OffsetSpec,
    *,
    isolation: IsolationLevel = END,
    patience_s: float = PATIENCE_S,
) -> Found:
    """Ask for an offset of each partition; each future holds one as `.offset`."""
    ask: Any = admin  # its type stubs know no options
    futures = ask.list_offsets(dict.fromkeys(handles, spec), isolation_level=isolation, request_timeout=patience_s)
    return {Partition(handle.topic, handle.partition): future for handle, future in futures.items()}


@dataclass(slots=True)
class Asked:
    """A question about partitions, and what has come of the answer."""

    starts: Found
    ends: Found
    committed: "Future[list[TopicPartition]]"
    group: str
    trouble: str = field(default="", init=False)

    @property
    def done(self) -> bool:
        """Whether all was answered, or refused."""
        return self.committed.done() and all(f.done() for f in (*self.starts.values(), *self.ends.values()))

    def found(self) -> Mapping[Partition, Place]:
        """Return the places of which all is known. Raises Denied when we may not ask."""
        committed = self._told(self.committed)
        if committed is None:
            return {}
        for handle in committed:
            if handle.error:
                self._refused(handle.error)
        known = {Partition(handle.topic, handle.partition): handle.offset for handle in committed if not handle.error}
        starts, ends = (
            {partition: answer.offset for partition, future in found.items() if (answer := self._told(future))}
            for found in (self.starts, self.ends)
        )
        return {
            partition: Place(offset if offset >= 0 else None, starts[partition], ends[partition])
            for partition, offset in known.items()
            if partition in starts and partition in ends
        }

    def _told(self, future: "Future[Any]") -> Any:
        try:
            return future.result()
        except KafkaException as exception:
            self._refused(error_of(exception))
            return None

    def _refused(self, error: KafkaError) -> None:
        if means(error, Meaning.DENIED):
            raise Denied(
                f"the brokers deny Describe on group {self.group} or its topic: {error.str()}",
                remedy="grant it: sluice topics acls --role consumer",
            )
        self.trouble = error.str()


Inquire = Callable[[Collection[Partition]], Asked]


def inquirer(admin: AdminClient, commits: AskCommits, group: str) -> Inquire:
    """Return what asks about partitions of a topic and `group`, whose offsets `commits` knows."""

    def ask(partitions: Collection[Partition]) -> Asked:
        handles = [TopicPartition(partition.topic, partition.index) for partition in partitions]
        committed = commits(handles)
        starts, ends = (offsets(admin, handles, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
        return Asked(starts, ends, committed, group)

    return ask
