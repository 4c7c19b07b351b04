"""Sender and observer on a broker: what is acknowledged is known, and only what was committed is counted."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import cast
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from sluice_schemas import (
    DeadLetter,
    DeadLetterError,
    Generator,
    ImageGenerated,
    Mode,
    PolicyRef,
    Quality,
    Source,
    Status,
    Technical,
    Timings,
    Verdict,
    unreadable_image_id,
)
from sluice_schemas.headers import read_cloud_event
from sluice_schemas.wire import decode, encode
from sluice_sim.__main__ import main
from sluice_sim.broker import Broker, BrokerUnusable, Topics
from sluice_sim.observer import Observer
from sluice_sim.options import Options, Shares
from sluice_sim.sender import Delivery, send
from sluice_sim.stream import Stream
from sluice_sim.truth import Inbox, Place, Sent, TruthReader
from tests.support.brokers import EMBEDDED, KAFKA

WITHIN_S = 120.0
PARTITIONS = 2
AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = 40
MIXED = Options(seed=5, events=EVENTS, pictures=8, shares=Shares(hostile=0.3))


@pytest.fixture(params=[pytest.param("embedded", marks=EMBEDDED), pytest.param("kafka", marks=KAFKA)])
def broker(request: pytest.FixtureRequest) -> Broker:
    return Broker(request.getfixturevalue(f"{request.param}_address"))


@pytest.fixture
def topics(broker: Broker) -> Topics:
    run = uuid4().hex[:8]
    topics = Topics(f"images-{run}", f"verdicts-{run}", f"quality-{run}", f"letters-{run}")
    names = (topics.images, topics.verdicts, topics.quality, topics.dead_letters)
    sizes = {"max.message.bytes": str(4 * 1024 * 1024)}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    created = admin.create_topics([NewTopic(name, PARTITIONS, 1, config=sizes) for name in names])
    for future in created.values():
        future.result(WITHIN_S)
    return topics


def _send(broker: Broker, topics: Topics, options: Options = MIXED) -> list[Sent]:
    sent: list[Sent] = []
    count = send(Stream(options, now=lambda: AT), Delivery(broker, topics.images), on_sent=sent.append)
    assert count == len(sent)
    return sent


def _inbox(sent: Sequence[Sent]) -> Inbox:
    inbox = Inbox()
    for one in sent:
        inbox.put(one)
    return inbox


def _outputs(sent: Sent) -> list[tuple[str, bytes]]:
    """Answer as the consumer does: a verdict, and with it a quality event or a dead letter."""
    truth, source = sent.truth, Source(*sent.place)
    image_id = truth.image_id if truth.readable else unreadable_image_id(*sent.place)
    status = Status.INDETERMINATE if truth.fault else Status.BLOCK if truth.unsafe else Status.ALLOW
    verdict = Verdict(
        verdict_id=UUID(int=sent.place.offset),
        image_id=image_id,
        image_sha256=truth.sha256,
        status=status,
        indeterminate_reason=truth.fault,
        policy=PolicyRef("test", 1, "0" * 64),
        preprocess_digest="0" * 64,
        source=source,
        timings_ms=Timings(),
        produced_at=AT,
        mode=Mode.ENFORCE,
    )
    if truth.fault:
        letter = DeadLetter(
            image_id=image_id,
            verdict_id=verdict.verdict_id,
            source=source,
            error=DeadLetterError("decode_event", truth.fault, ""),
            attempts=1,
            first_seen=AT,
            worker="test",
            produced_at=AT,
        )
        return [("verdicts", encode(verdict)), ("dead_letters", encode(letter))]
    quality = Quality(
        image_id=image_id,
        image_sha256=truth.sha256 or "",
        verdict_id=verdict.verdict_id,
        technical=Technical(1, 1, 0, 0, 1),
        width=1,
        height=1,
        generator=Generator("aurora"),
        preprocess_digest="0" * 64,
        source=source,
        produced_at=AT,
    )
    return [("verdicts", encode(verdict)), ("quality", encode(quality))]


def _answer(broker: Broker, topics: Topics, sent: Sequence[Sent], *, commit: bool = True) -> None:
    """Publish the outputs of these inputs in one transaction, and commit or abort it."""
    producer = Producer(broker.config(transactional_id=f"test-{topics.verdicts}"))
    producer.init_transactions(WITHIN_S)
    producer.begin_transaction()
    for one in sent:
        for topic, value in _outputs(one):
            producer.produce(getattr(topics, topic), value, one.truth.image_id)
    producer.flush(WITHIN_S)
    if commit:
        producer.commit_transaction(WITHIN_S)
    else:
        producer.abort_transaction(WITHIN_S)


def _observe(observer: Observer, until: Callable[[], bool]) -> None:
    deadline = monotonic() + WITHIN_S
    while not until():
        assert monotonic() < deadline, observer.report()
        observer.poll(0.1)


def test_every_record_is_acknowledged_once_and_in_order(broker: Broker, topics: Topics) -> None:
    sent = _send(broker, topics)
    assert sorted(one.truth.number for one in sent) == list(range(EVENTS))
    for partition in range(PARTITIONS):
        here = [one for one in sent if one.place.partition == partition]
        assert [one.place.offset for one in here] == list(range(len(here)))
        assert [one.truth.number for one in here] == sorted(one.truth.number for one in here)


def test_the_truth_stands_beside_the_record_it_is_about(broker: Broker, topics: Topics) -> None:
    sent = _send(broker, topics)
    consumer = Consumer(broker.config(group_id="test", auto_offset_reset="earliest"))
    by_place = {one.place: one.truth for one in sent}
    consumer.assign([TopicPartition(topics.images, index, 0) for index in range(PARTITIONS)])
    messages = consumer.consume(EVENTS, WITHIN_S)
    consumer.close()
    assert len(messages) == EVENTS
    for message in messages:
        truth = by_place[Place(topics.images, message.partition() or 0, message.offset() or 0)]
        assert message.key() == truth.image_id.encode()
        if truth.readable:
            assert decode(message.value(), ImageGenerated).image_id == truth.image_id
        cloud_event = read_cloud_event(cast("list[tuple[str, bytes | None]]", message.headers() or []))
        assert cloud_event is not None
        assert cloud_event.subject == truth.image_id
        assert cloud_event.trace is not None


def test_a_full_answer_is_exactly_once_and_agrees_with_the_truth(broker: Broker, topics: Topics) -> None:
    sent = _send(broker, topics)
    _answer(broker, topics, sent)
    with Observer(broker, _inbox(sent), topics=topics) as observer:
        _observe(observer, lambda: observer.report().verdicts == EVENTS and not observer.outstanding)
        report = observer.report()
    hostile = sum(1 for one in sent if one.truth.fault)
    assert report.exactly_once
    assert (report.published, report.verdicts) == (EVENTS, EVENTS)
    assert (report.quality, report.dead_letters) == (EVENTS - hostile, hostile)
    assert (report.hostile.answered, report.hostile.handled) == (hostile, hostile)
    assert (report.safety.precision, report.safety.recall) == (1.0, 1.0)
    assert report.latency_ms.p50 is not None
    assert report.latency_ms.p50 > 0


def test_an_aborted_transaction_is_not_seen(broker: Broker, topics: Topics) -> None:
    sent = _send(broker, topics)
    _answer(broker, topics, sent, commit=False)
    _answer(broker, topics, sent[:10])
    with Observer(broker, _inbox(sent), topics=topics) as observer:
        _observe(observer, lambda: observer.outstanding == EVENTS - 10)
        observer.poll(0.5)
        report = observer.report()
    assert (report.verdicts, report.duplicated, report.lost) == (10, 0, EVENTS - 10)


def test_a_verdict_that_is_published_twice_is_found(broker: Broker, topics: Topics) -> None:
    sent = _send(broker, topics)
    _answer(broker, topics, sent)
    _answer(broker, topics, sent[3:4])
    with Observer(broker, _inbox(sent), topics=topics) as observer:
        _observe(observer, lambda: observer.report().duplicated == 2)
        assert not observer.report().exactly_once


def test_an_output_that_is_no_event_is_counted(broker: Broker, topics: Topics) -> None:
    producer = Producer(broker.config())
    producer.produce(topics.verdicts, b"nonsense")
    producer.flush(WITHIN_S)
    with Observer(broker, Inbox(), topics=topics) as observer:
        _observe(observer, lambda: observer.report().unreadable == 1)


def test_a_stopped_sender_has_accounted_for_all_it_sent(broker: Broker, topics: Topics) -> None:
    sent: list[Sent] = []
    endless = Stream(Options(events=None, pictures=4), now=lambda: AT)
    count = send(endless, Delivery(broker, topics.images), on_sent=sent.append, stop=lambda: len(sent) >= 20)
    assert 20 <= count == len(sent)


def test_a_missing_topic_is_named(broker: Broker) -> None:
    with pytest.raises(BrokerUnusable, match="no-such-topic"):
        send([], Delivery(broker, "no-such-topic"), on_sent=print)
    with pytest.raises(BrokerUnusable, match="no-such-topic"):
        Observer(broker, Inbox(), topics=Topics(quality="no-such-topic"))


def test_a_wrong_client_option_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ["--truth", str(tmp_path / "truth.jsonl")]
    assert main(["send", "--bootstrap-servers=127.0.0.1:9", *truth, "-X", "no.such.option=1"]) == 69
    assert "no.such.option" in capsys.readouterr().err


def test_send_and_observe_from_the_command_line(
    broker: Broker, topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, result = tmp_path / "truth.jsonl", tmp_path / "report.json"
    common = ["--bootstrap-servers", broker.bootstrap_servers, "--truth", str(truth)]
    assert main(["send", *common, "--images-topic", topics.images, "--events=25", "--rate=500", "--pictures=4"]) == 0
    _answer(broker, topics, list(TruthReader(truth)()))
    outputs = {"verdicts": topics.verdicts, "quality": topics.quality, "dead-letters": topics.dead_letters}
    where = [f"--{name}-topic={topic}" for name, topic in outputs.items()]
    assert main(["observe", *common, *where, "--json", str(result)]) == 0
    report = json.loads(result.read_text())
    assert (report["published"], report["verdicts"], report["lost"]) == (25, 25, 0)
    assert json.loads(capsys.readouterr().out) == report


def test_run_leaves_with_1_when_nobody_answers(broker: Broker, topics: Topics, tmp_path: Path) -> None:
    fields = {"images": topics.images, "verdicts": topics.verdicts, "quality": topics.quality}
    where = [f"--{name}-topic={topic}" for name, topic in fields.items()]
    where.append(f"--dead-letters-topic={topics.dead_letters}")
    common = ["--bootstrap-servers", broker.bootstrap_servers, "--truth", str(tmp_path / "truth.jsonl")]
    assert main(["run", *common, *where, "--events=10", "--pictures=2", "--idle-s=0.5"]) == 1


def test_pictures_that_are_referred_to_lie_in_the_store(broker: Broker, topics: Topics, tmp_path: Path) -> None:
    store, truth = tmp_path / "store", tmp_path / "truth.jsonl"
    common = ["--bootstrap-servers", broker.bootstrap_servers, "--truth", str(truth), "--images-topic", topics.images]
    sending = ["send", *common, "--store", str(store), "--by-http=1", "--by-file=0", "--hostile=0"]
    assert main([*sending, "--events=10", "--pictures=2"]) == 0
    assert {one.truth.carried for one in TruthReader(truth)()} == {"http"}
    assert list(store.iterdir())
