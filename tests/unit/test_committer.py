"""What the committer makes of each kind of error, and when it lets go of its producer."""

from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from sluice.core.errors import BadSettings, BrokerLost, Denied, Fatal, Fenced, TransactionAborted
from sluice.core.records import Message, Partition
from sluice.kafka.client import OnError
from sluice.kafka.committer import KafkaCommitter
from tests.support.scripted_kafka import (
    ABORTABLE,
    DOWN,
    FATAL,
    FENCED,
    RETRIABLE,
    TOO_LARGE,
    UNKNOWN,
    Received,
    Script,
    ScriptedProducer,
    Step,
    refusals_to_another_thread,
)

OFFSETS = {Partition("t", 0): 7}
MESSAGES = [Message("verdicts", b"k", b"v", (("h", b"1"),))]


class Bench:
    """A committer whose producers follow one script; time passes only when a test says so."""

    def __init__(self) -> None:
        self.script = Script()
        self.now = 0.0
        self.producers: list[ScriptedProducer] = []
        self.on_error: OnError = lambda _: None
        self.recycled: list[str] = []
        self.committer = KafkaCommitter(
            self.connect,
            timeout_s=15.0,
            clock=lambda: self.now,
            observe=lambda name, _, labels: self.recycled.append(f"{name}:{labels['reason']}"),
        )

    def connect(self, on_error: OnError) -> Producer:
        self.on_error = on_error
        self.producers.append(ScriptedProducer(self.script))
        return cast(Producer, self.producers[-1])

    def commit(self) -> None:
        self.committer.commit(MESSAGES, OFFSETS, object())

    def wait(self, seconds: float) -> None:
        self.now += seconds

    @property
    def calls(self) -> list[str]:
        return [call for call in self.script.calls if call not in {"serve", "poll", "flush", "purge"}]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_transaction_is_begun_filled_and_committed_in_one_call(bench: Bench) -> None:
    bench.commit()
    assert bench.calls == ["init", "begin", "produce", "offsets", "commit"]
    assert bench.recycled == []


def test_the_same_producer_serves_transaction_after_transaction(bench: Bench) -> None:
    bench.commit()
    bench.commit()
    assert len(bench.producers) == 1


def test_a_retriable_commit_is_tried_again_and_then_the_producer_is_recycled(bench: Bench) -> None:
    bench.script.plan("commit", RETRIABLE, RETRIABLE)
    bench.commit()
    assert bench.calls.count("commit") == 3
    assert bench.recycled == ["sluice.producer.recycled:retriable"]
    bench.commit()
    assert len(bench.producers) == 2
    assert bench.recycled == ["sluice.producer.recycled:retriable"]


def test_retriable_offsets_are_sent_again_without_any_doubt(bench: Bench) -> None:
    bench.script.plan("offsets", RETRIABLE)
    bench.commit()
    assert bench.calls.count("offsets") == 2
    assert bench.recycled == []


@pytest.mark.parametrize("step", ["begin", "produce", "offsets", "commit"])
def test_an_error_that_requires_an_abort_is_aborted_and_may_be_tried_again(bench: Bench, step: str) -> None:
    bench.script.plan(step, ABORTABLE)
    with pytest.raises(TransactionAborted, match="abortable"):
        bench.commit()
    assert bench.calls[-2:] == [step, "abort"]
    bench.commit()
    assert bench.recycled == (["sluice.producer.recycled:unanswered"] if step == "commit" else [])


@pytest.mark.parametrize("error", [FATAL, FENCED, KafkaError(KafkaError.PRODUCER_FENCED)])
@pytest.mark.parametrize("step", ["begin", "produce", "offsets", "commit"])
def test_a_fatal_error_leaves_without_an_abort(bench: Bench, step: str, error: KafkaError) -> None:
    bench.script.plan(step, error)
    with pytest.raises(Fenced):
        bench.commit()
    assert "abort" not in bench.calls


@pytest.mark.parametrize("step", ["begin", "produce", "offsets", "commit"])
def test_an_error_of_no_known_class_leaves(bench: Bench, step: str) -> None:
    bench.script.plan(step, UNKNOWN)
    with pytest.raises(Fatal, match="something else"):
        bench.commit()
    assert bench.calls[-1] == "abort"


def test_a_commit_that_is_never_answered_leaves_since_its_outcome_is_unknown(bench: Bench) -> None:
    bench.script.plan("commit", *[RETRIABLE] * 100)
    bench.script.plan("poll", *[lambda: bench.wait(1.0)] * 100)
    with pytest.raises(Fenced, match="unknown"):
        bench.commit()
    assert "abort" not in bench.calls


def test_offsets_that_are_never_taken_are_aborted_after_the_deadline(bench: Bench) -> None:
    bench.script.plan("offsets", *[RETRIABLE] * 100)
    bench.script.plan("poll", *[lambda: bench.wait(1.0)] * 100)
    with pytest.raises(TransactionAborted):
        bench.commit()
    assert bench.now == pytest.approx(15.0)
    assert bench.calls[-1] == "abort"
    assert bench.recycled == ["sluice.producer.recycled:unanswered"]


def test_an_abort_that_fails_before_the_commit_recycles_the_producer(bench: Bench) -> None:
    bench.script.plan("offsets", ABORTABLE)
    bench.script.plan("abort", UNKNOWN)
    with pytest.raises(TransactionAborted):
        bench.commit()
    assert bench.recycled == ["sluice.producer.recycled:abort_failed"]


def test_an_abort_that_fails_after_the_commit_was_asked_for_leaves(bench: Bench) -> None:
    bench.script.plan("commit", ABORTABLE)
    bench.script.plan("abort", UNKNOWN)
    with pytest.raises(Fenced, match="unknown"):
        bench.commit()


def test_a_fatal_abort_leaves(bench: Bench) -> None:
    bench.script.plan("offsets", ABORTABLE)
    bench.script.plan("abort", FATAL)
    with pytest.raises(Fenced):
        bench.commit()


def test_who_is_denied_leaves_for_that_whatever_becomes_of_the_abort(bench: Bench) -> None:
    """A coordinator that was shown no partition knows of no transaction to end."""
    bench.script.plan("offsets", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no", txn_requires_abort=True))
    bench.script.plan("abort", KafkaError(KafkaError.INVALID_TXN_STATE, "no such", fatal=True))
    with pytest.raises(Denied, match="sluice topics acls"):
        bench.commit()


def test_a_retriable_abort_recycles_the_producer(bench: Bench) -> None:
    bench.script.plan("offsets", ABORTABLE)
    bench.script.plan("abort", RETRIABLE)
    with pytest.raises(TransactionAborted):
        bench.commit()
    assert bench.recycled == ["sluice.producer.recycled:retriable"]


@pytest.mark.parametrize(("seconds", "recycled"), [(1.9, []), (2.1, ["sluice.producer.recycled:slow"])])
def test_a_commit_of_more_than_two_seconds_recycles_the_producer(
    bench: Bench, seconds: float, recycled: list[str]
) -> None:
    bench.script.plan("commit", lambda: bench.wait(seconds))
    bench.commit()
    assert bench.recycled == recycled


def test_an_error_callback_within_a_transaction_recycles_the_producer(bench: Bench) -> None:
    bench.script.plan("commit", lambda: bench.on_error(DOWN))
    bench.commit()
    assert bench.recycled == ["sluice.producer.recycled:client_error"]


def test_an_error_between_transactions_is_no_doubt_about_the_next(bench: Bench) -> None:
    bench.commit()
    bench.script.plan("serve", lambda: bench.on_error(DOWN))
    bench.commit()
    assert not bench.script.steps["serve"], "what librdkafka had to say was asked for first"
    assert bench.recycled == []


def test_a_lost_connection_is_news_only_if_it_leaves_doubt(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.commit()
    bench.script.plan("serve", lambda: bench.on_error(RETRIABLE))
    bench.commit()
    assert caplog.messages == []
    bench.script.plan("commit", lambda: bench.on_error(RETRIABLE))
    bench.commit()
    assert [(line.message, line.__dict__["reason"], line.__dict__["error"]) for line in caplog.records] == [
        ("producer_recycled", "client_error", "retriable")
    ]


def test_an_error_that_is_heard_only_after_the_commit_recycles_the_producer(bench: Bench) -> None:
    bench.script.plan("commit", lambda: bench.script.plan("serve", lambda: bench.on_error(DOWN)))
    bench.commit()
    assert bench.recycled == ["sluice.producer.recycled:client_error"]


def test_a_fatal_error_between_transactions_leaves(bench: Bench) -> None:
    bench.commit()
    bench.script.plan("serve", FENCED)
    with pytest.raises(Fenced):
        bench.commit()
    assert bench.calls[5:] == []


def test_a_full_queue_is_waited_for(bench: Bench) -> None:
    bench.script.plan("produce", _full, _full)
    bench.commit()
    assert bench.calls.count("produce") == 3


def test_a_queue_that_stays_full_is_aborted_after_the_deadline(bench: Bench) -> None:
    bench.script.plan("produce", *[_full] * 100)
    bench.script.plan("poll", *[lambda: bench.wait(1.0)] * 100)
    with pytest.raises(TransactionAborted):
        bench.commit()


def test_a_message_the_client_finds_too_large_names_its_topic_and_leaves(bench: Bench) -> None:
    bench.script.plan("produce", TOO_LARGE)
    with pytest.raises(Fatal, match=r"topic verdicts .* max\.message\.bytes"):
        bench.commit()
    assert bench.calls[-1] == "abort"


def test_a_message_the_broker_refuses_for_good_names_its_topic_and_leaves(bench: Bench) -> None:
    bench.script.plan("flush", lambda: bench.producers[0].on_delivery(TOO_LARGE, Received(0, 0)))
    bench.script.plan("commit", ABORTABLE)
    with pytest.raises(Fatal, match="topic t "):
        bench.commit()


def test_a_message_that_is_late_is_sent_again_in_a_new_transaction(bench: Bench) -> None:
    late = KafkaError(KafkaError._MSG_TIMED_OUT, "late")
    bench.script.plan("flush", lambda: bench.producers[0].on_delivery(late, Received(0, 0)))
    bench.script.plan("commit", ABORTABLE)
    with pytest.raises(TransactionAborted):
        bench.commit()


def test_without_offsets_none_are_sent(bench: Bench) -> None:
    bench.committer.commit(MESSAGES, {}, object())
    assert "offsets" not in bench.calls


def test_a_coordinator_that_does_not_answer_is_tried_again_by_the_next_commit(bench: Bench) -> None:
    bench.script.plan("init", RETRIABLE)
    with pytest.raises(TransactionAborted):
        bench.commit()
    bench.commit()
    assert bench.calls[-1] == "commit"


def test_opening_waits_for_a_coordinator_until_the_deadline(bench: Bench) -> None:
    bench.script.plan("init", *[_slow_init(bench)] * 100)
    with pytest.raises(BrokerLost, match="connect_deadline_s"):
        bench.committer.open(30.0)
    assert 30.0 <= bench.now <= 35.0


def test_opening_names_the_timeout_when_the_brokers_refuse_it(bench: Bench) -> None:
    bench.script.plan("init", KafkaError(KafkaError.INVALID_TRANSACTION_TIMEOUT, "too long", fatal=True))
    with pytest.raises(BadSettings, match=r"kafka\.transaction_timeout_s"):
        bench.committer.open(60.0)


def test_opening_leaves_at_once_when_the_id_is_refused(bench: Bench) -> None:
    bench.script.plan("init", KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "no", fatal=True))
    with pytest.raises(Fatal, match="transactional_id"):
        bench.committer.open(30.0)


def test_another_thread_may_not_commit(bench: Bench) -> None:
    assert len(refusals_to_another_thread(bench.commit)) == 1
    assert bench.calls == []


def _full() -> None:
    raise BufferError


def _slow_init(bench: Bench) -> Step:
    def step() -> None:
        bench.wait(5.0)
        raise KafkaException(RETRIABLE)

    return step
