"""`sluice topics`, `tail`, `dlq` on the embedded broker."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner, Result

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import BadSettings, BrokerLost
from sluice_schemas import (
    DeadLetter,
    DeadLetterError,
    Event,
    Generator,
    Header,
    Mode,
    PolicyRef,
    Quality,
    Source,
    Status,
    Technical,
    Timings,
    Verdict,
    wire,
)
from tests.support.brokers import embedded
from tests.support.buses import PATIENCE_S

pytestmark = pytest.mark.embedded

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=7)
PLACE = Source("images.generated.v1", 0, 4, NOW)
VERDICT = Verdict(
    verdict_id=ID,
    image_id="i-1",
    status=Status.BLOCK,
    reasons=("concept:sd.c04",),
    policy=PolicyRef("balanced", 1, "0" * 64),
    preprocess_digest="p",
    source=PLACE,
    timings_ms=Timings(),
    produced_at=NOW,
    mode=Mode.ENFORCE,
)
QUALITY = Quality(
    image_id="i-1",
    image_sha256="0" * 64,
    verdict_id=ID,
    technical=Technical(12.5, 1, 0, 0, 9),
    width=8,
    height=8,
    generator=Generator("g"),
    preprocess_digest="p",
    source=PLACE,
    produced_at=NOW,
)
LETTER = DeadLetter(
    image_id="i-1",
    verdict_id=ID,
    source=PLACE,
    error=DeadLetterError("fetch", "not_found", "the store says 404"),
    attempts=1,
    first_seen=NOW,
    worker="w",
    produced_at=NOW,
    key=b"i-1",
    value=b"as it came",
    value_sha256="0" * 64,
    value_size_bytes=10,
    headers=(Header("h", b"x"),),
)
NOT_CARRIED = replace(LETTER, image_id="i-2", value=None, error=DeadLetterError("decode_image", "truncated", ""))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture(autouse=True)
def _settings(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Each test has topics of its own."""
    monkeypatch.chdir(tmp_path)
    test = named(request)
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("SLUICE_TOPICS__REPLICATION_FACTOR", "1")
    monkeypatch.setenv("SLUICE_TOPICS__MIN_INSYNC_REPLICAS", "1")
    monkeypatch.setenv("SLUICE_TOPICS__PARTITIONS", "1")
    for name in ("images", "verdicts", "quality", "dead_letters", "feedback", "control"):
        monkeypatch.setenv(f"SLUICE_TOPICS__{name.upper()}", f"{test}.{name}")


@pytest.fixture
def topics(request: pytest.FixtureRequest) -> str:
    """Make the topics and return what their names begin with."""
    assert sluice("topics", "create").exit_code == 0
    return named(request)


def named(request: pytest.FixtureRequest) -> str:
    """Return the test's name as Kafka allows one."""
    return re.sub(r"\W", "-", request.node.name)[:60]


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, obj=Invocation())


def publish(broker: str, topic: str, *events: Event | bytes) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for event in events:
        producer.produce(topic, event if isinstance(event, bytes) else wire.encode(event))
    assert producer.flush(60) == 0


def test_topics_are_created_once_and_then_found_well() -> None:
    missing = sluice("topics", "check", "--json")
    assert missing.exit_code == 1
    assert {found["fix"] for found in json.loads(missing.stdout)} == {"sluice topics create"}
    first, second = (json.loads(sluice("topics", "create", "--json").stdout) for _ in range(2))
    assert [row["result"] for row in first] == ["created"] * 6
    assert [row["result"] for row in second] == ["was there"] * 6
    assert "does not exist" not in sluice("topics", "check").stdout


@pytest.mark.parametrize(
    ("what", "event", "line"),
    [
        ("verdicts", VERDICT, "BLOCK         i-1  concept:sd.c04"),
        ("quality", QUALITY, "i-1  blur 12.5  noise 1  flat 9"),
        ("deadletters", LETTER, "fetch: not_found i-1  images.generated.v1/0/4  10 bytes"),
    ],
    ids=["verdicts", "quality", "deadletters"],
)
def test_tail_prints_a_line_per_event(what: str, event: Event, line: str, broker: str, topics: str) -> None:
    topic = what.replace("deadletters", "dead_letters")
    publish(broker, f"{topics}.{topic}", event, b"garbage", event)
    result = sluice("tail", what, "--from", "earliest")
    assert result.stdout.splitlines() == [f"2026-01-01T00:00:00.000+00:00 {line}"] * 2
    assert "/0/1: decode_event: " in result.stderr
    plain = [json.loads(text) for text in sluice("tail", what, "--from", "1", "--json").stdout.splitlines()]
    assert [found["image_id"] for found in plain] == ["i-1"]


def test_tail_follows_until_it_has_enough(broker: str, topics: str) -> None:
    publish(broker, f"{topics}.verdicts", VERDICT, VERDICT, VERDICT)
    result = sluice("tail", "verdicts", "--from", "earliest", "--follow", "--limit", "2", "--json")
    assert len(result.stdout.splitlines()) == 2


def test_tail_refuses_a_start_it_does_not_know() -> None:
    assert sluice("tail", "verdicts", "--from", "yesterday").exit_code == 2


def test_dead_letters_are_listed_by_place_and_reason(broker: str, topics: str) -> None:
    publish(broker, f"{topics}.dead_letters", LETTER, NOT_CARRIED)
    rows = [line.split() for line in sluice("dlq", "list").stdout.splitlines()[1:]]
    assert [(row[0], row[3], row[4], row[6]) for row in rows] == [
        ("0/0", "not_found", "i-1", "carried"),
        ("0/1", "truncated", "i-2", "-"),
    ]
    assert [
        found["place"] for found in json.loads(sluice("dlq", "list", "--reason", "truncated", "--json").stdout)
    ] == ["0/1"]
    assert "1 older ones are not shown" in sluice("dlq", "list", "--limit", "1").stderr


def test_a_dead_letter_is_shown_by_place_or_image(broker: str, topics: str) -> None:
    publish(broker, f"{topics}.dead_letters", LETTER)
    by_place, by_image = (json.loads(sluice("dlq", "show", which, "--json").stdout) for which in ("0/0", "i-1"))
    assert by_place == by_image
    assert by_place[0]["error"]["message"] == "the store says 404"
    assert "the store says 404" in sluice("dlq", "show", "i-1").stdout
    assert f"{len(LETTER.value or b'')} bytes; --json shows them" in sluice("dlq", "show", "i-1").stdout
    for command in ("show", "requeue"):
        absent = sluice("dlq", command, "i-9")
        assert absent.exit_code == 2
        assert "no dead letter i-9; see: sluice dlq list" in absent.stderr


def test_requeue_puts_the_record_back_as_it_came(broker: str, topics: str) -> None:
    publish(broker, f"{topics}.dead_letters", LETTER, NOT_CARRIED)
    dry = sluice("dlq", "requeue", "--all", "--dry-run")
    assert dry.exit_code == 1
    assert [line.split(maxsplit=2)[2].strip() for line in dry.stdout.splitlines()[1:]] == [
        "would be put back",
        "not carried",
    ]
    result = sluice("dlq", "requeue", "0/0", "--json")
    assert json.loads(result.stdout) == [{"place": "0/0", "image_id": "i-1", "result": "put back"}]
    assert result.exit_code == 0
    assert records(broker, f"{topics}.images") == [(b"i-1", b"as it came", [("h", b"x")])]


def test_requeue_wants_to_be_told_which(topics: str) -> None:
    assert topics
    assert sluice("dlq", "requeue").exit_code == 2


def test_no_broker_is_said_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("sluice.kafka.topics.TIMEOUT_S", 0.3)
    assert isinstance(sluice("topics", "check").exception, BrokerLost)


def records(broker: str, topic: str) -> list[tuple[bytes | None, bytes | None, object]]:
    """Read all there is on partition 0."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[bytes | None, bytes | None, object]] = []
    while (message := consumer.poll(PATIENCE_S)) is not None and message.error() is None:
        found.append((message.key(), message.value(), message.headers()))
    assert message is not None, "the broker falls silent"
    consumer.close()
    return found


def test_lag_says_what_waits_where_for_how_long_and_in_all(broker: str, topics: str) -> None:
    publish(broker, f"{topics}.images", b"one", b"two")
    commit(broker, "a-group", f"{topics}.images", 1)
    found = sluice("lag", "--group", "a-group")
    assert [line.split()[:4] for line in found.stdout.splitlines()] == [
        ["partition", "committed", "end", "lag"], ["0", "1", "2", "1"], ["total", "-", "-", "1"]
    ]  # fmt: skip
    assert re.search(r" (ms|s) +empty", found.stdout)
    assert found.stderr == ""
    plain = json.loads(sluice("lag", "--group", "a-group", "--json").stdout)
    assert 0 <= plain.pop("oldest_s") == plain["partitions"][0].pop("oldest_s") < 60
    assert plain == {
        "group": "a-group", "topic": f"{topics}.images", "state": "empty", "lag": 1,
        "partitions": [{"partition": 0, "committed": 1, "end": 2, "lag": 1, "owner": "", "expired": 0, "undecided": 0}],
    }  # fmt: skip


def test_lag_says_when_nobody_knows_the_group(topics: str) -> None:
    found = sluice("lag", "--group", "typo")
    assert found.exit_code == 0
    assert "the brokers know no group typo" in found.stderr
    assert topics


def test_lag_without_the_topic_names_the_command_that_makes_it() -> None:
    error = sluice("lag").exception
    assert isinstance(error, BadSettings)
    assert "sluice topics create" in str(error)


def commit(broker: str, group: str, topic: str, offset: int) -> None:
    """Let a group be done with what is before the offset on partition 0."""
    member = Consumer({"bootstrap.servers": broker, "group.id": group})
    member.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    member.close()
