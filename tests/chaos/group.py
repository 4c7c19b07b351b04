"""The consumer group as its coordinator sees it, and which broker leads what."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.kafka.client import open_admin

ANSWER_WITHIN_S = 120.0
ASK_AGAIN_S = 5.0
BREATH_S = 0.1


class Group:
    """Asks until the coordinator, which may be moving, has answered. Members are known by their client ids."""

    def __init__(self, address: str, name: str, topic: str, partitions: int) -> None:
        self._address = address
        self._admin = self._opened()
        # Not the admin client's way: asked while a coordinator is not there, librdkafka 2.16 may end the process.
        reader = {"bootstrap.servers": address, "group.id": name, "enable.auto.commit": False, "log_level": 0}
        self._stable = Consumer(reader | {"isolation.level": "read_committed"})
        self._unstable = Consumer(reader | {"isolation.level": "read_uncommitted"})
        self._name = name
        self._topic = topic
        self._partitions = partitions

    def owners(self) -> dict[int, str]:
        """Return who owns each partition; one that nobody owns is left out, and all are during a rebalance."""
        return {
            handle.partition: str(member.client_id)
            for member in self._described().members
            if member.assignment
            for handle in member.assignment.topic_partitions
        }

    def committed(self, *, stable: bool = False, within_s: float = ANSWER_WITHIN_S) -> dict[int, int]:
        """Return the committed offset of each partition, 0 for none; raises KafkaException if it is not told in time.

        `stable` waits for transactions that are about to change it.
        """
        asking = self._stable if stable else self._unstable
        handles = [TopicPartition(self._topic, index) for index in range(self._partitions)]
        answer = asking.committed(handles, timeout=within_s)
        return {handle.partition: max(0, handle.offset) for handle in answer if not handle.error}

    def coordinator(self) -> int:
        """Return the broker that keeps the group."""
        return int(self._described().coordinator.id)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Return the broker that keeps a producer's transactions: it leads the partition that the id hashes to."""
        leaders = self._leaders("__transaction_state")
        return leaders[abs(_java_hash(transactional_id)) % len(leaders)]

    def leader(self, partition: int) -> int:
        """Return the broker that leads a partition of the input."""
        return self._leaders(self._topic)[partition]

    def _described(self) -> Any:
        return _patiently(self._describe)

    def _describe(self) -> Mapping[str, Future[Any]]:
        self._admin = self._opened()  # an older one goes on asking a coordinator that was, for minutes
        described: Mapping[str, Future[Any]] = self._admin.describe_consumer_groups(
            [self._name], request_timeout=ASK_AGAIN_S
        )
        return described

    def _opened(self) -> AdminClient:
        return open_admin({"bootstrap.servers": self._address, "log_level": 0}, lambda _: None)

    def _leaders(self, topic: str) -> Mapping[int, int]:
        partitions = self._admin.list_topics(timeout=ANSWER_WITHIN_S).topics[topic].partitions
        return {index: partition.leader for index, partition in partitions.items()}


def _patiently(ask: Callable[[], Mapping[str, Future[Any]]]) -> Any:
    """Return the one answer; raises the last refusal after `ANSWER_WITHIN_S`."""
    deadline = Deadline.after(ANSWER_WITHIN_S, time.monotonic)
    while True:
        (answer,) = ask().values()
        try:
            return answer.result()
        except KafkaException:
            if deadline.over:
                raise
            time.sleep(BREATH_S)


def _java_hash(text: str) -> int:
    """Return Java's `String.hashCode`, of plain characters."""
    code = 0
    for character in text:
        code = (31 * code + ord(character)) & 0xFFFF_FFFF
    return code - (1 << 32) if code >> 31 else code
