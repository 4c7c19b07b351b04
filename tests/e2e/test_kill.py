"""`kill -9` of the consumer in mid-flow does no harm; and the harness would tell if it did."""

from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from sluice_sim.sender import Delivery, send
from sluice_sim.stream import Stream
from tests.chaos.feed import now
from tests.chaos.outcome import Finding
from tests.chaos.plans import kills
from tests.chaos.stage import ANSWER_WITHIN_S, Stage
from tests.chaos.trial import Size, hold, read_again
from tests.support.brokers import EMBEDDED, KAFKA

pytestmark = pytest.mark.timeout(900)  # a life of `sluice run` takes seconds to start, on a crowded machine a minute

SIZES = {  # the embedded broker serves one worker only; two hand partitions to each other at every kill
    "embedded": Size(events=700, faults=2, pictures=12, backlog=250),
    "kafka": Size(events=900, faults=2, pictures=12, backlog=250, workers=2),
}


@dataclass(frozen=True, slots=True)
class Held:
    """A trial that is over: how big it was, where it was held and what it found."""

    size: Size
    stage: Stage
    finding: Finding


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("embedded", marks=EMBEDDED),
        pytest.param("kafka", marks=KAFKA),
    ],
)
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Held:
    address = request.getfixturevalue(f"{request.param}_address")
    folder = tmp_path_factory.mktemp("chaos")
    stage = Stage(address, folder, partitions=3, evicts=request.param == "kafka").set_up()
    size = SIZES[request.param]
    return Held(size, stage, hold(stage, size, "kills", kills))


def test_a_consumer_killed_in_mid_flow_loses_duplicates_tears_and_reorders_nothing(held: Held) -> None:
    finding = held.finding
    assert finding.exact, finding.as_text()
    assert finding.afterwards.published >= held.size.events
    endings = [code for lives in finding.endings.values() for code in lives]
    assert sorted(endings) == [*[-9] * held.size.faults, *[0] * held.size.workers]


def test_a_verdict_published_twice_and_an_event_without_one_are_found(held: Held) -> None:
    stage = held.stage
    again = first_verdict(stage)
    producer = Producer(stage.broker.config())
    producer.produce(stage.topics.verdicts, again.value(), again.key(), partition=again.partition() or 0)
    assert producer.flush(ANSWER_WITHIN_S) == 0
    sent = [*held.finding.sent]
    one_more = Stream(Size(events=1, faults=0).options, now=now)
    send(one_more, Delivery(stage.broker, stage.topics.images), on_sent=sent.append)
    report = read_again(stage, sent)
    assert (report.duplicated, report.lost) == (1, 1)
    assert sum(each.end - each.committed for each in stage.offsets().values()) == 1


def first_verdict(stage: Stage) -> Message:
    consumer = Consumer(stage.broker.config(group_id="reader", isolation_level="read_committed"))
    consumer.assign([TopicPartition(stage.topics.verdicts, index, 0) for index in range(stage.partitions)])
    try:
        (message,) = consumer.consume(1, ANSWER_WITHIN_S)
    finally:
        consumer.close()
    return message
