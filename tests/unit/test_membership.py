"""When the group has let us in, when it refuses us, and how long that may last."""

from typing import Literal, cast

import pytest
from confluent_kafka import Consumer, KafkaError

from sluice.core.errors import BadSettings, BrokerLost, Denied
from sluice.kafka.membership import Membership
from sluice.settings import Kafka
from tests.support.scripted_kafka import ScriptedConsumer

OTHER = KafkaError(KafkaError.INCONSISTENT_GROUP_PROTOCOL, "JoinGroup failed: Broker: Inconsistent group protocol")
FULL = KafkaError(KafkaError.GROUP_MAX_SIZE_REACHED, "JoinGroup failed: Broker: full")
UNKNOWN = KafkaError(KafkaError.UNKNOWN, "JoinGroup failed: Broker: something new")


class Bench:
    """A membership with a deadline of 30 s, and 60 s for a rebalance."""

    def __init__(self, protocol: Literal["classic", "consumer"] = "classic") -> None:
        self.now = 0.0
        kafka = Kafka(group_id="g", group_protocol=protocol, connect_deadline_s=30.0, max_poll_interval_s=60.0)
        self.membership = Membership(kafka, lambda: self.now)
        self.consumer = ScriptedConsumer()

    def check(self, now: float) -> str:
        self.now = now
        self.membership.check(cast(Consumer, self.consumer))
        return self.membership.trouble

    def refuse(self, error: KafkaError, *times: float) -> str:
        for self.now in times:
            self.membership.refused(error)
        return self.membership.trouble


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nobody_is_in_before_the_first_assignment(bench: Bench) -> None:
    assert bench.check(1.0) == "waits to be let into group g"
    bench.membership.joined()
    assert bench.check(2.0) == ""


@pytest.mark.parametrize("error", [OTHER, FULL, UNKNOWN], ids=["assignor", "size", "unknown"])
def test_a_group_that_refuses_us_is_left_after_the_deadline_with_its_name(bench: Bench, error: KafkaError) -> None:
    assert error.str() in bench.refuse(error, 2.0, 4.0, 31.9)
    with pytest.raises(Denied, match=r"kafka\.group_id: group g refuses us.*kafka\.connect_deadline_s"):
        bench.refuse(error, 32.0)


def test_a_refusal_that_ends_is_forgotten(bench: Bench) -> None:
    bench.refuse(OTHER, 2.0)
    bench.membership.joined()
    bench.now = 100.0
    bench.membership.left(lost=True)
    assert "refuses us" in bench.refuse(OTHER, 101.0, 130.0)


def test_a_member_that_waits_for_a_rebalance_is_in(bench: Bench) -> None:
    bench.membership.joined()
    bench.membership.left(lost=False)
    assert bench.check(89.0) == ""


def test_a_group_that_never_answers_is_left_once_every_rebalance_would_be_over(bench: Bench) -> None:
    assert bench.check(89.0)
    with pytest.raises(BrokerLost, match=r"kafka\.group_id"):
        bench.check(90.0)


def test_brokers_that_do_not_know_the_new_protocol_are_silent_and_it_is_named() -> None:
    with pytest.raises(BrokerLost, match=r"kafka\.group_protocol=consumer.*try classic"):
        Bench("consumer").check(90.0)


def test_errors_of_other_things_are_no_refusal(bench: Bench) -> None:
    assert "refuses" not in bench.refuse(KafkaError(KafkaError._TRANSPORT, "gone"), 1.0, 50.0)


def test_a_member_is_not_refused_by_what_is_said_while_it_is_in(bench: Bench) -> None:
    bench.membership.joined()
    assert bench.refuse(OTHER, 1.0, 100.0) == ""


@pytest.mark.parametrize(
    ("code", "setting"),
    [(KafkaError.INVALID_SESSION_TIMEOUT, "kafka.session_timeout_s"), (KafkaError.INVALID_GROUP_ID, "kafka.group_id")],
)
def test_what_no_waiting_mends_is_left_at_once(bench: Bench, code: int, setting: str) -> None:
    with pytest.raises(BadSettings, match=setting):
        bench.refuse(KafkaError(code, "JoinGroup failed"), 0.0)


def test_with_the_brokers_sharing_a_generation_is_enough_without_any_partition() -> None:
    bench = Bench("consumer")
    assert bench.check(1.0)
    bench.consumer.generation = 3
    assert bench.check(2.0) == ""
    bench.membership.left(lost=False)
    assert bench.check(1000.0) == "", "to give partitions up is not to leave"
