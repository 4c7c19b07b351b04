"""How far partitions reach, asked of an admin client that answers when a test says so."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from sluice.core.records import Partition
from sluice.kafka.end_offsets import EndOffsets
from sluice.stream.ports import PartitionEnd

ONE, TWO = Partition("t", 1), Partition("t", 2)


class Admin:
    """Keeps every question until it is answered."""

    def __init__(self) -> None:
        self.ends: list[dict[TopicPartition, Future[Any]]] = []
        self.groups: list[Future[list[TopicPartition]]] = []

    def list_offsets(self, wanted: Mapping[TopicPartition, object], **_: object) -> dict[TopicPartition, Future[Any]]:
        self.ends.append({handle: Future() for handle in wanted})
        return self.ends[-1]

    def commits(self, _: Collection[TopicPartition]) -> Future[list[TopicPartition]]:
        self.groups.append(Future())
        return self.groups[-1]

    def answer(self, ends: Mapping[int, int], committed: Mapping[int, int]) -> None:
        """Answer the last question."""
        for handle, end in self.ends[-1].items():
            end.set_result(SimpleNamespace(offset=ends[handle.partition]))
        self.groups[-1].set_result([TopicPartition("t", index, offset) for index, offset in committed.items()])


class Bench:
    """Ends that ask every five seconds of a clock of the test's own."""

    def __init__(self) -> None:
        self.admin = Admin()
        self.now = 100.0
        self.reached: dict[Partition, int] = {}
        self.ends = EndOffsets(
            cast(AdminClient, self.admin), self.admin.commits, self.reached, every_s=5.0, clock=lambda: self.now
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_answer_is_there_at_the_first_call_after_it_came(bench: Bench) -> None:
    assert bench.ends([ONE, TWO]) == {}
    bench.admin.answer({1: 10, 2: 20}, {1: 4, 2: -1001})
    assert bench.ends([ONE, TWO]) == {ONE: PartitionEnd(10, 4), TWO: PartitionEnd(20, None)}


def test_one_question_is_out_at_a_time_and_the_last_answer_stays_while_nobody_answers(bench: Bench) -> None:
    bench.ends([ONE])
    bench.admin.answer({1: 10}, {1: 4})
    bench.now += 4.9
    bench.ends([ONE])
    assert len(bench.admin.ends) == 1
    for _ in range(3):
        bench.now += 5.0
        assert bench.ends([ONE]) == {ONE: PartitionEnd(10, 4)}
    assert len(bench.admin.ends) == 2


def test_new_partitions_are_asked_for_at_once_and_old_ones_forgotten(bench: Bench) -> None:
    bench.ends([ONE])
    bench.admin.answer({1: 10}, {1: 4})
    assert bench.ends([TWO]) == {}
    bench.admin.answer({2: 20}, {2: 20})
    assert bench.ends([TWO]) == {TWO: PartitionEnd(20, 20)}
    assert bench.ends([ONE]) == {}


def test_a_question_that_fails_leaves_the_last_answer_and_is_asked_again(bench: Bench) -> None:
    bench.ends([ONE])
    bench.admin.answer({1: 10}, {1: 4})
    bench.now += 5.0
    bench.ends([ONE])
    failure = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    for question in (*bench.admin.ends[-1].values(), bench.admin.groups[-1]):
        question.set_exception(failure)
    assert bench.ends([ONE]) == {ONE: PartitionEnd(10, 4)}
    bench.now += 5.0
    bench.ends([ONE])
    bench.admin.answer({1: 12}, {1: 6})
    assert bench.ends([ONE]) == {ONE: PartitionEnd(12, 6)}


def test_what_reading_has_passed_is_settled_too(bench: Bench) -> None:
    bench.ends([ONE])
    bench.admin.answer({1: 10}, {1: 4})
    bench.reached[ONE] = 9
    assert bench.ends([ONE]) == {ONE: PartitionEnd(10, 9)}


def test_without_partitions_nobody_is_asked(bench: Bench) -> None:
    assert bench.ends([]) == {}
    assert bench.admin.ends == []
