"""Commits on librdkafka's cluster in memory: what the committer made of them, and what went over the wire for each."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from types import TracebackType
from typing import Self
from weakref import WeakSet, ref

from confluent_kafka import Consumer, KafkaException, Producer

from sluice.core.errors import Fatal, Fenced, TransactionAborted
from sluice.core.records import Message, Partition
from sluice.kafka import client, committer
from sluice.kafka.client import Config, OnError, producer_config, reports_to
from sluice.kafka.committer import KafkaCommitter
from sluice.kafka.transaction_steps import BREATH_S
from sluice.settings import Kafka
from tests.support.mock_cluster import Api, Asked, MockCluster

OUTPUTS = ("verdicts", "quality")
INPUT = Partition("images", 0)
COMMITTED, ABORTED, FENCED, FATAL = "committed", "aborted", "fenced", "fatal"
PATIENCE_S = 60.0
GROUP = Consumer({"group.id": "g", "log_level": 0}).consumer_group_metadata()  # nobody asks whether it is a member


@dataclass(frozen=True, slots=True)
class Attempt:
    """One commit: its outcome, all that was asked during it, and how much of that before commit and abort."""

    outcome: str
    asked: list[Asked]
    before_commit: int
    before_abort: int

    @property
    def commits(self) -> list[Asked]:
        """The EndTxns that were to commit."""
        return [asked for asked in self.asked[self.before_commit : self.before_abort] if asked.api == Api.END_TXN]

    @property
    def published(self) -> bool:
        """Whether the coordinator has committed."""
        return any(end.error == 0 for end in self.commits)

    @property
    def complete(self) -> bool:
        """Whether all outputs, and the offset, were taken into the transaction before a commit was asked for."""
        done = [asked.api for asked in self.asked[: self.before_commit] if asked.error == 0]
        return done.count(Api.PRODUCE) >= len(OUTPUTS) and Api.TXN_OFFSET_COMMIT in done


alive: WeakSet[Producer] = WeakSet()
"""The producers that nobody has let go of."""

ATTENDING = "attending"
"""Threads of this name say nothing: their producers outlive the test, and may outlive what is logged to."""
for module in (client, committer):
    logging.getLogger(module.__name__).addFilter(lambda record: record.threadName != ATTENDING)


def _attend(find: "ref[Producer]") -> None:
    """Serve a producer that a call of its own keeps alive: unheard, the log of its lost cluster costs a core."""
    while (producer := find()) is not None:
        with suppress(KafkaException):
            producer.poll(BREATH_S)
        del producer
        time.sleep(BREATH_S)


class _Watched(Producer):
    """A transactional producer that notes how much was asked before it was told to commit or abort."""

    def __init__(self, config: Config, note: Callable[[str], None]) -> None:
        super().__init__(config)
        self._note = note
        alive.add(self)

    def commit_transaction(self, timeout: float = -1) -> None:
        self._note("commit")
        super().commit_transaction(timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        self._note("abort")
        super().abort_transaction(timeout)


class Trial:
    """A committer and its cluster; a context manager.

    Its time stands still but from the first request of `runs_from` to the end of that attempt, so that nothing is late
    for a busy machine's sake; unless there is another clock.
    """

    def __init__(
        self,
        timeout_s: float = PATIENCE_S,
        *,
        runs_from: Api | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.cluster = MockCluster()
        self.recycled: list[str] = []
        self._made: WeakSet[Producer] = WeakSet()
        self._runs_from = runs_from
        self._started: float | None = None
        self._notes: dict[str, int] = {}
        self._commits = 0
        self._committer = KafkaCommitter(
            self._connect,
            timeout_s=timeout_s,
            clock=clock or self._clock,
            observe=lambda _name, _value, labels: self.recycled.append(labels["reason"]),
        )

    def __enter__(self) -> Self:
        self.cluster.__enter__()
        for topic in (*OUTPUTS, INPUT.topic):
            self.cluster.create_topic(topic)
        kafka = Kafka(bootstrap_servers=self.cluster.address, transaction_timeout_s=PATIENCE_S)
        self._config = producer_config(kafka)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._committer.close()
        self.cluster.__exit__(kind, error, trace)
        for producer in list(self._made):
            Thread(target=_attend, args=(ref(producer),), name=ATTENDING, daemon=True).start()

    def open(self) -> None:
        """Connect before anything is told to fail."""
        self._committer.open(PATIENCE_S)

    def commit(self) -> Attempt:
        """Try once to commit a message to each output and an offset; an outcome ends in ! if it cost the producer."""
        begun, recycled = len(self.cluster.asked), len(self.recycled)
        self._notes = {}
        outcome = self._outcome() + "!" * (len(self.recycled) > recycled)
        self._runs_from = self._started = None
        asked = self.cluster.asked
        commit, abort = (self._notes.get(step, len(asked)) - begun for step in ("commit", "abort"))
        return Attempt(outcome, asked[begun:], commit, abort)

    def attempts(self, limit: int) -> Iterator[Attempt]:
        """Do as the loop does: try again whatever is aborted, up to a limit, and leave when told to."""
        for _ in range(limit):
            attempt = self.commit()
            yield attempt
            if not attempt.outcome.startswith(ABORTED):
                return

    def _outcome(self) -> str:
        value = str(self._commits).encode()
        messages = [Message(topic, b"k", value) for topic in OUTPUTS]
        try:
            self._committer.commit(messages, {INPUT: self._commits + 1}, GROUP)
        except TransactionAborted:
            return ABORTED
        except Fenced:
            return FENCED
        except Fatal:
            return FATAL
        self._commits += 1
        return COMMITTED

    def _connect(self, on_error: OnError) -> Producer:
        producer = _Watched(self._config | reports_to(on_error), self._note)
        self._made.add(producer)
        return producer

    def _note(self, step: str) -> None:
        self._notes.setdefault(step, len(self.cluster.asked))

    def _clock(self) -> float:
        if self._started is None:
            if all(asked.api != self._runs_from for asked in self.cluster.asked):
                return 0.0
            self._started = time.monotonic()
        return time.monotonic() - self._started
