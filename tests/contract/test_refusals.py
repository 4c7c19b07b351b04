"""What Apache Kafka refuses for good ends the process with the topic's name, and nothing is lost by it."""

import os
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, Fatal
from sluice.core.records import Message
from sluice.kafka.source import KafkaSource
from tests.support.brokers import KAFKA
from tests.support.buses import KafkaBus, Member, until

pytestmark = [*KAFKA]


@pytest.fixture
def bus(kafka_address: str) -> Iterator[KafkaBus]:
    with closing(KafkaBus(kafka_address)) as bus:
        yield bus


def test_a_verdict_over_the_topics_limit_names_the_topic_and_moves_no_offset(bus: KafkaBus) -> None:
    bus.publish(3)
    member = Member("a", bus.member(), [])
    until(lambda: len(member.records) == 3, member)
    too_large = Message(bus.out, b"k", os.urandom(2_000_000))  # random, since what counts is its compressed size
    with pytest.raises(Fatal, match=f"topic {bus.out} refuses a message"):
        bus.producer("t").commit([too_large], member.offsets(), member.source.group_metadata())
    assert bus.published() == []
    assert bus.committed() == 0


def test_an_output_topic_that_is_not_there_is_named(bus: KafkaBus) -> None:
    with pytest.raises(Fatal, match=r"topic nowhere refuses.*sluice topics create"):
        bus.producer("t").commit([Message("nowhere", b"k", b"v")], {}, bus.member().group_metadata())


def test_an_input_topic_that_is_not_there_is_named(bus: KafkaBus) -> None:
    source = bus.member("nowhere")
    source.subscribe(on_revoke=lambda _: None, on_lost=lambda _: None)
    with pytest.raises(BadSettings, match=r"topic nowhere does not exist.*sluice topics create"):
        poll_for(source, 20.0)
    source.close()


def poll_for(source: KafkaSource, seconds: float) -> None:
    deadline = Deadline.after(seconds, time.monotonic)
    while not deadline.over:
        source.poll(1, 0.1)
