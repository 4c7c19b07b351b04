"""What the benchmarks of Kafka measure with: outputs as real as the consumer's, keys that go where they shall."""

from functools import partial

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage

from sluice.core.records import Message
from sluice.settings import Topics
from sluice_schemas import Quality, Verdict, decode
from tests.bench.outputs import outputs
from tests.bench.rates import Rates, in_turn
from tests.bench.rebalance import gaps_in, stood
from tests.bench.transactions import keyed

TOPICS = Topics()
MOCKED = 4  # partitions of a topic that librdkafka's cluster in memory makes


def test_outputs_are_a_verdict_and_its_quality_event_each_with_scores_of_its_own() -> None:
    events = list(outputs(20, TOPICS))
    verdicts = [decode(verdict.value, Verdict) for verdict, _ in events]
    qualities = [decode(quality.value, Quality) for _, quality in events]
    assert [quality.verdict_id for quality in qualities] == [verdict.verdict_id for verdict in verdicts]
    assert len({verdict.verdict_id for verdict in verdicts}) == len({verdict.concepts for verdict in verdicts}) == 20
    assert {verdict.topic for verdict, _ in events} == {TOPICS.verdicts}
    assert events == list(outputs(20, TOPICS))


def test_keyed_events_go_to_the_partitions_wanted_and_to_each_of_them() -> None:
    """Asked of librdkafka's own partitioner."""
    landed: set[int | None] = set()

    def note(error: KafkaError | None, message: KafkaMessage) -> None:
        assert error is None
        landed.add(message.partition())

    producer = Producer({"test.mock.num.brokers": 1})
    for (verdict,) in keyed([(Message("t", b"", b"v"),)] * 50, [1, 3], MOCKED):
        producer.produce(verdict.topic, verdict.value, verdict.key, on_delivery=note)
    assert producer.flush(10) == 0
    assert landed == {1, 3}


def test_a_rate_is_the_median_round_and_its_ratio_is_to_the_base() -> None:
    rates = Rates("x", {"slow": 50.0, "fast": 200.0}, "slow")
    assert rates.ratios == {"slow": 1.0, "fast": 4.0}
    assert rates.as_text().splitlines()[2] == "  fast: 200/s, 4.00"


def test_each_way_works_in_turn_and_once_before() -> None:
    calls: list[str] = []

    def work(name: str) -> int:
        calls.append(name)
        return 1

    ways = {name: partial(work, name) for name in ("a", "b")}
    found = in_turn("x", ways, base="a", rounds=3, seconds=0.0)
    assert calls == ["a", "b"] * 4
    assert set(found.per_s) == {"a", "b"}


def test_a_partition_stood_still_for_the_longest_gap_whose_middle_is_in_the_window() -> None:
    verdicts = [(0, 0.0), (0, 1.0), (0, 4.0), (0, 14.0), (1, 14.0), (1, 0.5), (1, 13.5), (2, 5.0)]
    gaps = gaps_in(verdicts, {"first": (0.0, 3.0), "later": (3.0, 20.0)})
    assert sorted(gaps["first"]) == [0.0, 0.0, 3.0]
    assert sorted(gaps["later"]) == [10.0, 13.0, 15.0]
    assert stood("x", [0.0, 3.0, 0.2]).still == 1
