"""How the source follows rebalances, back-pressure and broken brokers, on a scripted consumer."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from sluice.core.errors import BadSettings, BrokerLost, Denied, Fatal
from sluice.core.records import Partition
from sluice.kafka.client import OnError
from sluice.kafka.expiry import LONG_S, Expiry
from sluice.kafka.offset_lookup import Place
from sluice.kafka.source import KafkaSource
from sluice.settings import Kafka
from tests.support.scripted_kafka import DOWN, Received, ScriptedConsumer, refusals_to_another_thread


@dataclass
class Answer:
    """What the brokers say of partitions."""

    places: Mapping[Partition, Place]
    done: bool = True
    trouble: str = ""

    def found(self) -> Mapping[Partition, Place]:
        return self.places


class Bench:
    """A source on a scripted consumer; time passes only when a test says so."""

    def __init__(self, protocol: Literal["classic", "consumer"] = "classic") -> None:
        self.consumer = ScriptedConsumer()
        self.now = 0.0
        self.reported: list[tuple[str, set[int]]] = []
        self.given: list[set[int]] = []
        kafka = Kafka(bootstrap_servers="b:1", group_id="g", group_protocol=protocol, connect_deadline_s=30.0)
        self.places: dict[int, Place | None] = {}
        self.observed: list[float] = []
        self.expiry = Expiry(self.inquire, "tell", self.observe, lambda: self.now)
        self.source = KafkaSource(self.connect, "t", kafka, expiry=self.expiry, clock=lambda: self.now)
        self.source.subscribe(
            on_revoke=lambda partitions: self.report("revoked", partitions),
            on_lost=lambda partitions: self.report("lost", partitions),
            on_assign=lambda partitions: self.given.append({partition.index for partition in partitions}),
        )

    def connect(self, on_error: OnError) -> Consumer:
        self.on_error = on_error
        return cast(Consumer, self.consumer)

    def inquire(self, partitions: Collection[Partition]) -> Answer:
        """Answer at once; a place that is None is not known."""
        places = {partition: self.places.get(partition.index, Place(None, 0, 0)) for partition in partitions}
        return Answer({partition: place for partition, place in places.items() if place})

    def observe(self, name: str, value: float, _: Mapping[str, str]) -> None:
        assert name == "sluice.records.expired"
        self.observed.append(value)

    def report(self, what: str, partitions: frozenset[Partition]) -> None:
        self.reported.append((what, {partition.index for partition in partitions}))
        assert partitions <= set(self.source.assignment), "a callback runs while the assignment still names them"

    def poll(self, limit: int = 10) -> list[tuple[int, int]]:
        return [(record.partition.index, record.offset) for record in self.source.poll(limit, 0.0)]

    def assign(self, *indices: int) -> None:
        self.consumer.incoming.append(self.consumer.assigned(*indices))
        self.poll()
        self.poll()  # by now it is known where they begin

    @property
    def indices(self) -> set[int]:
        return {partition.index for partition in self.source.assignment}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_one_poll_drains_what_is_there_up_to_the_limit(bench: Bench) -> None:
    bench.assign(0)
    bench.consumer.incoming.extend(Received(0, offset) for offset in range(5))
    assert bench.poll(3) == [(0, 0), (0, 1), (0, 2)]
    assert bench.poll(3) == [(0, 3), (0, 4)]
    assert bench.poll(3) == []


def test_a_limit_of_one_takes_one(bench: Bench) -> None:
    bench.consumer.incoming.extend([Received(0, 0), Received(0, 1)])
    assert bench.poll(1) == [(0, 0)]


def test_assigned_partitions_flow_once_the_poll_that_brought_them_is_over(bench: Bench) -> None:
    bench.assign(0, 1)
    assert bench.consumer.calls == [("assign", (0, 1)), ("pause", (0, 1)), ("resume", (0, 1))]
    assert bench.indices == {0, 1}


def test_what_a_pause_lets_through_is_read_again_and_not_given_out(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.source.pause()
    bench.consumer.calls.clear()
    bench.consumer.incoming.extend([Received(0, 4), Received(0, 5), Received(1, 7)])
    assert bench.poll() == []
    assert bench.consumer.calls == [("seek", (0, 4)), ("seek", (1, 7)), ("pause", (0, 1))]
    bench.source.resume()
    bench.consumer.incoming.append(Received(0, 4))
    assert bench.poll() == [(0, 4)]


def test_what_comes_before_it_is_known_where_to_begin_is_read_again_from_there(bench: Bench) -> None:
    bench.places[0] = None
    bench.assign(0, 1)
    bench.consumer.incoming.extend([Received(0, 0), Received(1, 0)])
    bench.consumer.calls.clear()
    assert bench.poll() == [(1, 0)]
    assert bench.consumer.calls == [("pause", (0,))]
    bench.places[0] = Place(5, 3, 9)
    bench.now += 60.0
    bench.poll()
    bench.poll()
    assert bench.consumer.calls[-2:] == [("seek", (0, 5)), ("resume", (0,))]
    bench.consumer.incoming.append(Received(0, 5))
    assert bench.poll() == [(0, 5)]
    assert not any(bench.observed), "nothing was deleted"


def test_what_came_too_early_of_a_partition_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.places[0] = None
    bench.assign(0)
    bench.consumer.incoming.append(Received(0, 0))
    bench.poll()
    bench.consumer.incoming.append(bench.consumer.revoked(0))
    bench.poll()
    bench.places[0] = Place(5, 3, 9)
    bench.assign(0)
    assert "seek" not in {name for name, _ in bench.consumer.calls}


def test_what_cannot_be_read_again_ends_the_process(bench: Bench) -> None:
    bench.assign(0)
    bench.source.pause()
    bench.consumer.seeking = KafkaError(KafkaError._STATE)
    bench.consumer.incoming.append(Received(0, 4))
    with pytest.raises(Fatal, match="cannot be read again"):
        bench.poll()


def test_partitions_assigned_while_paused_stay_paused(bench: Bench) -> None:
    bench.source.pause()
    bench.assign(0, 1)
    assert bench.consumer.calls[-1] == ("pause", (0, 1))
    bench.source.resume()
    assert bench.consumer.calls[-1] == ("resume", (0, 1))


def test_pausing_twice_asks_once(bench: Bench) -> None:
    bench.assign(0)
    bench.source.pause()
    bench.source.pause()
    bench.source.resume()
    bench.source.resume()
    assert [name for name, _ in bench.consumer.calls[3:]] == ["pause", "resume"]


def test_revoked_partitions_are_reported_and_then_given_up(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.consumer.incoming.append(bench.consumer.revoked(0, 1))
    bench.poll()
    assert bench.reported == [("revoked", {0, 1})]
    assert bench.consumer.calls[-1] == ("unassign", ())
    assert bench.indices == set()


def test_lost_partitions_are_reported_as_lost(bench: Bench) -> None:
    bench.assign(0)
    bench.consumer.incoming.append(bench.consumer.lost(0))
    bench.poll()
    assert bench.reported == [("lost", {0})]
    assert bench.indices == set()


def test_the_consumer_protocol_changes_the_assignment_by_parts() -> None:
    bench = Bench("consumer")
    bench.assign(0, 1)
    bench.assign(2)
    bench.consumer.incoming.append(bench.consumer.revoked(1))
    bench.poll()
    assert [name for name, _ in bench.consumer.calls if "assign" in name] == [
        "incremental_assign", "incremental_assign", "incremental_unassign",
    ]  # fmt: skip
    assert bench.indices == {0, 2}


def test_records_received_before_their_partition_was_taken_are_dropped(bench: Bench) -> None:
    bench.assign(0, 1)
    consumer = bench.consumer
    consumer.incoming.extend([Received(0, 5), Received(1, 5), consumer.revoked(0, 1), consumer.assigned(1)])
    assert bench.poll() == []


def test_records_of_partitions_that_stay_are_kept_when_others_are_taken() -> None:
    bench = Bench("consumer")
    bench.assign(0, 1)
    consumer = bench.consumer
    consumer.incoming.extend([Received(0, 5), Received(1, 5), consumer.revoked(0), Received(1, 6)])
    assert bench.poll() == [(1, 5), (1, 6)]


def test_a_partition_that_comes_back_within_one_poll_is_paused_until_that_poll_is_over(bench: Bench) -> None:
    bench.assign(0)
    consumer = bench.consumer
    during: list[tuple[str, tuple[int, ...]]] = []
    consumer.incoming.extend([
        Received(0, 5), consumer.revoked(0), consumer.assigned(0), lambda: during.append(consumer.calls[-1]),
    ])  # fmt: skip
    bench.poll()
    bench.poll()
    assert during == [("pause", (0,))]
    assert consumer.calls[-1] == ("resume", (0,))


def test_a_partition_that_came_back_is_read_in_the_polls_after(bench: Bench) -> None:
    bench.assign(0)
    bench.consumer.incoming.extend([bench.consumer.revoked(0), bench.consumer.assigned(0)])
    bench.poll()
    bench.poll()  # by now it is known where it begins
    bench.consumer.incoming.append(Received(0, 5))
    assert bench.poll() == [(0, 5)]


def test_header_names_that_are_not_text_cost_the_headers_not_the_record(bench: Bench) -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    bench.consumer.incoming.append(Received(0, 0, headers=broken))
    (record,) = bench.source.poll(1, 0.0)
    assert record.headers == ()


def test_headers_keep_their_order_and_repetitions(bench: Bench) -> None:
    bench.consumer.incoming.append(Received(0, 0, headers=[("a", b"1"), ("a", None)]))
    (record,) = bench.source.poll(1, 0.0)
    assert record.headers == (("a", b"1"), ("a", None))


def test_a_passing_error_is_left_to_librdkafka_and_its_neighbours_arrive(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    transport = KafkaError(KafkaError._TRANSPORT, "connection closed")
    bench.consumer.incoming.extend([Received(0, 0, error=transport), Received(0, 1)])
    with caplog.at_level(logging.WARNING):
        assert bench.poll() == [(0, 1)]
    assert "connection closed" in caplog.text


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_a_denied_topic_or_group_leaves_with_what_to_grant(bench: Bench, code: int) -> None:
    bench.consumer.incoming.append(Received(0, 0, error=KafkaError(code, "denied")))
    with pytest.raises(Denied, match="grant Read on topic t"):
        bench.poll()


def test_a_fatal_error_leaves(bench: Bench) -> None:
    bench.consumer.incoming.append(Received(0, 0, error=KafkaError(KafkaError._FATAL, "gone", fatal=True)))
    with pytest.raises(Fatal, match="gone"):
        bench.poll()


def test_an_error_raised_by_the_poll_itself_is_sorted_like_any_other(bench: Bench) -> None:
    def fail() -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "gone", fatal=True))

    bench.consumer.incoming.append(fail)
    with pytest.raises(Fatal, match="gone"):
        bench.poll()


def test_a_rebalance_that_fails_leaves_rather_than_skip_what_was_already_read(bench: Bench) -> None:
    def refuse() -> None:
        raise KafkaException(KafkaError(KafkaError._STATE, "not now"))

    bench.assign(0)
    bench.consumer.incoming.extend([Received(0, 0), refuse, Received(0, 1)])
    with pytest.raises(Fatal, match="rebalance"):
        bench.poll()


def test_a_broker_that_never_answers_is_lost_after_the_deadline(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.consumer.metadata = KafkaError(KafkaError._TRANSPORT, "no route")
    with caplog.at_level(logging.WARNING):
        for _ in range(29):
            bench.now += 1.0
            bench.poll()
    assert 2 <= caplog.text.count("no broker answers") <= 4
    bench.now += 1.0
    with pytest.raises(BrokerLost, match="connect_deadline_s"):
        bench.poll()


def test_brokers_that_all_went_down_are_lost_after_the_deadline_from_then(bench: Bench) -> None:
    bench.assign(0)
    bench.now = 1000.0
    bench.on_error(DOWN)
    bench.consumer.metadata = DOWN
    bench.now = 1029.0
    bench.poll()
    bench.now = 1031.0
    with pytest.raises(BrokerLost):
        bench.poll()


def test_a_broker_that_answers_again_ends_the_countdown(bench: Bench) -> None:
    bench.assign(0)
    bench.on_error(DOWN)
    bench.now = 20.0
    bench.poll()
    bench.consumer.metadata = DOWN
    bench.now = 1000.0
    assert bench.poll() == []


def test_an_idle_topic_is_no_lost_broker(bench: Bench) -> None:
    bench.assign(0)
    bench.consumer.metadata = DOWN
    bench.now = 1000.0
    assert bench.poll() == []


def test_a_topic_that_stays_missing_leaves_with_the_command_that_makes_it(bench: Bench) -> None:
    missing = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown topic")
    bench.consumer.topic_error = missing
    bench.consumer.incoming.append(Received(0, 0, error=missing))
    bench.poll()
    bench.now = 4.0
    bench.poll()
    bench.now = 6.0
    with pytest.raises(BadSettings, match=r"topic t does not exist.*sluice topics create"):
        bench.poll()


def test_a_topic_that_appears_is_read(bench: Bench) -> None:
    missing = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown topic")
    bench.consumer.incoming.append(Received(0, 0, error=missing))
    bench.poll()
    bench.now = 60.0
    assert bench.poll() == []


def test_who_asks_is_told_of_every_assignment(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.assign(2)
    assert bench.given == [{0, 1}, {2}]


def test_the_end_of_a_partition_is_no_record_and_no_error_but_tells_where_reading_stands(bench: Bench) -> None:
    bench.assign(0, 1)
    bench.consumer.incoming.extend([Received(0, 4), Received(0, 6, error=KafkaError(KafkaError._PARTITION_EOF, "end"))])
    assert bench.poll() == [(0, 4)]
    assert bench.source.reached == {Partition("t", 0): 6}
    bench.consumer.incoming.append(bench.consumer.revoked(0))
    bench.poll()
    assert bench.source.reached == {}


def test_another_thread_may_not_poll(bench: Bench) -> None:
    assert len(refusals_to_another_thread(bench.poll)) == 1


def test_it_is_in_trouble_when_nothing_of_what_is_ours_may_flow_for_long(bench: Bench) -> None:
    bench.places = {0: None, 1: None}
    bench.assign(0, 1)
    assert bench.source.trouble == ""
    bench.now += LONG_S
    assert "t/0, t/1" in bench.source.trouble
    bench.places = {0: None}
    bench.poll()
    bench.poll()
    assert bench.source.trouble == "", "one of two flows"
