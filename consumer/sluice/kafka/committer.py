"""One transaction a call: messages and offsets together, or nothing. The sole owner of the transactional Producer.

Errors fall into the three classes of librdkafka's `examples/transactions.c`: retriable ones are tried again under one
deadline, those that require an abort are aborted, all others end the process.

librdkafka speaks EndTxn v1, in which a delayed EndTxn can end a later transaction (librdkafka#5423, KAFKA-17754). So
doubt recycles the producer: the InitProducerId of its successor fences whatever of the old epoch is still under way.
librdkafka sends an EndTxn again by itself, within milliseconds, after a connection is lost: that is doubt, too.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, BrokerLost, Denied, Fatal, Fenced, TransactionAborted
from sluice.core.log_events import log_event
from sluice.core.metrics import Observe
from sluice.core.records import GroupMetadata, Message, Offsets
from sluice.kafka.broker_limits import TOO_LONG
from sluice.kafka.client import OnError
from sluice.kafka.errors import TIMED_OUT, Meaning, error_of, known, means, no_broker
from sluice.kafka.thread_owner import ThreadOwner
from sluice.kafka.transaction_steps import BREATH_S, Undelivered, flush, produce, send_offsets
from sluice.stream.tracing import commit_spans

Connect = Callable[[OnError], Producer]

SLOW_S = 2.0  # law 4: a commit or abort that took longer is in doubt
OPEN_TRY_S = 5.0
_logger = logging.getLogger(__name__)

_GRANT = "grant it: sluice topics acls --role consumer"


class KafkaCommitter:
    """Satisfies `ports.Committer`; `connect` makes a Producer and tells it whom to report errors to."""

    def __init__(self, connect: Connect, *, timeout_s: float, clock: Callable[[], float], observe: Observe) -> None:
        self._owner = ThreadOwner("producer")
        self._connect = connect
        self._timeout_s = timeout_s
        self._clock = clock
        self._observe = observe
        self._producer: Producer | None = None
        self._doubts: list[tuple[str, str]] = []  # about the present transaction: kind, cause; the first one counts
        self._undelivered: Undelivered = []  # likewise

    def open(self, connect_deadline_s: float) -> None:
        """Connect now, which ends what a crashed predecessor left open and so would hold our start up.

        Raises BrokerLost after `connect_deadline_s`, Fatal when the brokers refuse us.
        """
        self._owner.check()
        deadline = Deadline.after(connect_deadline_s, self._clock)
        while not self._producer:
            try:
                self._open(Deadline.after(min(OPEN_TRY_S, deadline.remaining_s), self._clock))
            except TransactionAborted as refused:
                if deadline.over:
                    raise _unreachable(connect_deadline_s, refused) from None
                _logger.warning("kafka: %s; trying again for %.0f s", refused, deadline.remaining_s)

    def commit(self, messages: Sequence[Message], offsets: Offsets, group: GroupMetadata) -> None:
        """Publish and commit atomically.

        Raises TransactionAborted (nothing happened, call again), Fenced (leave) or Fatal (a message is refused for
        good; the topic is named).
        """
        self._owner.check()
        producer = self._producer or self._open(Deadline.after(self._timeout_s, self._clock))
        self.serve()
        self._undelivered.clear()
        with commit_spans(messages, offsets) as addressed:
            failure, ending = self._attempt(producer, addressed, offsets, group)
            if failure is not None:
                self._abort(producer, failure, ending=ending)
        self._recycle_if_in_doubt()

    def serve(self) -> None:
        """Let librdkafka say what it has to say; call it between commits, for what is not heard piles up in memory.

        Raises Fatal errors.
        """
        self._owner.check()
        if self._producer:
            _hear(self._producer)
        self._doubts.clear()  # between transactions nothing of ours is under way: what is lost there leaves no doubt

    def close(self) -> None:
        """Destroy the producer with its last reference; its own way to close tries to abort, waits, and may warn."""
        self._owner.check()
        if self._producer:
            self._producer.purge()
        self._producer = None
        self._doubts.clear()

    def _open(self, deadline: Deadline) -> Producer:
        producer = self._connect(self._on_error)
        try:
            producer.init_transactions(deadline.remaining_s)
        except KafkaException as exception:
            raise _not_opened(error_of(exception)) from None
        self._producer = producer
        return producer

    def _attempt(
        self, producer: Producer, messages: Sequence[Message], offsets: Offsets, group: GroupMetadata
    ) -> tuple[KafkaError | None, bool]:
        """Return what went wrong, and whether a commit was asked for.

        A value, not an exception: what is asked of a producer while one is handled may keep both alive for good.
        """
        deadline, ending = Deadline.after(self._timeout_s, self._clock), False
        try:
            producer.begin_transaction()
            for message in messages:
                produce(producer, message, self._undelivered, deadline)
            if offsets:
                self._persist(producer, lambda: send_offsets(producer, offsets, group, deadline), deadline)
            flush(producer, self._undelivered, deadline)
            ending = not self._undelivered  # otherwise librdkafka does not ask for a commit
            self._end(producer, producer.commit_transaction)
        except KafkaException as exception:
            return error_of(exception), ending
        return None, ending

    def _end(self, producer: Producer, step: Callable[[float], None]) -> None:
        """Commit or abort, within a time of its own: the -1 that librdkafka recommends waits without end."""
        started = self._clock()
        deadline = Deadline.after(self._timeout_s, self._clock)
        self._persist(producer, lambda: step(deadline.remaining_s), deadline, doubt="retriable")
        if self._clock() - started > SLOW_S:
            self._doubts.append(("slow", f"{self._clock() - started:.1f} s"))

    def _persist(
        self, producer: Producer, step: Callable[[], None], deadline: Deadline, *, doubt: str | None = None
    ) -> None:
        while True:
            try:
                return step()
            except KafkaException as exception:
                if not error_of(exception).retriable() or deadline.over:
                    raise
                self._doubts += [(doubt, error_of(exception).str())] if doubt else []
            producer.poll(BREATH_S)

    def _abort(self, producer: Producer, cause: KafkaError, *, ending: bool) -> NoReturn:
        """Roll the transaction back and raise what the loop is to do next.

        A commit that was asked for may have happened, whatever the local error says; only a confirmed abort proves
        that it did not: the coordinator refuses to abort what is committed.
        """
        _refuse_if_over(cause)
        if ending and (cause.retriable() or means(cause, Meaning.EPOCH_GONE)):
            raise Fenced(f"the outcome of a transaction stays unknown: {cause.str()}")
        if ending or cause.retriable():  # what was not answered may come late, and count in the next transaction
            self._doubts.append(("unanswered", cause.str()))
        try:
            self._end(producer, producer.abort_transaction)
        except KafkaException as exception:
            error, step = error_of(exception), _next_step(cause, self._undelivered)
            if isinstance(step, Denied) and not ending:
                raise step from None  # we leave for that, whatever has become of the abort
            _refuse_if_over(error)
            if ending:
                raise Fenced(f"the outcome of a transaction stays unknown: {error.str()}") from None
            self._doubts.append(("abort_failed", error.str()))
        self._recycle_if_in_doubt()
        raise _next_step(cause, self._undelivered)

    def _recycle_if_in_doubt(self) -> None:
        """Let go of a producer in doubt; the next commit makes a new one, which fences this one's epoch."""
        if self._producer:
            _hear(self._producer)
        for reason, cause in self._doubts[:1]:
            self.close()
            self._observe("sluice.producer.recycled", 1, {"reason": reason})
            log_event("producer_recycled", reason=reason, error=cause)

    def _on_error(self, error: KafkaError) -> None:
        self._doubts.append(("client_error", error.str()))
        if not error.retriable():  # what librdkafka mends by itself is news only within a transaction
            _logger.warning("kafka: %s", error.str())


def _hear(producer: Producer) -> None:
    """Let librdkafka say what has happened so far; poll raises what is fatal and nothing else."""
    try:
        producer.poll(0)
    except KafkaException as exception:
        error = error_of(exception)
        _refuse_if_over(error)
        raise Fenced(f"kafka: {error.str()}") from None


def _refuse_if_over(error: KafkaError) -> None:
    """Raise Fenced or Denied for what librdkafka calls fatal: nothing can be done with this producer any more."""
    if error.fatal() and means(error, Meaning.DENIED):
        raise Denied(f"kafka: {error.str()}", remedy=_GRANT)
    if error.fatal() or means(error, Meaning.FENCED):
        raise Fenced(f"kafka: {error.str()}")


def _unreachable(within_s: float, refused: TransactionAborted) -> BrokerLost:
    return no_broker(f"no transaction coordinator within {within_s:g} s (kafka.connect_deadline_s): {refused}")


def _not_opened(error: KafkaError) -> TransactionAborted | Fatal:
    """Return what a failed init_transactions means: try again later, or leave."""
    if means(error, Meaning.FENCED):
        return Fenced(f"kafka: {error.str()}")
    if means(error, Meaning.DENIED):
        return Denied(f"kafka: {error.str()} (kafka.transactional_id)", setting="kafka.transactional_id", remedy=_GRANT)
    if means(error, Meaning.TIMEOUT_TOO_LONG):
        setting = "kafka.transaction_timeout_s"
        return BadSettings(f"{setting} is {TOO_LONG}", setting=setting, remedy="lower it")
    if error.fatal() or not error.retriable():
        return Fatal(f"kafka: {error.str()} (kafka.transactional_id)", setting="kafka.transactional_id")
    return TransactionAborted(f"no transaction coordinator: {error.str()}")


def _next_step(cause: KafkaError, undelivered: Undelivered) -> TransactionAborted | Fatal:
    """Return what an aborted transaction means: try again, or leave because trying again cannot help."""
    for topic, error in undelivered:  # the others were thrown away for it
        if means(error, Meaning.DENIED):
            return Denied(f"topic {topic}: {error.str()}", remedy=_GRANT)
        refused = known(error)
        if refused and refused.meaning in (Meaning.MESSAGE_REFUSED, Meaning.NO_TOPIC):
            return Fatal(f"topic {topic} refuses a message: {error.str()}", remedy=refused.remedy)
    if means(cause, Meaning.DENIED):
        return Denied(f"kafka: {cause.str()}", remedy=_GRANT)
    # Our own deadline, and what produce() says in a transaction that has already failed, without a word of an abort.
    passing = means(cause, Meaning.TRANSACTION_FAILED) or cause.code() == TIMED_OUT
    if cause.txn_requires_abort() or cause.retriable() or passing:
        return TransactionAborted(cause.str())
    return Fatal(f"kafka: {cause.str()}")
