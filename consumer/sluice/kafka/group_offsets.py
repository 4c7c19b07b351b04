"""Connections that only ask and are silent: what goes wrong with them is told by those that nothing goes without."""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.kafka.client import admin_config, open_admin, open_consumer, reader_config
from sluice.kafka.coordinator import PASSING
from sluice.kafka.errors import Meaning, error_of, means
from sluice.settings import Kafka

PATIENCE_S = 5.0
_TRY_S = 1.0
"""Longest single question: between two of them it is heard whether the brokers refuse us."""

_PAUSE_S = 0.1
_logger = logging.getLogger(__name__)

AskCommits = Callable[[Collection[TopicPartition]], "Future[list[TopicPartition]]"]


class Commits:
    """Tells where the group of `kafka` stands, asked by a Consumer that joins nothing, in a thread of its own.

    `stable`: what a transaction is about to change is not known until that has ended.

    Not by an admin client: librdkafka 2.16 ends the process by a segmentation fault when the broker that such a client
    asks is no longer the group's coordinator, as after every restart of a broker.
    """

    def __init__(self, kafka: Kafka, *, stable: bool = True) -> None:
        isolation = "read_committed" if stable else "read_uncommitted"
        config = reader_config(kafka) | {"group.id": kafka.group_id, "isolation.level": isolation}
        self._refused: KafkaError | None = None
        self._consumer = open_consumer(config, self._hear)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commits")

    def ask(self, handles: Collection[TopicPartition]) -> "Future[list[TopicPartition]]":
        """Ask for each partition's committed offset, negative for none.

        A caller that is refused, or gets no answer for a while, finds a KafkaException.
        """
        return self._thread.submit(self._committed, list(handles))

    def close(self) -> None:
        """Ask no more, once the present question is answered."""
        self._thread.shutdown(cancel_futures=True)
        self._consumer.close()

    def _committed(self, handles: list[TopicPartition]) -> list[TopicPartition]:
        deadline = Deadline.after(PATIENCE_S, time.monotonic)
        while True:
            try:
                committed = self._consumer.committed(handles, timeout=min(_TRY_S, deadline.remaining_s))
            except KafkaException as exception:
                self._listen()
                if self._refused is not None:
                    raise KafkaException(self._refused) from None
                if not means(error_of(exception), *PASSING) or deadline.over:
                    raise
            else:
                self._refused = None
                return committed

    def _listen(self) -> None:
        """Hear why there is no answer: a group that is denied is said once, and after that nothing ever comes."""
        message = self._consumer.poll(_PAUSE_S)
        error = message.error() if message is not None else None
        if error is not None:
            self._hear(error)

    def _hear(self, error: KafkaError) -> None:
        _hushed(error)
        if means(error, Meaning.DENIED):
            self._refused = error


def silent_admin(kafka: Kafka) -> AdminClient:
    """Make a connection for asking about topics."""
    return open_admin(admin_config(kafka), _hushed)


def _hushed(error: KafkaError) -> None:
    _logger.debug("kafka: %s", error.str())
