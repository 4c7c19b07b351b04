"""How far our partitions reach, asked of the brokers in passing, without waiting for an answer.

The end is the high watermark (`places.END`). librdkafka's own lag stops at the last stable offset, and is unknown
before the first commit.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Self

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from sluice.core.records import Partition
from sluice.kafka.errors import error_of
from sluice.kafka.group_offsets import AskCommits, silent_admin
from sluice.kafka.offset_lookup import offsets
from sluice.settings import Kafka
from sluice.stream.ports import PartitionEnd

_logger = logging.getLogger(__name__)


class EndOffsets:
    """Satisfies the `Extents` seam. `commits` knows where the group stands, `reached` where reading found no more.

    Asks at once when there is a partition it has not heard of, and every `every_s` seconds of `clock`; one question
    is out at a time, and brokers that do not answer leave the last value.
    """

    def __init__(
        self,
        admin: AdminClient,
        commits: AskCommits,
        reached: Mapping[Partition, int],
        *,
        every_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._admin = admin
        self._commits = commits
        self._reached = reached
        self._every_s = every_s
        self._clock = clock
        self._ask_at_s = 0.0
        self._ends: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._asked: frozenset[Partition] = frozenset()
        self._open: list[tuple[Future[Any], Callable[[Any], None]]] = []

    @classmethod
    def of(
        cls,
        kafka: Kafka,
        commits: AskCommits,
        reached: Mapping[Partition, int],
        *,
        every_s: float,
        clock: Callable[[], float],
    ) -> Self:
        """Ask about the topic over a connection of its own."""
        return cls(silent_admin(kafka), commits, reached, every_s=every_s, clock=clock)

    def __call__(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnd]:
        """Return what is known of `partitions`, and ask for more when it is time to."""
        self._hear()
        ours = frozenset(partitions)
        self._forget(ours)
        if not self._open and ours and (ours != self._asked or self._clock() >= self._ask_at_s):
            self._asked, self._ask_at_s = ours, self._clock() + self._every_s
            self._ask([TopicPartition(partition.topic, partition.index) for partition in ours])
        return {
            partition: PartitionEnd(self._ends[partition], self._settled(partition))
            for partition in ours & set(self._ends)
        }

    def _settled(self, partition: Partition) -> int | None:
        known = [found[partition] for found in (self._committed, self._reached) if partition in found]
        return max(known, default=None)

    def _forget(self, ours: frozenset[Partition]) -> None:
        for known in (self._ends, self._committed):
            for partition in known.keys() - ours:
                del known[partition]

    def _ask(self, handles: list[TopicPartition]) -> None:
        for partition, end in offsets(self._admin, handles, OffsetSpec.latest()).items():
            self._open.append((end, partial(self._keep_end, partition)))
        self._open.append((self._commits(handles), self._keep_committed))

    def _keep_end(self, partition: Partition, found: ListOffsetsResultInfo) -> None:
        self._ends[partition] = found.offset

    def _keep_committed(self, found: list[TopicPartition]) -> None:
        told = {Partition(handle.topic, handle.partition): handle.offset for handle in found if not handle.error}
        self._committed |= {partition: offset for partition, offset in told.items() if offset >= 0}

    def _hear(self) -> None:
        """Take the answers that have come."""
        for answer, keep in [entry for entry in self._open if entry[0].done()]:
            try:
                keep(answer.result())
            except KafkaException as exception:
                _logger.debug("kafka: lag is not known: %s", error_of(exception).str())
        self._open = [entry for entry in self._open if not entry[0].done()]
